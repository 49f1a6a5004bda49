/*
 * stat(2) and fstat(2) for the static binary: on 64-bit machines musl's struct
 * stat is the kernel's, so no copying from one to the other is needed.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef __LP64__

int stat(const char *restrict path, struct stat *restrict ret_stat)
{
    return (int)syscall(SYS_newfstatat, AT_FDCWD, path, ret_stat, 0);
}

int fstat(int fd, struct stat *ret_stat)
{
    return (int)syscall(SYS_newfstatat, fd, "", ret_stat, AT_EMPTY_PATH);
}

#endif
