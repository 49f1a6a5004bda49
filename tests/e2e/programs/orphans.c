/*
 * orphans COUNT [WORD...]: leave COUNT orphans behind, by forking twice.
 *
 *   hold=FILE    they live, and append their pid to FILE, each; else they end at once
 *   deaf         they ignore TERM             stopped      they stop themselves
 *   session      they have sessions of their own
 *   after=SECONDS   held ones end by themselves after this long
 *   exit=N       the program ends with this status when all have been made; else it waits for a signal
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *word_value(char **words, const char *name)
{
    size_t n = strlen(name);
    for (; *words != NULL; words++) {
        if (strncmp(*words, name, n) == 0 && ((*words)[n] == '\0' || (*words)[n] == '='))
            return *words + n + ((*words)[n] == '=');
    }
    return NULL;
}

static void be_orphan(char **words)
{
    const char *hold = word_value(words, "hold");
    if (hold == NULL)
        _exit(0);
    if (word_value(words, "deaf") != NULL)
        signal(SIGTERM, SIG_IGN);
    if (word_value(words, "session") != NULL)
        setsid();
    char line[16];
    int n = snprintf(line, sizeof line, "%d\n", (int)getpid());
    int fd = open(hold, O_WRONLY | O_APPEND | O_CREAT, 0666);
    if (write(fd, line, (size_t)n) != n)
        _exit(99);
    close(fd);
    if (word_value(words, "stopped") != NULL)
        raise(SIGSTOP);
    const char *after = word_value(words, "after");
    if (after != NULL) {
        double seconds = atof(after);
        struct timespec time = { (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) };
        nanosleep(&time, NULL);
        _exit(0);
    }
    for (;;)
        pause();
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 99;
    for (long left = strtol(argv[1], NULL, 10); left > 0; left--) {
        pid_t middle = fork();
        if (middle < 0)
            return 99;
        if (middle == 0) {
            if (fork() == 0)
                be_orphan(argv + 2);
            _exit(0);
        }
        waitpid(middle, NULL, 0);
    }
    const char *status = word_value(argv + 2, "exit");
    if (status != NULL)
        return atoi(status);
    for (;;)
        pause();
}
