/*
 * Finding the allocator library that fits a program: by its architecture, as
 * distributions lay out their libraries, and by its libc. Start-up only.
 */
#include "allocator.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { NAMES_MAX = 4 };

static const struct {
    const char *name;
    const char *files[NAMES_MAX]; /* the newest first */
} libraries[] = {
    { "jemalloc", { "libjemalloc.so.2", "libjemalloc.so.1" } },
    { "tcmalloc", { "libtcmalloc_minimal.so.4", "libtcmalloc.so.4" } },
    { "mimalloc", { "libmimalloc.so.2", "libmimalloc.so.2.0", "libmimalloc.so" } },
};

static const struct {
    uint16_t machine;
    uint8_t elf_class;
    const char *triplet; /* Debian's multiarch name */
} triplets[] = {
    { EM_X86_64, ELFCLASS64, "x86_64-linux-gnu" }, { EM_AARCH64, ELFCLASS64, "aarch64-linux-gnu" },
    { EM_ARM, ELFCLASS32, "arm-linux-gnueabihf" }, { EM_ARM, ELFCLASS32, "arm-linux-gnueabi" },
    { EM_386, ELFCLASS32, "i386-linux-gnu" },      { EM_PPC64, ELFCLASS64, "powerpc64le-linux-gnu" },
    { EM_S390, ELFCLASS64, "s390x-linux-gnu" },    { EM_RISCV, ELFCLASS64, "riscv64-linux-gnu" },
};

/* %s: a triplet; places with one are tried for each that fits the program. */
static const char *const places[] = {
    "/usr/local/lib", "/usr/lib/%s", "/usr/lib64", "/usr/lib", "/lib/%s", "/lib64", "/lib",
};

enum { LIBRARIES = sizeof libraries / sizeof libraries[0] };
enum { TRIPLETS = sizeof triplets / sizeof triplets[0] };
enum { PLACES = sizeof places / sizeof places[0] };

/* What is asked for, and the best answer so far. */
struct search {
    const struct program *program;
    const char *root;
    char *path;
    size_t size;
    enum allocator_problem best; /* MISSING, UNFIT or FINE */
};

/* Whether this candidate ends the search. The first unfit one is remembered. */
static bool try_file(struct search *search, const char *directory, const char *file)
{
    struct program library;
    char path[PROGRAM_PATH_MAX];
    int length = snprintf(path, sizeof path, "%s%s/%s", search->root, directory, file);
    if (length < 0 || (size_t)length >= sizeof path || (size_t)length >= search->size)
        return false;
    int r = program_inspect_library(path, &library);
    if (r == -ENOENT || r == -ENOTDIR)
        return false;
    bool fits = r == 0 && program_accepts(search->program, &library);
    if (!fits && search->best == ALLOCATOR_UNFIT)
        return false;
    memcpy(search->path, path, (size_t)length + 1);
    search->best = fits ? ALLOCATOR_FINE : ALLOCATOR_UNFIT;
    return fits;
}

static bool try_place(struct search *search, const char *place, const char *file)
{
    const char *slot = strstr(place, "%s");
    if (!slot)
        return try_file(search, place, file);
    for (size_t i = 0; i < TRIPLETS; i++) {
        char directory[64];
        if (triplets[i].machine != search->program->machine || triplets[i].elf_class != search->program->elf_class)
            continue;
        (void)snprintf(directory, sizeof directory, "%.*s%s", (int)(slot - place), place, triplets[i].triplet);
        if (try_file(search, directory, file))
            return true;
    }
    return false;
}

static void search_places(struct search *search, const char *name)
{
    for (size_t i = 0; i < LIBRARIES; i++) {
        if (strcmp(libraries[i].name, name) != 0)
            continue;
        for (size_t file = 0; file < NAMES_MAX && libraries[i].files[file]; file++)
            for (size_t place = 0; place < PLACES; place++)
                if (try_place(search, places[place], libraries[i].files[file]))
                    return;
    }
}

enum allocator_problem allocator_find(const char *name, const struct program *program, const char *root, char *ret_path,
                                      size_t size)
{
    struct search search = { program, root, ret_path, size, ALLOCATOR_MISSING };
    ret_path[0] = '\0';
    if (program->libc == PROGRAM_LIBC_STATIC)
        return ALLOCATOR_STATIC;
    if (program->set_id)
        return ALLOCATOR_SET_ID;
    if (program->sanitized)
        return ALLOCATOR_SANITIZED;
    if (name[0] == '/') {
        if (strpbrk(name, " \t\n:"))
            return ALLOCATOR_UNPRELOADABLE;
        (void)try_file(&search, "", name + 1);
    } else {
        search_places(&search, name);
    }
    return search.best;
}

const char *allocator_problem_text(enum allocator_problem problem)
{
    switch (problem) {
    case ALLOCATOR_FINE:
        break;
    case ALLOCATOR_MISSING:
        return "the library is not installed";
    case ALLOCATOR_UNFIT:
        return "the library is for another libc or architecture than the program, or damaged";
    case ALLOCATOR_STATIC:
        return "the program is static: nothing can be preloaded";
    case ALLOCATOR_SET_ID:
        return "the program is set-user-ID or set-group-ID: its loader ignores LD_PRELOAD";
    case ALLOCATOR_SANITIZED:
        return "the program is built with AddressSanitizer, which lets nothing be preloaded";
    case ALLOCATOR_SHUT:
        return "the worker's user cannot load the library from where it is";
    case ALLOCATOR_UNPRELOADABLE:
        return "the library's path holds a blank or a colon, which LD_PRELOAD cannot carry";
    }
    return "";
}

void allocator_plan_preload(struct allocator_plan *plan, const char *library)
{
    if (plan->preloads < ALLOCATOR_PRELOADS_MAX)
        (void)snprintf(plan->preload[plan->preloads++], sizeof plan->preload[0], "%s", library);
}

static void add(struct allocator_plan *plan, const char *name, const char *value, bool always)
{
    if (plan->count == ALLOCATOR_SETTINGS_MAX)
        return;
    struct allocator_setting *setting = &plan->setting[plan->count++];
    setting->name = name;
    setting->always = always;
    (void)snprintf(setting->value, sizeof setting->value, "%s", value);
}

void allocator_plan_add(struct allocator_plan *plan, const char *name, const char *value)
{
    add(plan, name, value, false);
}

void allocator_plan_always(struct allocator_plan *plan, const char *name, const char *value)
{
    add(plan, name, value, true);
}
