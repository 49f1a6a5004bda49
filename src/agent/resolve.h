/*
 * Finds functions in the loaded objects without dlsym(3), which may allocate,
 * and which glibc before 2.34 keeps in a library of its own.
 */
#ifndef AGENT_RESOLVE_H
#define AGENT_RESOLVE_H

#include <stdbool.h>
#include <stdint.h>

struct resolve_object {
    uintptr_t begin; /* where it is loaded */
    uintptr_t end;
    bool main; /* the program itself */
};

/*
 * The function of that name in the first object loaded after this library, in
 * its default symbol version; NULL if there is none. That is the C library's,
 * or another preloaded library's that stands before it.
 */
void *resolve_next(const char *name);

/* The same in all objects, the program's first. ret_object, if not NULL: where it was found. */
void *resolve_any(const char *name, struct resolve_object *ret_object);

/* How often an object was loaded since the program began; 0 if that is not known. */
unsigned long long resolve_generation(void);

#endif
