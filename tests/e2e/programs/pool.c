/*
 * pool DIR COUNT [WORD...]: a server that forks COUNT children and replaces those that end, or, with COUNT 0, one
 * that does the work itself. Each worker is told what to do through the datagram socket DIR/<index>:
 *
 *   grow BYTES   touch so much more memory      drop         give all of it back
 *   leak BYTES   the same every second, in      busy 1       use some CPU, busy 0 no more
 *                steps; 0: no more              heed WORD    on USR1 do as this word says, trim or futile
 *   file BYTES   write so much into a file      exit N       end
 *   stop         stop itself
 *
 * DIR/log has a line for each event: up INDEX PID, term INDEX PID, trim INDEX PID, down INDEX PID STATUS.
 *
 *   stubborn     TERM is handled, but does not end the worker
 *   bare         TERM is not handled
 *   trim         USR1 is handled, and gives the memory back
 *   futile       USR1 is handled, and gives nothing back
 *   name=TEXT    command name of the children
 *   preload=N    touch so many bytes before the children are made, which share them
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BLOCKS = 4096, CHILDREN = 64, STEP_MS = 20, BUSY_MS = 4 };

static const char *directory;
static char **words;
static int log_fd;
static int own_index;
static volatile sig_atomic_t trim_asked;
static size_t leak; /* bytes a second */
static int busy;
static int yields; /* a trim gives the memory back */
static struct {
    void *at;
    size_t size;
} block[BLOCKS];

static const char *word(const char *name)
{
    size_t n = strlen(name);
    for (char **w = words; *w != NULL; w++) {
        if (strncmp(*w, name, n) == 0 && ((*w)[n] == '\0' || (*w)[n] == '='))
            return *w + n + ((*w)[n] == '=');
    }
    return NULL;
}

static void say(const char *event, int index, int pid, int status)
{
    char line[96];
    int n = status < 0 ? snprintf(line, sizeof line, "%s %d %d\n", event, index, pid)
                       : snprintf(line, sizeof line, "%s %d %d %d\n", event, index, pid, status);
    if (write(log_fd, line, (size_t)n) != n)
        _exit(99);
}

static void on_term(int number)
{
    (void)number;
    say("term", own_index, getpid(), -1);
    if (word("stubborn") == NULL)
        _exit(0);
}

static void on_trim(int number)
{
    (void)number;
    trim_asked = 1;
}

static void grow(size_t bytes)
{
    for (int i = 0; i < BLOCKS; i++) {
        if (block[i].at != NULL)
            continue;
        block[i].size = bytes;
        block[i].at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memset(block[i].at, 1, bytes);
        return;
    }
}

static void drop(void)
{
    for (int i = 0; i < BLOCKS; i++) {
        if (block[i].at != NULL)
            munmap(block[i].at, block[i].size);
        block[i].at = NULL;
    }
}

/* Its pages are the page cache's. They are on the disk soon: those that the kernel finds dirty it takes for active. */
static void write_file(size_t bytes)
{
    static char zeros[1 << 20];
    char path[4096];
    snprintf(path, sizeof path, "%s/file%d", directory, own_index);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    for (size_t done = 0; done < bytes; done += sizeof zeros) {
        if (write(fd, zeros, sizeof zeros) != sizeof zeros)
            _exit(98);
        if (done / sizeof zeros % 4 == 3)
            fdatasync(fd);
    }
    close(fd);
    say("file", own_index, getpid(), -1);
}

static void use_cpu(void)
{
    struct timespec begin, now;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 < BUSY_MS);
}

/* What goes on between commands. */
static void go_on(void)
{
    if (leak > 0)
        grow(leak / (1000 / STEP_MS));
    if (busy)
        use_cpu();
}

static void obey(const char *command)
{
    if (strncmp(command, "leak ", 5) == 0)
        leak = strtoul(command + 5, NULL, 10);
    else if (strncmp(command, "busy ", 5) == 0)
        busy = atoi(command + 5);
    else if (strncmp(command, "heed ", 5) == 0)
        yields = strcmp(command + 5, "trim") == 0;
    else if (strncmp(command, "file ", 5) == 0)
        write_file(strtoul(command + 5, NULL, 10));
    else if (strncmp(command, "grow ", 5) == 0)
        grow(strtoul(command + 5, NULL, 10));
    else if (strcmp(command, "drop") == 0)
        drop();
    else if (strcmp(command, "stop") == 0)
        raise(SIGSTOP);
    else if (strncmp(command, "exit ", 5) == 0)
        _exit(atoi(command + 5));
}

static void work(int index)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    own_index = index;
    snprintf(address.sun_path, sizeof address.sun_path, "%s/%d", directory, index);
    unlink(address.sun_path);
    if (word("name") != NULL)
        prctl(PR_SET_NAME, word("name"));
    signal(SIGTERM, word("bare") != NULL ? SIG_DFL : on_term);
    /* Without SA_RESTART: the wait for a command ends, and the memory is given back outside the handler. */
    yields = word("trim") != NULL;
    struct sigaction trim = { .sa_handler = yields || word("futile") != NULL ? on_trim : SIG_DFL };
    sigaction(SIGUSR1, &trim, NULL);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
        _exit(99);
    say("up", index, getpid(), -1);
    for (;;) {
        char command[64];
        struct pollfd ready = { .fd = fd, .events = POLLIN };
        int any = poll(&ready, 1, leak > 0 || busy ? STEP_MS : -1);
        ssize_t n = any > 0 ? recv(fd, command, sizeof command - 1, 0) : 0;
        if (any == 0)
            go_on();
        if (trim_asked) {
            trim_asked = 0;
            say("trim", index, getpid(), -1);
            if (yields)
                drop();
        }
        if (n > 0) {
            command[n] = '\0';
            obey(command);
        }
    }
}

static pid_t child[CHILDREN];

static void end_all(int number)
{
    (void)number;
    for (int i = 0; i < CHILDREN; i++) {
        if (child[i] > 0)
            kill(child[i], SIGKILL);
    }
    _exit(0);
}

static void start(int index)
{
    child[index] = fork();
    if (child[index] != 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    work(index);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 99;
    char name[4096];
    directory = argv[1];
    words = argv + 3;
    int count = atoi(argv[2]);
    snprintf(name, sizeof name, "%s/log", directory);
    log_fd = open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (log_fd < 0 || count > CHILDREN)
        return 99;
    if (count == 0)
        work(0);
    if (word("preload") != NULL)
        grow(strtoul(word("preload"), NULL, 10));
    signal(SIGTERM, end_all);
    for (int i = 0; i < count; i++)
        start(i);
    for (;;) {
        int status;
        pid_t pid = wait(&status);
        for (int i = 0; pid > 0 && i < count; i++) {
            if (child[i] != pid)
                continue;
            say("down", i, pid, WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
            start(i);
        }
    }
}
