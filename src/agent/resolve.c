#include "resolve.h"

#include <elf.h>
#include <stddef.h>

#include "outside.h"

enum { VERSION_HIDDEN = 0x8000 }; /* of a symbol: not the default version of its name */

struct search {
    const char *name;
    uint32_t gnu_hash;
    uint32_t elf_hash;
    bool after_self;
    bool seen_self;
    bool first;
    void *found;
    struct resolve_object object;
};

/* The dynamic section of an object, as far as a search needs it. */
struct tables {
    const Elf64_Sym *symbols;
    const char *strings;
    const uint16_t *versions;
    const uint32_t *gnu;
    const uint32_t *elf;
};

static bool same(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

/* System V gABI 4.1, chapter 5. */
static uint32_t hash_elf(const char *name)
{
    uint32_t hash = 0;
    for (; *name != '\0'; name++) {
        hash = (hash << 4) + (unsigned char)*name;
        uint32_t high = hash & 0xf0000000;
        hash = (hash ^ high >> 24) & ~high;
    }
    return hash;
}

static uint32_t hash_gnu(const char *name)
{
    uint32_t hash = 5381;
    for (; *name != '\0'; name++)
        hash = hash * 33 + (unsigned char)*name;
    return hash;
}

static bool fits(const struct tables *tables, uint32_t index, const char *name)
{
    const Elf64_Sym *symbol = &tables->symbols[index];
    unsigned bind = symbol->st_info >> 4;
    unsigned type = symbol->st_info & 0xf;
    if (symbol->st_shndx == SHN_UNDEF || symbol->st_value == 0 || (bind != STB_GLOBAL && bind != STB_WEAK) ||
        (type != STT_FUNC && type != STT_NOTYPE))
        return false;
    if (tables->versions != NULL && (tables->versions[index] & VERSION_HIDDEN) != 0)
        return false;
    return same(tables->strings + symbol->st_name, name);
}

static uint32_t find_gnu(const struct tables *tables, const char *name, uint32_t hash)
{
    uint32_t buckets = tables->gnu[0];
    uint32_t first = tables->gnu[1];
    uint32_t bloom_words = tables->gnu[2];
    const uint32_t *bucket = tables->gnu + 4 + (size_t)bloom_words * (sizeof(Elf64_Addr) / sizeof(uint32_t));
    const uint32_t *chain = bucket + buckets;
    if (buckets == 0)
        return 0;
    uint32_t index = bucket[hash % buckets];
    if (index < first)
        return 0;
    for (;; index++) {
        uint32_t word = chain[index - first];
        if ((word | 1) == (hash | 1) && fits(tables, index, name))
            return index;
        if ((word & 1) != 0) /* the last of its bucket */
            return 0;
    }
}

static uint32_t find_elf(const struct tables *tables, const char *name, uint32_t hash)
{
    uint32_t buckets = tables->elf[0];
    const uint32_t *bucket = tables->elf + 2;
    const uint32_t *chain = bucket + buckets;
    if (buckets == 0)
        return 0;
    for (uint32_t index = bucket[hash % buckets]; index != 0; index = chain[index]) {
        if (fits(tables, index, name))
            return index;
    }
    return 0;
}

/* glibc turns the addresses of a dynamic section into absolute ones, musl does not. */
static const void *absolute(const struct dl_phdr_info *object, Elf64_Addr address)
{
    return (const void *)(address < object->dlpi_addr ? object->dlpi_addr + address : address);
}

static bool read_tables(const struct dl_phdr_info *object, struct tables *ret_tables)
{
    const Elf64_Dyn *dynamic = NULL;
    *ret_tables = (struct tables){ 0 };
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        if (object->dlpi_phdr[i].p_type == PT_DYNAMIC)
            dynamic = (const Elf64_Dyn *)(object->dlpi_addr + object->dlpi_phdr[i].p_vaddr);
    }
    for (; dynamic != NULL && dynamic->d_tag != DT_NULL; dynamic++) {
        const void *at = absolute(object, dynamic->d_un.d_ptr);
        if (dynamic->d_tag == DT_SYMTAB)
            ret_tables->symbols = at;
        else if (dynamic->d_tag == DT_STRTAB)
            ret_tables->strings = at;
        else if (dynamic->d_tag == DT_VERSYM)
            ret_tables->versions = at;
        else if (dynamic->d_tag == DT_GNU_HASH)
            ret_tables->gnu = at;
        else if (dynamic->d_tag == DT_HASH)
            ret_tables->elf = at;
    }
    return ret_tables->symbols != NULL && ret_tables->strings != NULL;
}

static struct resolve_object extent(const struct dl_phdr_info *object)
{
    struct resolve_object result = { .begin = UINTPTR_MAX };
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const Elf64_Phdr *header = &object->dlpi_phdr[i];
        if (header->p_type != PT_LOAD)
            continue;
        uintptr_t begin = object->dlpi_addr + header->p_vaddr;
        if (begin < result.begin)
            result.begin = begin;
        if (begin + header->p_memsz > result.end)
            result.end = begin + header->p_memsz;
    }
    return result;
}

static int search_object(struct dl_phdr_info *object, size_t size, void *argument)
{
    (void)size;
    struct search *search = argument;
    struct resolve_object here = extent(object);
    here.main = search->first;
    search->first = false;
    uintptr_t self = (uintptr_t)&search_object;
    bool is_self = self >= here.begin && self < here.end;
    if (is_self)
        search->seen_self = true;
    if (is_self || (search->after_self && !search->seen_self))
        return 0;
    struct tables tables;
    uint32_t index = 0;
    if (!read_tables(object, &tables))
        return 0;
    if (tables.gnu != NULL)
        index = find_gnu(&tables, search->name, search->gnu_hash);
    else if (tables.elf != NULL)
        index = find_elf(&tables, search->name, search->elf_hash);
    if (index == 0)
        return 0;
    search->found = (void *)(object->dlpi_addr + tables.symbols[index].st_value);
    search->object = here;
    return 1;
}

static void *resolve(const char *name, bool after_self, struct resolve_object *ret_object)
{
    struct search search = {
        .name = name, .gnu_hash = hash_gnu(name), .elf_hash = hash_elf(name), .after_self = after_self, .first = true
    };
    if (dl_iterate_phdr != NULL)
        (void)dl_iterate_phdr(search_object, &search);
    if (ret_object != NULL)
        *ret_object = search.object;
    return search.found;
}

void *resolve_next(const char *name)
{
    return resolve(name, true, NULL);
}

void *resolve_any(const char *name, struct resolve_object *ret_object)
{
    return resolve(name, false, ret_object);
}

static int read_generation(struct dl_phdr_info *object, size_t size, void *argument)
{
    unsigned long long *generation = argument;
    if (size >= offsetof(struct dl_phdr_info, dlpi_adds) + sizeof object->dlpi_adds)
        *generation = object->dlpi_adds;
    return 1;
}

unsigned long long resolve_generation(void)
{
    unsigned long long generation = 0;
    if (dl_iterate_phdr != NULL)
        (void)dl_iterate_phdr(read_generation, &generation);
    return generation;
}
