/*
 * Waits that the kernel begins again after our handler, and those of threads
 * (wait.h, WAIT_RESTART and WAIT_TIMED). And calls that are only kept from
 * showing our EINTR.
 */
#include <pthread.h>
#include <semaphore.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

#include "wait.h"

/* The cleanup of WAIT takes the address of `wait` back; the analyzer does not see cleanups. */
/* NOLINTBEGIN(clang-analyzer-core.StackAddressEscape) */

#define ATTENTION() UNLIKELY(atomic_load_explicit(&request_attention, memory_order_relaxed) != 0)

/* A system call that waits for `fd`. */
#define RESTART(type, name, number, fd, parameters, arguments, kernel)                                                 \
    EXPORT type name parameters                                                                                        \
    {                                                                                                                  \
        static const struct wait_kind kind = { #name, number, true, WAIT_RESTART };                                    \
        REAL_NAMED(name, kind.call);                                                                                   \
        WAIT_BY(wait_begin_inline, &kind);                                                                             \
        if (ATTENTION() && !wait_attend(&wait, fd))                                                                    \
            return -1;                                                                                                 \
        return LIKELY(real != NULL) ? real arguments : (type)kernel;                                                   \
    }

RESTART(ssize_t, read, SYS_read, fd, (int fd, void *data, size_t size), (fd, data, size),
        KERNEL3(SYS_read, fd, data, size))
RESTART(ssize_t, recv, SYS_recvfrom, fd, (int fd, void *data, size_t size, int flags), (fd, data, size, flags),
        KERNEL4(SYS_recvfrom, fd, data, size, flags))
RESTART(ssize_t, recvfrom, SYS_recvfrom, fd,
        (int fd, void *restrict data, size_t size, int flags, __SOCKADDR_ARG address, socklen_t *restrict length),
        (fd, data, size, flags, address, length),
        KERNEL6(SYS_recvfrom, fd, data, size, flags, address.__sockaddr__, length))
RESTART(ssize_t, recvmsg, SYS_recvmsg, fd, (int fd, struct msghdr *message, int flags), (fd, message, flags),
        KERNEL3(SYS_recvmsg, fd, message, flags))
RESTART(int, accept, SYS_accept, fd, (int fd, __SOCKADDR_ARG address, socklen_t *restrict length),
        (fd, address, length), KERNEL3(SYS_accept, fd, address.__sockaddr__, length))
RESTART(int, accept4, SYS_accept4, fd, (int fd, __SOCKADDR_ARG address, socklen_t *restrict length, int flags),
        (fd, address, length, flags), KERNEL4(SYS_accept4, fd, address.__sockaddr__, length, flags))
RESTART(pid_t, wait, SYS_wait4, -1, (int *status), (status), KERNEL4(SYS_wait4, -1, status, 0, 0))
RESTART(pid_t, waitpid, SYS_wait4, -1, (pid_t pid, int *status, int options), (pid, status, options),
        KERNEL4(SYS_wait4, pid, status, options, 0))
RESTART(pid_t, wait3, SYS_wait4, -1, (int *status, int options, struct rusage *usage), (status, options, usage),
        KERNEL4(SYS_wait4, -1, status, options, usage))
RESTART(pid_t, wait4, SYS_wait4, -1, (pid_t pid, int *status, int options, struct rusage *usage),
        (pid, status, options, usage), KERNEL4(SYS_wait4, pid, status, options, usage))
RESTART(int, waitid, SYS_waitid, -1, (idtype_t type, id_t id, siginfo_t *info, int options), (type, id, info, options),
        KERNEL5(SYS_waitid, type, id, info, options, 0))

/* What a fortified caller checks; the real function says what is wrong and ends the program. */
#define CHECKED(name, parameters, arguments, fits, call)                                                               \
    EXPORT ssize_t name parameters;                                                                                    \
    EXPORT ssize_t name parameters                                                                                     \
    {                                                                                                                  \
        if (LIKELY(fits))                                                                                              \
            return call;                                                                                               \
        REAL(name);                                                                                                    \
        return real != NULL ? real arguments : (__builtin_trap(), -1);                                                 \
    }

CHECKED(__read_chk, (int fd, void *data, size_t size, size_t space), (fd, data, size, space), size <= space,
        read(fd, data, size))
CHECKED(__recv_chk, (int fd, void *data, size_t size, size_t space, int flags), (fd, data, size, space, flags),
        size <= space, recv(fd, data, size, flags))
CHECKED(__recvfrom_chk,
        (int fd, void *restrict data, size_t size, size_t space, int flags, __SOCKADDR_ARG address,
         socklen_t *restrict length),
        (fd, data, size, space, flags, address, length), size <= space,
        recvfrom(fd, data, size, flags, address, length))

/*
 * Waits of threads, which wait for a futex. A condition and the end of a thread
 * show no EINTR at all.
 */
#define THREAD(name, parameters, arguments)                                                                            \
    EXPORT int name parameters;                                                                                        \
    EXPORT int name parameters                                                                                         \
    {                                                                                                                  \
        static const struct wait_kind kind = { #name, SYS_futex, false, WAIT_RESTART };                                \
        REAL_NAMED(name, kind.call);                                                                                   \
        WAIT(&kind);                                                                                                   \
        if (ATTENTION())                                                                                               \
            (void)wait_attend(&wait, -1);                                                                              \
        return LIKELY(real != NULL) ? real arguments : ENOSYS;                                                         \
    }

THREAD(pthread_cond_wait, (pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex), (condition, mutex))
THREAD(pthread_cond_timedwait,
       (pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex, const struct timespec *restrict end),
       (condition, mutex, end))
THREAD(pthread_cond_clockwait,
       (pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex, clockid_t clock,
        const struct timespec *restrict end),
       (condition, mutex, clock, end))
THREAD(pthread_join, (pthread_t thread, void **result), (thread, result))
THREAD(pthread_timedjoin_np, (pthread_t thread, void **result, const struct timespec *end), (thread, result, end))
THREAD(pthread_clockjoin_np, (pthread_t thread, void **result, clockid_t clock, const struct timespec *end),
       (thread, result, clock, end))

static bool goes_on(struct wait *wait)
{
    errno = wait->error;
    return wait_attend(wait, -1);
}

/* Semaphores show EINTR; with a time, also after a handler with SA_RESTART. */
#define SEMAPHORE(name, class, parameters, arguments)                                                                  \
    EXPORT int name parameters                                                                                         \
    {                                                                                                                  \
        static const struct wait_kind kind = { #name, SYS_futex, true, class };                                        \
        REAL_NAMED(name, kind.call);                                                                                   \
        WAIT(&kind);                                                                                                   \
        if (UNLIKELY(real == NULL)) {                                                                                  \
            errno = ENOSYS;                                                                                            \
            return -1;                                                                                                 \
        }                                                                                                              \
        if (ATTENTION() && !wait_attend(&wait, -1))                                                                    \
            return -1;                                                                                                 \
        int result;                                                                                                    \
        wait.error = errno;                                                                                            \
        do {                                                                                                           \
            wait.ours = 0;                                                                                             \
            result = real arguments;                                                                                   \
        } while (UNLIKELY(result == -1 && errno == EINTR && wait.ours) && goes_on(&wait));                             \
        return result;                                                                                                 \
    }

SEMAPHORE(sem_wait, WAIT_RESTART, (sem_t * semaphore), (semaphore))
SEMAPHORE(sem_timedwait, WAIT_TIMED, (sem_t *restrict semaphore, const struct timespec *restrict end), (semaphore, end))
SEMAPHORE(sem_clockwait, WAIT_TIMED, (sem_t *restrict semaphore, clockid_t clock, const struct timespec *restrict end),
          (semaphore, clock, end))

/* From here on a wait for a socket looks whether it has a timeout: then SIGURG would show as EINTR. */
EXPORT int setsockopt(int fd, int level, int option, const void *value, socklen_t size)
{
    REAL(setsockopt);
    if (level == SOL_SOCKET && (option == SO_RCVTIMEO || option == SO_SNDTIMEO) && request_active)
        (void)atomic_fetch_or(&request_attention, REQUEST_TIMED_SOCKETS);
    return real != NULL ? real(fd, level, option, value, size)
                        : (int)KERNEL5(SYS_setsockopt, fd, level, option, value, size);
}

/*
 * Calls that no handler restarts (signal(7)), and in which nobody is asked to
 * trim: SIGURG waits until they end.
 */
static inline bool is_quiet(void)
{
    return request_active;
}

/* Only when the socket has a timeout is a call that sends one of them. */
static inline bool may_have_timeout(void)
{
    return (atomic_load_explicit(&request_attention, memory_order_relaxed) & REQUEST_TIMED_SOCKETS) != 0;
}

#define QUIET(type, name, when, parameters, arguments, kernel)                                                         \
    EXPORT type name parameters                                                                                        \
    {                                                                                                                  \
        static const struct wait_kind kind = { #name, -1, true, WAIT_RESTART };                                        \
        REAL_NAMED(name, kind.call);                                                                                   \
        WAIT(&kind);                                                                                                   \
        if (UNLIKELY(when))                                                                                            \
            wait_mute(&wait);                                                                                          \
        return LIKELY(real != NULL) ? real arguments : (type)kernel;                                                   \
    }

QUIET(int, connect, may_have_timeout(), (int fd, __CONST_SOCKADDR_ARG address, socklen_t length), (fd, address, length),
      KERNEL3(SYS_connect, fd, address.__sockaddr__, length))
QUIET(ssize_t, send, may_have_timeout(), (int fd, const void *data, size_t size, int flags), (fd, data, size, flags),
      KERNEL4(SYS_sendto, fd, data, size, flags))
QUIET(ssize_t, sendto, may_have_timeout(),
      (int fd, const void *data, size_t size, int flags, __CONST_SOCKADDR_ARG address, socklen_t length),
      (fd, data, size, flags, address, length),
      KERNEL6(SYS_sendto, fd, data, size, flags, address.__sockaddr__, length))
QUIET(ssize_t, sendmsg, may_have_timeout(), (int fd, const struct msghdr *message, int flags), (fd, message, flags),
      KERNEL3(SYS_sendmsg, fd, message, flags))
QUIET(ssize_t, msgrcv, is_quiet(), (int queue, void *message, size_t size, long kind_of, int flags),
      (queue, message, size, kind_of, flags), KERNEL5(SYS_msgrcv, queue, message, size, kind_of, flags))
QUIET(int, msgsnd, is_quiet(), (int queue, const void *message, size_t size, int flags), (queue, message, size, flags),
      KERNEL4(SYS_msgsnd, queue, message, size, flags))
QUIET(int, semop, is_quiet(), (int set, struct sembuf *operations, size_t count), (set, operations, count),
      KERNEL3(SYS_semop, set, operations, count))
QUIET(int, semtimedop, is_quiet(), (int set, struct sembuf *operations, size_t count, const struct timespec *timeout),
      (set, operations, count, timeout), KERNEL4(SYS_semtimedop, set, operations, count, timeout))

/* NOLINTEND(clang-analyzer-core.StackAddressEscape) */
