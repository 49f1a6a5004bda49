/*
 * The library that is preloaded into the worker: an installed one, or the one
 * that trimtab carries inside, put where the loader can open it.
 * Start-up only. All functions: 0 or -errno.
 */
#ifndef TRIMTAB_OS_AGENT_LIBRARY_H
#define TRIMTAB_OS_AGENT_LIBRARY_H

#include <stddef.h>

#include "program.h"

#define AGENT_LIBRARY_FILE "libtrimtab-agent.so"

/*
 * Where an installed one may be: place 0 is lib beside the directory trimtab
 * itself is in, then come the system's. root is "" outside tests. -ENOENT:
 * there are no more places; -ENAMETOOLONG: not this one.
 */
int agent_library_place(unsigned place, const char *root, char *ret_path, size_t size);

/*
 * The one inside as a file of the directory, readable for all, replaced in one
 * step; only in a directory of ours that nobody else can write to (-EPERM).
 */
int agent_library_write(const char *directory, char *ret_path, size_t size);

/*
 * The one inside as a sealed memory file (memfd_create(2)); its path names our
 * descriptor, which must stay open. Who may not look into us (ptrace(2)) cannot
 * open it. A system may forbid to run code from such files (vm.memfd_noexec).
 */
int agent_library_remember(int *ret_fd, char *ret_path, size_t size);

#endif
