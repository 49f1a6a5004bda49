/*
 * The worker's environment, made of the one trimtab was given and of a plan.
 * See environ(7), ld.so(8) for LD_PRELOAD and GLIBC_TUNABLES.
 *
 * Owns one block of memory for what is new; strings that stay as they are
 * remain where the kernel put them. With nothing to change there is no block.
 */
#include "allocator.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PID_TEXT_MAX = 11 /* 10 digits and NUL */ };

/* glibc's tunable of a variable; where both are set it wins. */
static const struct {
    const char *name;
    const char *tunable;
} tunables[] = {
    { "MALLOC_ARENA_MAX", "glibc.malloc.arena_max" },
    { "MALLOC_TRIM_THRESHOLD_", "glibc.malloc.trim_threshold" },
    { "MALLOC_MMAP_THRESHOLD_", "glibc.malloc.mmap_threshold" },
    { "MALLOC_TOP_PAD_", "glibc.malloc.top_pad" },
};

/* ---- texts ---- */

/* The value when entry is `name=value`, else NULL. */
static const char *value_of(const char *entry, const char *name)
{
    size_t length = strlen(name);
    return strncmp(entry, name, length) == 0 && entry[length] == '=' ? entry + length + 1 : NULL;
}

/* The first one counts, as for getenv(3). */
static const char *find(char *const *env, const char *name)
{
    for (; *env; env++) {
        const char *value = value_of(*env, name);
        if (value)
            return value;
    }
    return NULL;
}

static const char *tunable_of(const char *name)
{
    for (size_t i = 0; i < sizeof tunables / sizeof tunables[0]; i++)
        if (strcmp(tunables[i].name, name) == 0)
            return tunables[i].tunable;
    return NULL;
}

/* Add `word` or `name=value` to a list separated by commas; what does not fit is left out whole. */
static void note(char *list, const char *name, const char *value)
{
    size_t length = strlen(list);
    size_t room = ALLOCATOR_NAMES_MAX - length;
    int wanted =
        snprintf(list + length, room, "%s%s%s%s", length > 0 ? "," : "", name, value ? "=" : "", value ? value : "");
    if (wanted < 0 || (size_t)wanted >= room)
        list[length] = '\0';
}

/* Whether the loader is told to preload this library, or another of the same file name: then it is the user's. */
static bool preloads(const char *list, const char *library)
{
    const char *slash = strrchr(library, '/');
    const char *file = slash ? slash + 1 : library;
    size_t file_length = strlen(file);
    for (;;) {
        list += strspn(list, " :");
        size_t length = strcspn(list, " :");
        if (length == 0)
            return false;
        if (length >= file_length && strncmp(list + length - file_length, file, file_length) == 0 &&
            (length == file_length || list[length - file_length - 1] == '/'))
            return true;
        list += length;
    }
}

/* Whether a value of GLIBC_TUNABLES sets this tunable. */
static bool tunes(const char *value, const char *tunable)
{
    for (;;) {
        if (value_of(value, tunable))
            return true;
        value = strchr(value, ':');
        if (!value)
            return false;
        value++;
    }
}

/* Take a tunable out of a value of GLIBC_TUNABLES, in place. */
static void untune(char *value, const char *tunable)
{
    char *to = value;
    const char *from = value;
    while (*from != '\0') {
        size_t length = strcspn(from, ":");
        const char *next = from + length + (from[length] == ':');
        if (!value_of(from, tunable)) {
            if (to != value)
                *to++ = ':';
            memmove(to, from, length);
            to += length;
        }
        from = next;
    }
    *to = '\0';
}

/* ---- building ---- */

struct build {
    const struct allocator_plan *plan;
    struct allocator_environment *out;
    const char *user_tunables; /* the user's GLIBC_TUNABLES, or NULL */
    char *our_tunables;        /* our copy of its value once something was taken out */
    char **next;               /* where the next pointer goes */
    char *text;                /* where the next string goes */
};

/* Append `name=` with a value of two parts, and drop what there was of that name. Returns where the value went. */
static char *put(struct build *build, const char *name, const char *value, const char *more)
{
    char **to = build->out->env;
    for (char **from = to; from < build->next; from++)
        if (!value_of(*from, name))
            *to++ = *from;
    *to++ = build->text;
    build->next = to;
    char *start = stpcpy(stpcpy(build->text, name), "=");
    build->text = stpcpy(stpcpy(start, value), more) + 1;
    return start;
}

