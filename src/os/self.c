#include "self.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <unistd.h>

enum { PIECE_BYTES = 4 << 10 };

int self_adopt_orphans(void)
{
    if (getpid() == 1)
        return 0;
    return prctl(PR_SET_CHILD_SUBREAPER, 1UL, 0UL, 0UL, 0UL) < 0 ? -errno : 0;
}

int self_die_with_parent(int number, int parent)
{
    if (prctl(PR_SET_PDEATHSIG, (unsigned long)number, 0UL, 0UL, 0UL) < 0)
        return -errno;
    if (getppid() != parent && kill(getpid(), number) < 0)
        return -errno;
    return 0;
}

int self_lock_memory(void)
{
    return mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0 ? -errno : 0;
}

static int release(uintptr_t begin, uintptr_t end)
{
    uintptr_t page = (uintptr_t)getpagesize();
    begin = begin / page * page;
    end = (end + page - 1) / page * page;
    for (uintptr_t piece = begin; piece + PIECE_BYTES < end; piece += (uintptr_t)2 * PIECE_BYTES)
        (void)madvise((void *)piece, PIECE_BYTES, MADV_DONTDUMP);
    return madvise((void *)begin, end - begin, MADV_DONTNEED) < 0 ? -errno : 0;
}

int self_release_code(void)
{
    const ElfW(Phdr) *header = (const ElfW(Phdr) *)getauxval(AT_PHDR);
    size_t count = getauxval(AT_PHNUM);
    uintptr_t base = 0; /* where a position-independent executable was loaded */
    int r = 0;
    for (size_t i = 0; i < count; i++) {
        if (header[i].p_type == PT_PHDR)
            base = (uintptr_t)header - header[i].p_vaddr;
    }
    for (size_t i = 0; i < count && r == 0; i++) {
        uintptr_t begin = base + header[i].p_vaddr;
        if (header[i].p_type == PT_LOAD && (header[i].p_flags & PF_W) == 0)
            r = release(begin, begin + header[i].p_memsz);
    }
    return r;
}

int self_lower_oom_score(int *ret_before, bool *ret_changed)
{
    static const char lowest[] = "-1000";
    char text[16];
    int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    int error = n > 0 ? 0 : EIO;
    if (n > 0) {
        text[n] = '\0';
        *ret_before = (int)strtol(text, NULL, 10);
        *ret_changed = pwrite(fd, lowest, sizeof lowest - 1, 0) > 0;
        error = *ret_changed ? 0 : errno;
    }
    (void)close(fd);
    return -error;
}

int self_open_directory(void)
{
    int fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int self_leave_directory(void)
{
    return chdir("/") < 0 ? -errno : 0;
}

uint64_t self_seed(void)
{
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed)
        seed = (uint64_t)getpid();
    return seed;
}
