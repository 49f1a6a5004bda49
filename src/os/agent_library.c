#include "agent_library.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* linux/memfd.h since 6.3 */
#endif

/* agent_image.c */
extern const char agent_image[];
extern const char agent_image_end[];

static const char *const places[] = { "/usr/local/lib", "/usr/lib", TRIMTAB_LIBRARY_DIRECTORY };

enum { PLACES = sizeof places / sizeof places[0] };

static int print_path(const char *root, const char *directory, char *ret_path, size_t size)
{
    int length = snprintf(ret_path, size, "%s%s/" AGENT_LIBRARY_FILE, root, directory);
    return length < 0 || (size_t)length >= size ? -ENAMETOOLONG : 0;
}

/* DIRECTORY/bin/trimtab: DIRECTORY/lib. */
static int beside_ourselves(const char *root, char *ret_path, size_t size)
{
    char own[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);
    if (length < 0)
        return -errno;
    own[length] = '\0';
    for (int i = 0; i < 2; i++) {
        char *slash = strrchr(own, '/');
        if (slash == NULL)
            return -ENOENT;
        *slash = '\0';
    }
    size_t stem = strlen(own);
    (void)snprintf(own + stem, sizeof own - stem, "/lib");
    return print_path(root, own, ret_path, size);
}

int agent_library_place(unsigned place, const char *root, char *ret_path, size_t size)
{
    if (place == 0)
        return beside_ourselves(root, ret_path, size) == 0 ? 0 : -ENAMETOOLONG;
    return place <= PLACES ? print_path(root, places[place - 1], ret_path, size) : -ENOENT;
}

static int write_image(int fd)
{
    const char *next = agent_image;
    while (next < agent_image_end) {
        ssize_t written = write(fd, next, (size_t)(agent_image_end - next));
        if (written < 0 && errno != EINTR)
            return -errno;
        next += written > 0 ? written : 0;
    }
    return 0;
}

/* What others could write to, they could replace by a library of their own. */
static bool is_ours(const char *directory)
{
    struct stat status;
    return lstat(directory, &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == geteuid() &&
           (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

int agent_library_write(const char *directory, char *ret_path, size_t size)
{
    char partial[PATH_MAX];
    int r = print_path("", directory, ret_path, size);
    if (r < 0)
        return r;
    if (!is_ours(directory))
        return -EPERM;
    int length = snprintf(partial, sizeof partial, "%s.%ld", ret_path, (long)getpid());
    if (length < 0 || (size_t)length >= sizeof partial)
        return -ENAMETOOLONG;
    (void)unlink(partial); /* of one who had our pid before, and was killed here */
    int fd = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    r = write_image(fd);
    if (r == 0 && fchmod(fd, 0444) < 0) /* not by open(2): the umask is the worker's */
        r = -errno;
    (void)close(fd);
    if (r == 0 && rename(partial, ret_path) < 0)
        r = -errno;
    if (r < 0)
        (void)unlink(partial);
    return r;
}

int agent_library_remember(int *ret_fd, char *ret_path, size_t size)
{
    int fd = memfd_create(AGENT_LIBRARY_FILE, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    if (fd < 0 && errno == EINVAL)
        fd = memfd_create(AGENT_LIBRARY_FILE, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    int r = write_image(fd);
    if (r == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        r = -errno;
    int length = snprintf(ret_path, size, "/proc/%ld/fd/%d", (long)getpid(), fd);
    if (r == 0 && (length < 0 || (size_t)length >= size))
        r = -ENAMETOOLONG;
    if (r < 0) {
        (void)close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}
