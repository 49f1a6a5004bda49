/*
 * arrange [WORD...] -- PROGRAM [ARG...]: become PROGRAM after setting up what a process can inherit.
 *
 *   block=N,N    blocked signals, exactly these        ignore=N,N   ignored signals, besides those that are
 *   close=N,N    descriptors closed                    open=N,N     descriptors opened on /dev/null
 *   nofile=N     soft limit of descriptors             listen-pid   LISTEN_PID names this process
 *   nocore       no core files                         drop=N,N     capabilities out of the bounding set
 */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static void fail(const char *what)
{
    perror(what);
    _exit(99);
}

static void open_as(int fd)
{
    int null = open("/dev/null", O_RDWR);
    if (null < 0)
        fail("/dev/null");
    if (null != fd && (dup2(null, fd) < 0 || close(null) < 0))
        fail("dup2");
}

static void limit(int resource, rlim_t soft)
{
    struct rlimit limit;
    if (getrlimit(resource, &limit) < 0)
        fail("getrlimit");
    limit.rlim_cur = soft;
    if (setrlimit(resource, &limit) < 0)
        fail("setrlimit");
}

static void set_listen_pid(void)
{
    char text[16];
    snprintf(text, sizeof text, "%d", (int)getpid());
    setenv("LISTEN_PID", text, 1);
}

/* One number of a list. */
static void apply(const char *name, long number, uint64_t *mask)
{
    if (strcmp(name, "block") == 0)
        *mask |= UINT64_C(1) << (number - 1);
    else if (strcmp(name, "ignore") == 0 && signal((int)number, SIG_IGN) == SIG_ERR)
        fail("signal");
    else if (strcmp(name, "close") == 0)
        close((int)number);
    else if (strcmp(name, "open") == 0)
        open_as((int)number);
    else if (strcmp(name, "nofile") == 0)
        limit(RLIMIT_NOFILE, (rlim_t)number);
    else if (strcmp(name, "drop") == 0 && prctl(PR_CAPBSET_DROP, (unsigned long)number, 0, 0, 0) < 0)
        fail("PR_CAPBSET_DROP");
}

int main(int argc, char **argv)
{
    uint64_t mask = 0;
    int i = 1;
    for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
        char *list = strchr(argv[i], '=');
        if (list != NULL)
            *list++ = '\0';
        if (strcmp(argv[i], "listen-pid") == 0)
            set_listen_pid();
        else if (strcmp(argv[i], "nocore") == 0)
            limit(RLIMIT_CORE, 0);
        for (char *word = list == NULL ? NULL : strtok(list, ","); word != NULL; word = strtok(NULL, ","))
            apply(argv[i], strtol(word, NULL, 10), &mask);
    }
    if (syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof mask) < 0)
        fail("rt_sigprocmask");
    if (i + 1 >= argc)
        return 99;
    execvp(argv[i + 1], argv + i + 1);
    fail(argv[i + 1]);
}
