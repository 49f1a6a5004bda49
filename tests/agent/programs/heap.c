/*
 * heap MIB: fills a heap of many small blocks, frees all but one in a thousand, and waits in poll. With FORK_FIRST a
 * forked child does that, and the parent waits for it. Prints the pid that waits.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BLOCK_BYTES = 2000 };

int main(int argc, char **argv)
{
    size_t count = (argc > 1 ? strtoul(argv[1], NULL, 10) : 1) * 1024 * 1024 / BLOCK_BYTES;
    if (getenv("FORK_FIRST") != NULL && fork() != 0)
        return wait(NULL) > 0 ? 0 : 1;
    char **blocks = malloc(count * sizeof *blocks);
    if (blocks == NULL)
        return 1;
    for (size_t i = 0; i < count; i++) {
        blocks[i] = malloc(BLOCK_BYTES);
        if (blocks[i] == NULL)
            return 1;
        memset(blocks[i], 1, BLOCK_BYTES);
    }
    for (size_t i = 0; i < count; i++) {
        if (i % 1000 != 0)
            free(blocks[i]);
    }
    printf("%d\n", (int)getpid());
    fflush(stdout);
    (void)poll(NULL, 0, 5000);
    return 0;
}
