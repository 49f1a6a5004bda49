/*
 * What kind of file a program or a library is. See elf(5), execve(2), ld.so(8).
 *
 * Reads small pieces by pread(2) and trusts none of them: every offset and
 * count of the file is checked before it is used.
 */
#include "program.h"

#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "child.h"
#include "text.h"

enum {
    SCRIPT_DEPTH = 4,
    SCRIPT_LINE_MAX = 256, /* BINPRM_BUF_SIZE: the kernel reads no more of a #! line */
    SEGMENTS_MAX = 1024,   /* the kernel takes at most 64 KiB of program headers */
    DYNAMIC_MAX = 512,     /* entries looked at; a library has some thirty */
    NAME_MAX_BYTES = 256   /* of an interpreter or a needed library */
};

#if __BYTE_ORDER == __LITTLE_ENDIAN
enum { NATIVE_DATA = ELFDATA2LSB };
#else
enum { NATIVE_DATA = ELFDATA2MSB };
#endif

/* ---- ELF ---- */

struct elf {
    int fd;
    uint64_t size; /* of the file */
    mode_t mode;
    bool wide; /* ELFCLASS64 */
    uint16_t type;
    uint16_t machine;
    uint64_t segment_offset;
    unsigned segment_count;
};

struct segment {
    uint32_t type;
    uint64_t offset;
    uint64_t address;
    uint64_t size; /* in the file */
};

/* All of size bytes at offset. The bounds are those of the file when it was opened. */
static int read_at(const struct elf *elf, uint64_t offset, void *ret_bytes, size_t size)
{
    if (offset > elf->size || size > elf->size - offset)
        return -ENOEXEC;
    ssize_t got = pread(elf->fd, ret_bytes, size, (off_t)offset);
    if (got < 0)
        return -errno;
    return (size_t)got == size ? 0 : -ENOEXEC;
}

static int elf_read_header(struct elf *elf)
{
    unsigned char ident[EI_NIDENT];
    int r = read_at(elf, 0, ident, sizeof ident);
    if (r < 0)
        return r;
    if (memcmp(ident, ELFMAG, SELFMAG) != 0 || ident[EI_DATA] != NATIVE_DATA ||
        (ident[EI_CLASS] != ELFCLASS32 && ident[EI_CLASS] != ELFCLASS64))
        return -ENOEXEC;
    elf->wide = ident[EI_CLASS] == ELFCLASS64;
    size_t entry_size;
    if (elf->wide) {
        Elf64_Ehdr header;
        r = read_at(elf, 0, &header, sizeof header);
        if (r < 0)
            return r;
        elf->type = header.e_type;
        elf->machine = header.e_machine;
        elf->segment_offset = header.e_phoff;
        elf->segment_count = header.e_phnum;
        entry_size = header.e_phentsize;
    } else {
        Elf32_Ehdr header;
        r = read_at(elf, 0, &header, sizeof header);
        if (r < 0)
            return r;
        elf->type = header.e_type;
        elf->machine = header.e_machine;
        elf->segment_offset = header.e_phoff;
        elf->segment_count = header.e_phnum;
        entry_size = header.e_phentsize;
    }
    bool fits = entry_size == (elf->wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr));
    return fits && elf->segment_count <= SEGMENTS_MAX && elf->segment_offset <= elf->size ? 0 : -ENOEXEC;
}

static int elf_segment(const struct elf *elf, unsigned index, struct segment *ret_segment)
{
    if (elf->wide) {
        Elf64_Phdr header;
        int r = read_at(elf, elf->segment_offset + (uint64_t)index * sizeof header, &header, sizeof header);
        if (r < 0)
            return r;
        *ret_segment = (struct segment){ header.p_type, header.p_offset, header.p_vaddr, header.p_filesz };
    } else {
        Elf32_Phdr header;
        int r = read_at(elf, elf->segment_offset + (uint64_t)index * sizeof header, &header, sizeof header);
        if (r < 0)
            return r;
        *ret_segment = (struct segment){ header.p_type, header.p_offset, header.p_vaddr, header.p_filesz };
    }
    return 0;
}

