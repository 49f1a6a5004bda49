/*
 * catch FILE: block all signals, also the two that the C library keeps for itself, and append a line for each one
 * that comes: number, si_code, value. The first line is `ready`. Ends by KILL, or after SIGALRM.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    uint64_t all = ~UINT64_C(0);
    if (argc != 2 || syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof all) < 0)
        return 99;
    int fd = open(argv[1], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0 || write(fd, "ready\n", 6) != 6)
        return 99;
    for (;;) {
        siginfo_t info;
        char line[64];
        if (syscall(SYS_rt_sigtimedwait, &all, &info, NULL, sizeof all) < 0)
            continue;
        int n = snprintf(line, sizeof line, "%d %d %d\n", info.si_signo, info.si_code,
                         info.si_code == SI_QUEUE ? info.si_value.sival_int : 0);
        if (write(fd, line, (size_t)n) != n)
            return 99;
        if (info.si_signo == SIGALRM)
            return 0;
    }
}