static void put_setting(struct build *build, char *const *inherited, const struct allocator_setting *setting)
{
    struct allocator_environment *out = build->out;
    const char *tunable = tunable_of(setting->name);
    bool named = find(inherited, setting->name) != NULL;
    bool tuned = tunable && build->user_tunables && tunes(build->user_tunables, tunable);
    if ((named || tuned) && !build->plan->override && !setting->always) {
        note(out->kept, tuned ? tunable : setting->name, NULL);
        return;
    }
    (void)put(build, setting->name, setting->value, "");
    note(out->set, setting->name, setting->value);
    if (tuned) {
        if (!build->our_tunables)
            build->our_tunables = put(build, "GLIBC_TUNABLES", build->user_tunables, "");
        untune(build->our_tunables, tunable);
    }
}

/* Extend the string that was put last. */
static void extend(struct build *build, const char *text)
{
    build->text = stpcpy(build->text - 1, text) + 1;
}

static void put_libraries(struct build *build, const char *user_preload)
{
    const struct allocator_plan *plan = build->plan;
    const char *value = NULL;
    bool kept = false;
    for (size_t i = 0; i < plan->preloads; i++) {
        if (user_preload && preloads(user_preload, plan->preload[i])) {
            kept = true;
            continue;
        }
        if (value)
            extend(build, ":");
        else
            value = put(build, "LD_PRELOAD", "", "");
        extend(build, plan->preload[i]);
    }
    if (kept)
        note(build->out->kept, "LD_PRELOAD", NULL);
    if (!value)
        return;
    note(build->out->set, "LD_PRELOAD", value);
    if (user_preload && user_preload[0] != '\0') {
        extend(build, ":");
        extend(build, user_preload);
    }
}

/* Room for all strings that may become ours. */
static size_t text_size(const struct allocator_plan *plan, const char *user_preload, const char *user_tunables)
{
    size_t size = sizeof "LD_PRELOAD=" + sizeof "LISTEN_PID=" + PID_TEXT_MAX;
    for (size_t i = 0; i < plan->preloads; i++)
        size += strlen(plan->preload[i]) + 1;
    if (user_preload)
        size += strlen(user_preload);
    if (user_tunables)
        size += sizeof "GLIBC_TUNABLES=" + strlen(user_tunables);
    for (size_t i = 0; i < plan->count; i++)
        size += strlen(plan->setting[i].name) + strlen(plan->setting[i].value) + 2;
    return size;
}

static bool names_pid(const char *value, long pid)
{
    char *end;
    return value && strtol(value, &end, 10) == pid && end != value && *end == '\0';
}

int allocator_environment_build(char *const *inherited, const struct allocator_plan *plan, long own_pid,
                                struct allocator_environment *ret_environment)
{
    struct allocator_environment *out = ret_environment;
    memset(out, 0, sizeof *out);
    out->path = find(inherited, "PATH");
    bool renumber = names_pid(find(inherited, "LISTEN_PID"), own_pid);
    if (plan->count == 0 && plan->preloads == 0 && !renumber) {
        out->env = (char **)inherited;
        return 0;
    }

    const char *user_preload = find(inherited, "LD_PRELOAD");
    const char *user_tunables = find(inherited, "GLIBC_TUNABLES");
    size_t count = 0;
    while (inherited[count])
        count++;
    size_t pointers = count + plan->count + 4; /* LISTEN_PID, LD_PRELOAD, GLIBC_TUNABLES, NULL */
    char **block = malloc(pointers * sizeof *block + text_size(plan, user_preload, user_tunables));
    if (!block)
        return -ENOMEM;
    memcpy(block, inherited, count * sizeof *block);
    out->env = block;

    struct build build = { .plan = plan, .out = out, .user_tunables = user_tunables };
    build.next = block + count;
    build.text = (char *)(block + pointers);
    for (size_t i = 0; i < plan->count; i++)
        put_setting(&build, inherited, &plan->setting[i]);
    put_libraries(&build, user_preload);
    if (build.our_tunables)
        note(out->set, "GLIBC_TUNABLES", build.our_tunables);
    if (renumber) {
        out->listen_pid = put(&build, "LISTEN_PID", "", "");
        (void)snprintf(out->listen_pid, PID_TEXT_MAX, "%ld", own_pid);
    }
    *build.next = NULL;
    return 0;
}
