/*
 * heap HOW FILE: leave a heap behind that is mostly free, and wait.
 *
 *   hole     free behind one block at the top, which a trim returns
 *   pinned   free in holes that are smaller than a page, which no trim returns
 *   busy     as hole, but never waiting
 *   own      as hole, with a SIGURG handler of its own, which counts its signals in FILE
 *   pool N   a parent whose N children are as hole
 *   run ...  exec the rest, as a child of this one
 *
 * Writes one line with its pid to FILE once the heap is so.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BLOCKS = 1500, BLOCK_BYTES = 60 << 10, CRUMBS = 90000, CRUMB_BYTES = 1000 };

static const char *file;

static void tell(const char *text)
{
    char line[64];
    int fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    int length = snprintf(line, sizeof line, "%s %d\n", text, (int)getpid());
    if (fd < 0 || write(fd, line, (size_t)length) != length)
        _exit(97);
    close(fd);
}

static void on_urgent(int number)
{
    (void)number;
    tell("urgent");
}

static void fill(size_t count, size_t bytes, size_t keep_each)
{
    char **block = calloc(count, sizeof *block);
    for (size_t i = 0; i < count; i++) {
        block[i] = malloc(bytes);
        memset(block[i], 1, bytes);
    }
    for (size_t i = 0; i < count; i++) {
        if (i + 1 < count && (keep_each == 0 || i % keep_each != 0))
            free(block[i]);
    }
}

static void wait_for_ever(void)
{
    for (;;) {
        if (poll(NULL, 0, -1) < 0)
            tell("interrupted");
    }
}

static void pool(int count)
{
    for (int i = 0; i < count; i++) {
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            fill(BLOCKS / 2, BLOCK_BYTES, 0);
            tell("ready");
            wait_for_ever();
        }
    }
    for (;;)
        wait(NULL);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 99;
    const char *how = argv[1];
    file = argv[2];
    if (strcmp(how, "run") == 0) {
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            execv(argv[3], argv + 3);
            _exit(98);
        }
        wait(NULL);
        return 0;
    }
    if (strcmp(how, "pool") == 0)
        pool(atoi(argv[3]));
    if (strcmp(how, "own") == 0)
        signal(SIGURG, on_urgent);
    if (strcmp(how, "pinned") == 0)
        fill(CRUMBS, CRUMB_BYTES, 3);
    else
        fill(BLOCKS, BLOCK_BYTES, 0);
    tell("ready");
    while (strcmp(how, "busy") == 0)
        ;
    wait_for_ever();
}
