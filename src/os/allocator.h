/*
 * The worker's environment: allocator variables and LD_PRELOAD, added to what
 * trimtab was given without touching what the user had set.
 * Start-up only.
 */
#ifndef TRIMTAB_OS_ALLOCATOR_H
#define TRIMTAB_OS_ALLOCATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "program.h"

enum { ALLOCATOR_SETTINGS_MAX = 8, ALLOCATOR_PRELOADS_MAX = 2, ALLOCATOR_NAMES_MAX = 512 };

/* One variable that the policy wants set. */
struct allocator_setting {
    const char *name;
    bool always; /* none of the user's: an inherited value is another trimtab's */
    char value[256];
};

struct allocator_plan {
    struct allocator_setting setting[ALLOCATOR_SETTINGS_MAX];
    size_t count;
    bool override;                                          /* the policy wins over the user's own value */
    char preload[ALLOCATOR_PRELOADS_MAX][PROGRAM_PATH_MAX]; /* libraries, in this order */
    size_t preloads;
};

enum allocator_problem {
    ALLOCATOR_FINE,
    ALLOCATOR_MISSING,      /* no such library in any place looked at */
    ALLOCATOR_UNFIT,        /* found, but for another libc, class or machine */
    ALLOCATOR_STATIC,       /* the program is static: nothing can be preloaded */
    ALLOCATOR_SET_ID,       /* the loader would ignore it */
    ALLOCATOR_SANITIZED,    /* AddressSanitizer ends the program if anything is loaded before it */
    ALLOCATOR_SHUT,         /* the worker's user cannot open it, or not run code from there */
    ALLOCATOR_UNPRELOADABLE /* its path holds a blank or a colon, which LD_PRELOAD cannot carry (ld.so(8)) */
};

/*
 * Find the library for `jemalloc`, `tcmalloc`, `mimalloc` or a /path, by the
 * program's architecture and libc. root is "" outside tests. ret_path is
 * filled for FINE and UNFIT.
 */
enum allocator_problem allocator_find(const char *name, const struct program *program, const char *root, char *ret_path,
                                      size_t size);
const char *allocator_problem_text(enum allocator_problem problem);

void allocator_plan_add(struct allocator_plan *plan, const char *name, const char *value);
void allocator_plan_always(struct allocator_plan *plan, const char *name, const char *value);
void allocator_plan_preload(struct allocator_plan *plan, const char *library);

/* The worker's environment, in memory of its own; made once, before the worker exists. */
struct allocator_environment {
    char **env;                     /* NULL at the end */
    char *listen_pid;               /* value of LISTEN_PID when it named own_pid, with room for any pid; else NULL */
    const char *path;               /* value of PATH, or NULL */
    char set[ALLOCATOR_NAMES_MAX];  /* "MALLOC_ARENA_MAX=2,LD_PRELOAD=/usr/lib/x.so", for the log */
    char kept[ALLOCATOR_NAMES_MAX]; /* names the user had set and that were kept */
};

/*
 * Build it from the inherited one. Rules: a variable that is set already, to
 * whatever value, is kept unless plan->override; MALLOC_ARENA_MAX also counts
 * as set when GLIBC_TUNABLES has glibc.malloc.arena_max (and with override
 * that tunable is taken out, because it wins); likewise the other
 * glibc.malloc.* of the variables set here. The libraries go in front of an
 * existing LD_PRELOAD, those left out that are in there already.
 * Returns 0 or -ENOMEM.
 */
int allocator_environment_build(char *const *inherited, const struct allocator_plan *plan, long own_pid,
                                struct allocator_environment *ret_environment);

#endif
