/* storm PID: about 10^4 SIGURG a second to a process, or to group -PID, until it is gone. Prints how many. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

int main(int argc, char **argv)
{
    const char *slower = getenv("STORM_NS");
    const struct timespec pause = { .tv_nsec = slower != NULL ? strtol(slower, NULL, 10) : 40000 };
    pid_t pid = argc > 1 ? (pid_t)strtol(argv[1], NULL, 10) : 0;
    unsigned long count = 0;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)prctl(PR_SET_TIMERSLACK, 1000UL);
    if (pid == 0 || pid == -1)
        return 2;
    while (kill(pid, SIGURG) == 0) {
        count++;
        (void)nanosleep(&pause, NULL);
    }
    printf("%lu\n", count);
    return 0;
}
