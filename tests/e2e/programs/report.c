/*
 * report FILE [pause | exit=N]: write what this process was given, one `key=value` a line, then a line `done`.
 * The file appears complete (it is renamed into place).
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

extern char **environ;

enum { DESCRIPTORS = 1100 };

static char open_descriptor[DESCRIPTORS];

static void write_descriptors(FILE *out)
{
    for (int fd = 0; fd < DESCRIPTORS; fd++) {
        char name[64], target[4096];
        if (!open_descriptor[fd])
            continue;
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(name, target, sizeof target - 1);
        target[n < 0 ? 0 : n] = '\0';
        fprintf(out, "fd.%d=%s\n", fd, target);
    }
}

static void write_status(FILE *out)
{
    char line[512];
    FILE *status = fopen("/proc/self/status", "r");
    while (status != NULL && fgets(line, sizeof line, status) != NULL) {
        char *value = strchr(line, ':');
        if (value == NULL)
            continue;
        *value++ = '\0';
        fprintf(out, "status.%s=%s", line, value + strspn(value, " \t"));
    }
}

static void write_file(FILE *out, const char *key, const char *name)
{
    char line[64] = "";
    FILE *file = fopen(name, "r");
    if (file != NULL && fgets(line, sizeof line, file) != NULL)
        fprintf(out, "%s=%s", key, line);
    if (file != NULL)
        fclose(file);
}

static void write_report(FILE *out)
{
    char directory[4096];
    struct rlimit nofile;
    int death_signal = 0;
    getrlimit(RLIMIT_NOFILE, &nofile);
    prctl(PR_GET_PDEATHSIG, &death_signal);
    write_descriptors(out);
    write_status(out);
    fprintf(out, "pid=%d\nppid=%d\npgrp=%d\nsession=%d\n", (int)getpid(), (int)getppid(), (int)getpgrp(),
            (int)getsid(0));
    fprintf(out, "foreground=%d\n", open_descriptor[0] ? (int)tcgetpgrp(0) : -1);
    fprintf(out, "cwd=%s\n", getcwd(directory, sizeof directory) != NULL ? directory : "?");
    fprintf(out, "nofile=%llu\nnofile_hard=%llu\n", (unsigned long long)nofile.rlim_cur,
            (unsigned long long)nofile.rlim_max);
    fprintf(out, "death_signal=%d\n", death_signal);
    write_file(out, "oom_score_adj", "/proc/self/oom_score_adj");
    for (char **entry = environ; *entry != NULL; entry++)
        fprintf(out, "env.%s\n", *entry);
    fprintf(out, "done\n");
}

int main(int argc, char **argv)
{
    char name[4096];
    if (argc < 2)
        return 99;
    for (int fd = 0; fd < DESCRIPTORS; fd++)
        open_descriptor[fd] = fcntl(fd, F_GETFD) >= 0;
    snprintf(name, sizeof name, "%s.new", argv[1]);
    FILE *out = fopen(name, "w");
    if (out == NULL)
        return 99;
    write_report(out);
    if (fclose(out) != 0 || rename(name, argv[1]) < 0)
        return 99;
    if (argc > 2 && strcmp(argv[2], "pause") == 0)
        for (;;)
            pause();
    return argc > 2 && strncmp(argv[2], "exit=", 5) == 0 ? atoi(argv[2] + 5) : 0;
}
