/*
 * storm PID [main|each]: about 10^4 SIGURG a second to a process, or to group -PID, until it is gone; to its main
 * thread; or to each of its threads in turn. Prints how many.
 */
#include <ctype.h>
#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_MAX = 64, BEFORE_NEXT_LOOK = 256 };

static int find_threads(pid_t pid, pid_t *ret_threads)
{
    char path[64];
    int count = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL && count < THREADS_MAX;) {
        if (isdigit((unsigned char)entry->d_name[0]))
            ret_threads[count++] = (pid_t)strtol(entry->d_name, NULL, 10);
    }
    if (folder != NULL)
        closedir(folder);
    return count;
}

int main(int argc, char **argv)
{
    const char *slower = getenv("STORM_NS");
    const struct timespec pause = { .tv_nsec = slower != NULL ? strtol(slower, NULL, 10) : 40000 };
    pid_t pid = argc > 1 ? (pid_t)strtol(argv[1], NULL, 10) : 0;
    bool each = argc > 2 && strcmp(argv[2], "each") == 0;
    pid_t threads[THREADS_MAX] = { pid };
    int known = 1;
    unsigned long count = 0;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)prctl(PR_SET_TIMERSLACK, 1000UL);
    if (pid == 0 || pid == -1)
        return 2;
    while (argc > 2 ? kill(pid, 0) == 0 : kill(pid, SIGURG) == 0) {
        if (each && count % BEFORE_NEXT_LOOK == 0)
            known = find_threads(pid, threads);
        if (argc > 2 && known > 0) /* a thread that has ended since is no matter */
            (void)syscall(SYS_tgkill, pid, threads[count % (unsigned long)known], SIGURG);
        count++;
        (void)nanosleep(&pause, NULL);
    }
    printf("%lu\n", count);
    return 0;
}