/* The first segment of a type. 1, 0 when there is none, or -errno. */
static int elf_find_segment(const struct elf *elf, uint32_t type, struct segment *ret_segment)
{
    for (unsigned i = 0; i < elf->segment_count; i++) {
        int r = elf_segment(elf, i, ret_segment);
        if (r < 0)
            return r;
        if (ret_segment->type == type)
            return 1;
    }
    return 0;
}

/* A string of the file, cut to what the buffer holds. */
static int elf_string(const struct elf *elf, uint64_t offset, uint64_t limit, char *ret_text, size_t size)
{
    if (offset >= elf->size)
        return -ENOEXEC;
    uint64_t length = elf->size - offset;
    if (length > limit)
        length = limit;
    if (length > size - 1)
        length = size - 1;
    int r = read_at(elf, offset, ret_text, (size_t)length);
    ret_text[r < 0 ? 0 : length] = '\0';
    return r;
}

/* ---- the libc of a program ---- */

static enum program_libc libc_of_interpreter(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    if (strncmp(name, "ld-musl", 7) == 0)
        return PROGRAM_LIBC_MUSL;
    if (strncmp(name, "ld-linux", 8) == 0 || strncmp(name, "ld64.so", 7) == 0 || strncmp(name, "ld.so", 5) == 0)
        return PROGRAM_LIBC_GLIBC;
    return PROGRAM_LIBC_UNKNOWN;
}

static int find_program_libc(const struct elf *elf, enum program_libc *ret_libc)
{
    char name[NAME_MAX_BYTES];
    struct segment segment;
    int r = elf_find_segment(elf, PT_INTERP, &segment);
    if (r < 0)
        return r;
    if (r == 0) { /* a static PIE has PT_DYNAMIC, but nobody to read LD_PRELOAD */
        *ret_libc = PROGRAM_LIBC_STATIC;
        return 0;
    }
    r = elf_string(elf, segment.offset, segment.size, name, sizeof name);
    if (r == 0)
        *ret_libc = libc_of_interpreter(name);
    return r;
}

/* ---- the libc of a library ---- */

static enum program_libc libc_of_needed(const char *name)
{
    /* musl's is libc.so, and libc.musl-x86_64.so.1 on Alpine. */
    if (strcmp(name, "libc.so") == 0 || strncmp(name, "libc.musl", 9) == 0 || strncmp(name, "ld-musl", 7) == 0)
        return PROGRAM_LIBC_MUSL;
    if (strncmp(name, "libc.so.6", 9) == 0)
        return PROGRAM_LIBC_GLIBC;
    return PROGRAM_LIBC_UNKNOWN;
}

bool program_is_sanitizer(const char *libraries)
{
    return strstr(libraries, "libasan.so") != NULL || strstr(libraries, "libclang_rt.asan") != NULL;
}

struct dynamic {
    uint64_t tag;
    uint64_t value;
};

/* 1, 0 at the end of the section, or -errno. */
static int dynamic_entry(const struct elf *elf, const struct segment *section, unsigned index,
                         struct dynamic *ret_entry)
{
    size_t size = elf->wide ? sizeof(Elf64_Dyn) : sizeof(Elf32_Dyn);
    uint64_t at = (uint64_t)index * size;
    if (index >= DYNAMIC_MAX || section->size < size || at > section->size - size)
        return 0;
    if (section->offset > elf->size)
        return -ENOEXEC;
    if (elf->wide) {
        Elf64_Dyn entry;
        int r = read_at(elf, section->offset + at, &entry, sizeof entry);
        if (r < 0)
            return r;
        *ret_entry = (struct dynamic){ (uint64_t)entry.d_tag, entry.d_un.d_val };
    } else {
        Elf32_Dyn entry;
        int r = read_at(elf, section->offset + at, &entry, sizeof entry);
        if (r < 0)
            return r;
        *ret_entry = (struct dynamic){ (uint64_t)entry.d_tag, entry.d_un.d_val };
    }
    return ret_entry->tag != DT_NULL;
}

