/*
 * Processes as /proc shows them: found, kept open, looked at, signalled.
 *
 * Identity is pid and start time; the handle is a pidfd. A kept descriptor of
 * /proc/PID/statm is bound to the process, not to the number: after its end a
 * read fails with ESRCH even when the pid is in use again (proc(5)). What takes
 * a bare pid looks at whoever has it now: who holds a pidfd asks that afterwards
 * whether its process was still there.
 *
 * parse_* functions are pure, take a buffer of any bytes, and never read past
 * size.
 */
#ifndef TRIMTAB_OS_PROCESS_H
#define TRIMTAB_OS_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    PROCESS_NAME_MAX = 64,  /* TASK_COMM_LEN is 16; kernel threads may have longer ones in stat */
    PROCESS_LIST_MAX = 8192 /* processes one discovery can hold */
};

struct process_stat {
    pid_t pid;
    pid_t parent;
    char state;           /* R S D T t Z X ... */
    uint64_t start_ticks; /* since boot, in clock ticks */
    char name[PROCESS_NAME_MAX];
};

struct process {
    pid_t pid;
    uint64_t start_ticks;
    int statm_fd;
    int pid_fd; /* pidfd */
};

/* All returning int: 0 or -errno, unless said otherwise. */

/*
 * Open a process and make sure that it is still the one meant: start_ticks is
 * compared after the pidfd was opened (-ESRCH when it is another, or a zombie;
 * 0: take whichever it is). On failure nothing stays open.
 */
int process_open(struct process *ret_process, pid_t pid, uint64_t start_ticks);
void process_close(struct process *process);

/* Resident set in bytes, by one pread. -ESRCH: it has ended (a zombie counts as ended). */
int process_rss(const struct process *process, uint64_t *ret_bytes);

/*
 * PSS and USS in bytes, by a pass over its page tables (/proc/PID/smaps_rollup):
 * about 8 us a resident MiB in pages of 4 KiB, while its own mmap(2)s wait. Not
 * for every look. USS is what its end frees: Private_Clean, Private_Dirty and
 * Private_Hugetlb (huge pages of hugetlbfs are in neither RSS nor PSS).
 * -ESRCH: it has ended (a zombie counts as ended); -EACCES: no ptrace rights
 * over it (ptrace(2)); -ENOENT: a kernel without the file (before 4.14).
 */
int process_exact(pid_t pid, uint64_t *ret_pss_bytes, uint64_t *ret_uss_bytes);

/*
 * CPU time in ms of all its threads, ended ones included, without that of its
 * children: its CPU clock (clock_getcpuclockid(3)), which needs no rights. A
 * zombie still tells its last. -ESRCH: no such process; -ENOTSUP: no such clock.
 */
int process_cpu_ms(pid_t pid, uint64_t *ret_ms);

int process_stat(pid_t pid, struct process_stat *ret_stat);

/* Lines of /proc/PID/status, proc(5): what its main thread blocks, and what the process has handlers for. */
enum process_mask { PROCESS_BLOCKED, PROCESS_CAUGHT };

/* Bit n - 1 of mask: signal n. */
int process_mask(pid_t pid, enum process_mask which, uint64_t *ret_mask);

/*
 * Send through the pidfd. must_handle: only after SigCgt was read and shows a
 * handler, else -ENOTSUP. The process is first made sure of by its start time.
 */
int process_signal(const struct process *process, int number, bool must_handle);

/*
 * Send SIGURG, which asks the agent inside (trimtab/agent.h), if it is handled,
 * else -ENOTSUP. To the main thread alone where that does not block it: a wait
 * that another thread is in is not disturbed.
 */
int process_ask_agent(const struct process *process);

/* CONT if it is stopped (state T). */
int process_wake(const struct process *process);

/* Device and inode of the executable. -EACCES without ptrace rights over it (ptrace(2)). */
struct process_executable {
    uint64_t device;
    uint64_t inode;
};
int process_executable(pid_t pid, struct process_executable *ret_executable);

/*
 * Command line with its NULs turned into blanks, cut to size. Returns its
 * length or -errno; 0 for a zombie.
 */
int process_command_line(pid_t pid, char *ret_text, size_t size);

/*
 * Whether a mapped file's path holds text (one buffered pass over
 * /proc/PID/maps). text has a '/': no other column holds one. 1, 0 or -errno.
 */
int process_maps_contain(pid_t pid, const char *text);

/* ---- finding processes ---- */

struct process_list {
    uint32_t count;
    bool cut; /* there were more than PROCESS_LIST_MAX */
    struct {
        pid_t pid;
        pid_t parent;
    } item[PROCESS_LIST_MAX];
};

enum process_depth { PROCESS_CHILDREN, PROCESS_DESCENDANTS };

/*
 * Children or all descendants of root, by /proc/PID/task/TID/children, or by
 * one scan of /proc where the kernel has no such file (CONFIG_PROC_CHILDREN)
 * or force_scan is set. The list is in the order of pids, without root itself,
 * zombies included. A child may be missed when another is reaped during the
 * read (proc(5)): after an end of a child the list is worth reading again even
 * if process_generation says nothing new.
 */
int process_list(pid_t root, enum process_depth depth, bool force_scan, struct process_list *ret_list);

/*
 * A number that changes whenever a process or thread is made in our pid
 * namespace (last field of /proc/loadavg), so that an unchanged one saves a
 * discovery. fd: kept by the caller, -1 at first.
 */
int process_generation(int *fd, uint64_t *ret_generation);

/* Milliseconds a process with this start time has lived, by CLOCK_BOOTTIME. */
uint64_t process_age_ms(uint64_t start_ticks);

/* ---- pure parsers, for the above and their tests ---- */
int process_parse_stat(const char *text, size_t size, struct process_stat *ret_stat);
int process_parse_statm(const char *text, size_t size, uint64_t *ret_pages);
int process_parse_exact(const char *text, size_t size, uint64_t *ret_pss_bytes, uint64_t *ret_uss_bytes);
int process_parse_mask(const char *text, size_t size, enum process_mask which, uint64_t *ret_mask);
int process_parse_generation(const char *text, size_t size, uint64_t *ret_generation);

#endif
