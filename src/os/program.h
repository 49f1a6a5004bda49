/*
 * What kind of file a program or a library is: ELF class, machine and libc.
 * Start-up only.
 */
#ifndef TRIMTAB_OS_PROGRAM_H
#define TRIMTAB_OS_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

enum { PROGRAM_PATH_MAX = 4096 };

enum program_libc {
    PROGRAM_LIBC_UNKNOWN,
    PROGRAM_LIBC_STATIC, /* no PT_INTERP */
    PROGRAM_LIBC_GLIBC,
    PROGRAM_LIBC_MUSL
};

struct program {
    char path[PROGRAM_PATH_MAX]; /* of the ELF file in the end, after following #! */
    enum program_libc libc;
    uint8_t elf_class; /* ELFCLASS32, ELFCLASS64 */
    uint16_t machine;  /* EM_X86_64, ... */
    bool set_id;       /* set-user-ID or set-group-ID: the loader ignores LD_PRELOAD */
    bool sanitized;    /* linked with AddressSanitizer, which ends a program that has libraries before it */
};

const char *program_libc_name(enum program_libc libc);

/*
 * Look at what execvp(3) would run, following #! up to 4 times, `/usr/bin/env
 * NAME` included. path: PATH, or NULL. 0 or -errno; -ENOEXEC: not ELF in the
 * end (a script without #!).
 */
int program_inspect(const char *name, const char *path, struct program *ret_program);

/* The same for a shared library: libc by its DT_NEEDED; UNKNOWN when it needs none (fits any). */
int program_inspect_library(const char *file, struct program *ret_program);

/* Whether AddressSanitizer's runtime is among these, as in LD_PRELOAD. */
bool program_is_sanitizer(const char *libraries);

/* Whether the library can be loaded into the program. */
bool program_accepts(const struct program *program, const struct program *library);

#endif