/* Where in the file an address of the loaded library comes from. */
static int file_offset(const struct elf *elf, uint64_t address, uint64_t *ret_offset)
{
    struct segment segment;
    for (unsigned i = 0; i < elf->segment_count; i++) {
        int r = elf_segment(elf, i, &segment);
        if (r < 0)
            return r;
        if (segment.type != PT_LOAD || address < segment.address || address - segment.address >= segment.size)
            continue;
        uint64_t within = address - segment.address;
        if (segment.offset > elf->size || within > elf->size - segment.offset)
            return -ENOEXEC;
        *ret_offset = segment.offset + within;
        return 0;
    }
    return -ENOEXEC;
}

/* Look at what it is linked with: the C library, and the one that lets nothing be loaded before itself. */
static int look_at_needed(const struct elf *elf, enum program_libc *ret_libc, bool *ret_sanitized)
{
    struct segment section;
    struct dynamic entry;
    uint64_t strings = 0;
    bool found = false;
    int r = elf_find_segment(elf, PT_DYNAMIC, &section);
    if (r <= 0)
        return r < 0 ? r : -ENOEXEC;
    for (unsigned i = 0; !found && (r = dynamic_entry(elf, &section, i, &entry)) > 0; i++)
        found = entry.tag == DT_STRTAB;
    if (r < 0)
        return r;
    if (!found)
        return -ENOEXEC;
    r = file_offset(elf, entry.value, &strings);
    if (r < 0)
        return r;

    *ret_libc = PROGRAM_LIBC_UNKNOWN;
    for (unsigned i = 0; (r = dynamic_entry(elf, &section, i, &entry)) > 0; i++) {
        char name[NAME_MAX_BYTES];
        if (entry.tag != DT_NEEDED)
            continue;
        if (entry.value > elf->size - strings)
            return -ENOEXEC;
        r = elf_string(elf, strings + entry.value, UINT64_MAX, name, sizeof name);
        if (r < 0)
            return r;
        *ret_sanitized = *ret_sanitized || program_is_sanitizer(name);
        enum program_libc libc = libc_of_needed(name);
        if (libc != PROGRAM_LIBC_UNKNOWN)
            *ret_libc = libc;
    }
    return r;
}

/* A library that was cut short ends with SIGBUS whoever loads it. */
static int check_complete(const struct elf *elf)
{
    struct segment segment;
    for (unsigned i = 0; i < elf->segment_count; i++) {
        int r = elf_segment(elf, i, &segment);
        if (r < 0)
            return r;
        if (segment.type == PT_LOAD && (segment.offset > elf->size || segment.size > elf->size - segment.offset))
            return -ENOEXEC;
    }
    return 0;
}

/* ---- files ---- */

/* Open a regular file; O_NONBLOCK because a FIFO would wait for its other end. */
static int open_regular(const char *path, struct elf *ret_elf)
{
    struct stat file;
    *ret_elf = (struct elf){ .fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) };
    if (ret_elf->fd < 0)
        return -errno;
    int r = fstat(ret_elf->fd, &file) < 0 ? -errno : 0;
    if (r == 0 && !S_ISREG(file.st_mode))
        r = -EACCES; /* as execve(2) */
    if (r < 0) {
        (void)close(ret_elf->fd);
        return r;
    }
    ret_elf->size = (uint64_t)file.st_size;
    ret_elf->mode = file.st_mode;
    return 0;
}

static void describe(const struct elf *elf, struct program *ret_program)
{
    ret_program->elf_class = elf->wide ? ELFCLASS64 : ELFCLASS32;
    ret_program->machine = elf->machine;
    /* Set-group-ID without the group's x bit means something else (inode(7)). */
    ret_program->set_id = (elf->mode & S_ISUID) != 0 || (elf->mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP);
}

/* ---- scripts ---- */

/* The next word of *text, ended by a NUL; NULL when there is none. */
static char *next_word(char **text)
{
    char *word = *text + strspn(*text, " \t");
    if (*word == '\0')
        return NULL;
    *text = word + strcspn(word, " \t");
    if (**text != '\0')
        *(*text)++ = '\0';
    return word;
}

/* What env(1) would run: the kernel hands all of the line over as one word, -S splits it. */
static const char *env_program(char *argument)
{
    char *word;
    if (strncmp(argument, "-S", 2) != 0)
        return argument;
    argument += 2;
    do
        word = next_word(&argument);
    while (word && (*word == '-' || strchr(word, '=')));
    return word;
}

