/*
 * What a forked child needs: it has one thread, and nobody asked it yet.
 */
#ifndef AGENT_FORK_H
#define AGENT_FORK_H

/* From the constructor. malloc_conf: the variable MALLOC_CONF, or NULL. */
void fork_start(const char *malloc_conf);

/* At a wait of the child, when every handler of the fork has run: start jemalloc's background thread. Not in a handler. */
void fork_do_chore(void);

#endif
