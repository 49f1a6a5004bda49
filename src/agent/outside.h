/*
 * What the agent takes from the program's C library: all of it is in glibc
 * since 2.17 and in musl, and weak, so that the library loads where something
 * is missing. memcpy and memset are also what a compiler calls on its own.
 */
#ifndef AGENT_OUTSIDE_H
#define AGENT_OUTSIDE_H

#include <errno.h>
#include <link.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#pragma weak __errno_location
#pragma weak clock_gettime
#pragma weak dl_iterate_phdr
#pragma weak getenv
#pragma weak sigaction
__asm__(".weak abort\n\t.weak memcpy\n\t.weak memset"); /* a pragma does not reach the calls a compiler makes up */

#define LIKELY(condition)   __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

#endif
