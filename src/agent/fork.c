#include "fork.h"

#include <stdbool.h>
#include <stddef.h>

#include "request.h"
#include "resolve.h"
#include "trim.h"

static bool background; /* MALLOC_CONF asks for jemalloc's background thread */

/* In the child, with other libraries' handlers still to come: only notes. */
static void forked(void)
{
    request_forget();
    if (background)
        (void)atomic_fetch_or(&request_attention, REQUEST_CHORE);
}

static bool contains(const char *text, const char *word)
{
    for (; *text != '\0'; text++) {
        size_t n = 0;
        while (word[n] != '\0' && text[n] == word[n])
            n++;
        if (word[n] == '\0')
            return true;
    }
    return false;
}

void fork_start(const char *malloc_conf)
{
    background = malloc_conf != NULL && contains(malloc_conf, "background_thread:true");
    /* pthread_atfork(3) of glibc is a part of each program, which calls this one. */
    int (*glibc)(void (*)(void), void (*)(void), void (*)(void), void *) =
        (int (*)(void (*)(void), void (*)(void), void (*)(void), void *))resolve_any("__register_atfork", NULL);
    int (*other)(void (*)(void), void (*)(void), void (*)(void)) =
        (int (*)(void (*)(void), void (*)(void), void (*)(void)))resolve_any("pthread_atfork", NULL);
    if (glibc != NULL)
        (void)glibc(NULL, NULL, forked, NULL);
    else if (other != NULL)
        (void)other(NULL, NULL, forked);
}

void fork_do_chore(void)
{
    if ((atomic_fetch_and(&request_attention, ~(unsigned)REQUEST_CHORE) & REQUEST_CHORE) != 0)
        trim_start_background();
}
