/*
 * `idle_worker CHILDREN`: a worker that forks so many children and then sleeps
 * with them for ever. Says "ready" when all are there.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int children = argc > 1 ? atoi(argv[1]) : 0;
    pid_t parent = getpid();
    for (int i = 0; i < children; i++) {
        pid_t pid = fork();
        if (pid < 0)
            return 1;
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() != parent)
                return 1;
            for (;;)
                pause();
        }
    }
    if (write(STDOUT_FILENO, "ready\n", 6) != 6)
        return 1;
    for (;;)
        pause();
}
