/* end exit N | end signal N: end with that status, or by that signal. */
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc != 3)
        return 99;
    int number = atoi(argv[2]);
    if (strcmp(argv[1], "exit") == 0)
        _exit(number);
    static const struct rlimit none;
    uint64_t mask = 0;
    setrlimit(RLIMIT_CORE, &none);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof mask);
    signal(number, SIG_DFL);
    kill(getpid(), number);
    return 98;
}
