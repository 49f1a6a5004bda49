/*
 * Exit statuses of trimtab, for programs that start it.
 *
 * Any other status is the worker's own, or 128 + n when signal n ended it.
 * 126 and 127 follow the shell (POSIX.1-2017, XCU 2.8.2), 111 follows the
 * custom of supervision suites, 1 is what tini exits with.
 */
#ifndef TRIMTAB_EXIT_H
#define TRIMTAB_EXIT_H

enum trimtab_exit {
    TRIMTAB_EXIT_USAGE = 1,            /* bad command line or bad policy */
    TRIMTAB_EXIT_SYSTEM = 111,         /* the system failed before the worker existed */
    TRIMTAB_EXIT_NOT_EXECUTABLE = 126, /* the program is there but cannot be run */
    TRIMTAB_EXIT_NOT_FOUND = 127,      /* there is no such program */
    TRIMTAB_EXIT_SIGNAL_BASE = 128     /* + the signal that ended the worker */
};

#endif