/*
 * The program that a `#!` line names, in place: the interpreter, or what env
 * would find. NULL: there is none. *ret_search: look it up in PATH.
 */
static const char *script_interpreter(char *line, bool *ret_search)
{
    line[strcspn(line, "\n")] = '\0';
    size_t length = strlen(line);
    while (length > 2 && (line[length - 1] == ' ' || line[length - 1] == '\t' || line[length - 1] == '\r'))
        line[--length] = '\0';
    char *rest = line + 2;
    const char *interpreter = next_word(&rest);
    *ret_search = false;
    if (!interpreter)
        return NULL;
    rest += strspn(rest, " \t");
    const char *slash = strrchr(interpreter, '/');
    if (strcmp(slash ? slash + 1 : interpreter, "env") == 0 && *rest != '\0') {
        *ret_search = true;
        return env_program(rest);
    }
    return interpreter;
}

/* The first candidate that can be run. */
static int resolve(const char *name, const char *path, char *ret_path, size_t size)
{
    const char *state = NULL;
    int error = -ENOENT;
    while (child_path_next(name, path, &state, ret_path, size)) {
        struct stat file;
        if (stat(ret_path, &file) < 0)
            continue;
        if (S_ISREG(file.st_mode) && (file.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)))
            return 0;
        error = -EACCES;
    }
    return error;
}

int program_inspect(const char *name, const char *path, struct program *ret_program)
{
    char line[SCRIPT_LINE_MAX];
    bool search = true;
    memset(ret_program, 0, sizeof *ret_program);
    for (int depth = 0; depth <= SCRIPT_DEPTH; depth++) {
        struct elf elf;
        int r = search ? resolve(name, path, ret_program->path, sizeof ret_program->path)
                       : (text_copy(name, ret_program->path, sizeof ret_program->path) ? 0 : -ENAMETOOLONG);
        if (r < 0)
            return r;
        r = open_regular(ret_program->path, &elf);
        if (r < 0)
            return r;
        ssize_t got = pread(elf.fd, line, sizeof line - 1, 0);
        if (got < 2 || memcmp(line, "#!", 2) != 0) {
            r = got < 0 ? -errno : elf_read_header(&elf);
            if (r == 0)
                r = find_program_libc(&elf, &ret_program->libc);
            if (r == 0)
                describe(&elf, ret_program);
            enum program_libc linked; /* the interpreter's word counts */
            if (r == 0 && ret_program->libc != PROGRAM_LIBC_STATIC)
                (void)look_at_needed(&elf, &linked, &ret_program->sanitized);
            (void)close(elf.fd);
            return r;
        }
        (void)close(elf.fd);
        line[got] = '\0';
        name = script_interpreter(line, &search);
        if (!name)
            return -ENOEXEC;
    }
    return -ELOOP; /* as execve(2) */
}

int program_inspect_library(const char *file, struct program *ret_program)
{
    struct elf elf;
    memset(ret_program, 0, sizeof *ret_program);
    if (!text_copy(file, ret_program->path, sizeof ret_program->path))
        return -ENAMETOOLONG;
    int r = open_regular(file, &elf);
    if (r < 0)
        return r;
    r = elf_read_header(&elf);
    if (r == 0 && elf.type != ET_DYN)
        r = -ENOEXEC;
    if (r == 0)
        r = check_complete(&elf);
    if (r == 0)
        r = look_at_needed(&elf, &ret_program->libc, &ret_program->sanitized);
    if (r == 0)
        describe(&elf, ret_program);
    (void)close(elf.fd);
    return r;
}

bool program_accepts(const struct program *program, const struct program *library)
{
    if (program->libc == PROGRAM_LIBC_STATIC || program->elf_class != library->elf_class ||
        program->machine != library->machine)
        return false;
    return library->libc == PROGRAM_LIBC_UNKNOWN || library->libc == program->libc;
}

const char *program_libc_name(enum program_libc libc)
{
    switch (libc) {
    case PROGRAM_LIBC_STATIC:
        return "static";
    case PROGRAM_LIBC_GLIBC:
        return "glibc";
    case PROGRAM_LIBC_MUSL:
        return "musl";
    case PROGRAM_LIBC_UNKNOWN:
        break;
    }
    return "unknown";
}
