/* Kinds of programs and libraries: real ones of this machine, ones made by hand, and damaged ones. */
#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "os/program.h"

static char folder[] = "/tmp/trimtab-program-XXXXXX";
static struct program program, library;

/* ---- helpers ---- */

static int remove_entry(const char *path, const struct stat *file, int kind, struct FTW *ftw)
{
    (void)file;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* A path in the folder; valid until the fourth call from here. */
static const char *in_folder(const char *name)
{
    static char paths[4][256];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    (void)snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static const char *put_bytes(const char *name, const void *bytes, size_t size, mode_t mode)
{
    const char *path = in_folder(name);
    (void)unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    assert_return_code(fchmod(fd, mode), errno);
    (void)close(fd);
    return path;
}

static const char *put(const char *name, const char *text, mode_t mode)
{
    return put_bytes(name, text, strlen(text), mode);
}

/* A small ELF file with room for all we read: header, four segments, dynamic section, strings. */
struct image {
    Elf64_Ehdr header;
    Elf64_Phdr segment[4];
    Elf64_Dyn dynamic[8];
    char strings[128];
};

enum { ADDRESS = 0x10000 };

static struct image make_image(uint16_t type, const char *interpreter)
{
    struct image image = { .header = { .e_type = type,
                                       .e_machine = EM_X86_64,
                                       .e_version = EV_CURRENT,
                                       .e_phoff = offsetof(struct image, segment),
                                       .e_ehsize = sizeof(Elf64_Ehdr),
                                       .e_phentsize = sizeof(Elf64_Phdr),
                                       .e_phnum = 4 } };
    memcpy(image.header.e_ident, ELFMAG, SELFMAG);
    image.header.e_ident[EI_CLASS] = ELFCLASS64;
    image.header.e_ident[EI_DATA] = __BYTE_ORDER == __LITTLE_ENDIAN ? ELFDATA2LSB : ELFDATA2MSB;
    image.segment[0] =
        (Elf64_Phdr){ .p_type = PT_LOAD, .p_vaddr = ADDRESS, .p_filesz = sizeof image, .p_memsz = sizeof image };
    image.segment[1] = (Elf64_Phdr){ .p_type = PT_DYNAMIC,
                                     .p_offset = offsetof(struct image, dynamic),
                                     .p_filesz = sizeof image.dynamic };
    if (interpreter) {
        image.segment[2] = (Elf64_Phdr){ .p_type = PT_INTERP,
                                         .p_offset = offsetof(struct image, strings) + 64,
                                         .p_filesz = strlen(interpreter) + 1 };
        memcpy(image.strings + 64, interpreter, strlen(interpreter) + 1);
    }
    return image;
}

/* needed: names of libraries, by blanks in one string of at most 60 bytes. */
static struct image make_library(const char *needed)
{
    struct image image = make_image(ET_DYN, NULL);
    size_t entry = 0, at = 1;
    while (*needed != '\0') {
        size_t length = strcspn(needed, " ");
        image.dynamic[entry++] = (Elf64_Dyn){ .d_tag = DT_NEEDED, .d_un.d_val = at };
        memcpy(image.strings + at, needed, length);
        at += length + 1;
        needed += length + (needed[length] == ' ');
    }
    image.dynamic[entry] = (Elf64_Dyn){ .d_tag = DT_STRTAB, .d_un.d_ptr = ADDRESS + offsetof(struct image, strings) };
    return image;
}

static int inspect_image(const struct image *image)
{
    return program_inspect(put_bytes("image", image, sizeof *image, 0700), NULL, &program);
}

static int inspect_library_image(const struct image *image)
{
    return program_inspect_library(put_bytes("image.so", image, sizeof *image, 0600), &library);
}

/* Build a program with a compiler of this machine. False, and said aloud, when there is none. */
static bool build(const char *compiler, const char *flags, const char *name)
{
    char command[1024];
    (void)put("main.c", "int main(void) { return 0; }\n", 0600);
    (void)snprintf(command, sizeof command, "command -v %s >/dev/null && %s %s -o %s %s", compiler, compiler, flags,
                   in_folder(name), in_folder("main.c"));
    if (system(command) == 0)
        return true;
    print_message("SKIPPED: '%s %s' does not work on this machine\n", compiler, flags);
    return false;
}

/* ---- programs ---- */

static void own_executable_is_known(void **state)
{
    (void)state;
    assert_int_equal(program_inspect("/proc/self/exe", NULL, &program), 0);
    assert_int_equal(program.elf_class, sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32);
#ifdef __GLIBC__
    assert_int_equal(program.libc, PROGRAM_LIBC_GLIBC);
#endif
    assert_false(program.set_id);
}

static void built_programs_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *compiler, *flags;
        enum program_libc libc;
    } cases[] = {
        { "cc", "", PROGRAM_LIBC_GLIBC },
        { "cc", "-static", PROGRAM_LIBC_STATIC },
        { "cc", "-static-pie", PROGRAM_LIBC_STATIC },
        { "musl-gcc", "", PROGRAM_LIBC_MUSL },
        { "musl-gcc", "-static", PROGRAM_LIBC_STATIC },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (!build(cases[i].compiler, cases[i].flags, "built"))
            continue;
        assert_int_equal(program_inspect(in_folder("built"), NULL, &program), 0);
        assert_int_equal(program.libc, cases[i].libc);
    }
}

static void libc_follows_from_the_interpreter(void **state)
{
    (void)state;
    static const struct {
        const char *interpreter;
        enum program_libc libc;
    } cases[] = {
        { "/lib64/ld-linux-x86-64.so.2", PROGRAM_LIBC_GLIBC },
        { "/lib/ld-linux-aarch64.so.1", PROGRAM_LIBC_GLIBC },
        { "/lib64/ld64.so.2", PROGRAM_LIBC_GLIBC },
        { "/lib/ld64.so.1", PROGRAM_LIBC_GLIBC },
        { "/lib/ld.so.1", PROGRAM_LIBC_GLIBC },
        { "/lib/ld-musl-x86_64.so.1", PROGRAM_LIBC_MUSL },
        { "/opt/ld-linux-like/ld-musl-armhf.so.1", PROGRAM_LIBC_MUSL },
        { "/system/bin/linker64", PROGRAM_LIBC_UNKNOWN },
        { "", PROGRAM_LIBC_UNKNOWN },
        { NULL, PROGRAM_LIBC_STATIC }, /* a static PIE: PT_DYNAMIC, no PT_INTERP */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct image image = make_image(ET_DYN, cases[i].interpreter);
        assert_int_equal(inspect_image(&image), 0);
        assert_int_equal(program.libc, cases[i].libc);
        assert_int_equal(program.machine, EM_X86_64);
        assert_int_equal(program.elf_class, ELFCLASS64);
    }
}

static void set_id_is_seen(void **state)
{
    (void)state;
    struct image image = make_image(ET_EXEC, "/lib64/ld-linux-x86-64.so.2");
    static const struct {
        mode_t mode;
        bool set_id;
    } cases[] = { { 0755, false }, { 04755, true }, { 02755, true }, { 02745, false } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(program_inspect(put_bytes("set-id", &image, sizeof image, cases[i].mode), NULL, &program), 0);
        assert_int_equal(program.set_id, cases[i].set_id);
    }
}

/* ---- finding and following ---- */

static void program_is_searched_as_exec_does(void **state)
{
    (void)state;
    struct image image = make_image(ET_EXEC, "/lib64/ld-linux-x86-64.so.2");
    char path[1024];
    (void)mkdir(in_folder("first"), 0700);
    (void)mkdir(in_folder("first/tool"), 0700); /* a directory is no candidate */
    (void)mkdir(in_folder("second"), 0700);
    (void)mkdir(in_folder("third"), 0700);
    (void)put_bytes("second/tool", &image, sizeof image, 0600); /* no x bit */
    (void)snprintf(path, sizeof path, "%s/none:%s/first:%s/second:%s/third", folder, folder, folder, folder);
    assert_int_equal(program_inspect("tool", path, &program), -EACCES);
    (void)put_bytes("third/tool", &image, sizeof image, 0700);
    assert_int_equal(program_inspect("tool", path, &program), 0);
    assert_string_equal(program.path, in_folder("third/tool"));
    assert_int_equal(program_inspect("no-such-tool", path, &program), -ENOENT);
    assert_int_equal(program_inspect(in_folder("first"), path, &program), -EACCES);
    assert_int_equal(program_inspect("", path, &program), -ENOENT);
}

static void scripts_are_followed(void **state)
{
    (void)state;
    struct image image = make_image(ET_EXEC, "/lib/ld-musl-x86_64.so.1");
    char elf[256], text[700];
    (void)snprintf(elf, sizeof elf, "%s", put_bytes("tool", &image, sizeof image, 0700));
    static const struct {
        const char *before, *after; /* around the tool's path */
    } lines[] = { { "#!", "\n" },
                  { "#! \t", " -u -x\nprint(1)\n" },
                  { "#!", "" },
                  { "#!", " \t \n" },
                  { "#!", "\r\n" },
                  { "#!/usr/bin/env ", "\n" },
                  { "#!/bin/env -S ", "" } };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        (void)snprintf(text, sizeof text, "%s%s%s", lines[i].before, elf, lines[i].after);
        assert_int_equal(program_inspect(put("script", text, 0700), NULL, &program), 0);
        assert_string_equal(program.path, elf);
        assert_int_equal(program.libc, PROGRAM_LIBC_MUSL);
    }
    static const char *const by_name[] = { "#!/usr/bin/env tool\n", "#! /usr/bin/env  tool",
                                           "#!/usr/bin/env -S tool -u\n", "#!/usr/bin/env -S -i A=1 B=x tool -u\n",
                                           "#!/usr/bin/env -Stool\n" };
    for (size_t i = 0; i < sizeof by_name / sizeof by_name[0]; i++) {
        assert_int_equal(program_inspect(put("script", by_name[i], 0700), folder, &program), 0);
        assert_string_equal(program.path, elf);
    }
    assert_int_equal(program_inspect(put("script", "#!/usr/bin/env no-such-tool\n", 0700), folder, &program), -ENOENT);
}

static void scripts_that_lead_nowhere_are_refused(void **state)
{
    (void)state;
    char text[700];
    static const struct {
        const char *text;
        int result;
    } cases[] = {
        { "", -ENOEXEC },
        { "#", -ENOEXEC },
        { "#!", -ENOEXEC },
        { "#!\n", -ENOEXEC },
        { "#! \t \n", -ENOEXEC },
        { "echo hello\n", -ENOEXEC },
        { "#!/nowhere\n", -ENOENT },
        { "#!/usr/bin/env -S\n", -ENOEXEC },
        { "#!/usr/bin/env -S A=1\n", -ENOEXEC },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(program_inspect(put("script", cases[i].text, 0700), folder, &program), cases[i].result);
    (void)snprintf(text, sizeof text, "#!%s\n", in_folder("loop"));
    assert_int_equal(program_inspect(put("loop", text, 0700), NULL, &program), -ELOOP);
    memset(text, '!', sizeof text - 1);
    text[0] = '#';
    text[sizeof text - 1] = '\0';
    assert_int_equal(program_inspect(put("script", text, 0700), NULL, &program), -ENOENT);
    assert_return_code(mkfifo(in_folder("fifo"), 0700), errno);
    assert_int_equal(program_inspect(in_folder("fifo"), NULL, &program), -EACCES);
    assert_int_equal(program_inspect_library(in_folder("fifo"), &library), -EACCES); /* and it does not wait */
    assert_int_equal(program_inspect_library(folder, &library), -EACCES);
    assert_int_equal(program_inspect_library(in_folder("none"), &library), -ENOENT);
}

/* ---- libraries ---- */

static void libc_of_a_library_follows_from_its_needs(void **state)
{
    (void)state;
    static const struct {
        const char *needed;
        enum program_libc libc;
    } cases[] = {
        { "", PROGRAM_LIBC_UNKNOWN },          { "libm.so.6 libc.so.6", PROGRAM_LIBC_GLIBC },
        { "libc.so.6.1", PROGRAM_LIBC_GLIBC }, { "libstdc++.so.6 libc.musl-x86_64.so.1", PROGRAM_LIBC_MUSL },
        { "libc.so", PROGRAM_LIBC_MUSL },      { "libcap.so.2", PROGRAM_LIBC_UNKNOWN },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct image image = make_library(cases[i].needed);
        assert_int_equal(inspect_library_image(&image), 0);
        assert_int_equal(library.libc, cases[i].libc);
    }
}

static void fitting_is_by_class_machine_and_libc(void **state)
{
    (void)state;
    static const struct program glibc = { .libc = PROGRAM_LIBC_GLIBC, .elf_class = ELFCLASS64, .machine = EM_X86_64 };
    struct program other = glibc, whole = glibc;
    assert_true(program_accepts(&glibc, &other));
    other.libc = PROGRAM_LIBC_MUSL;
    assert_false(program_accepts(&glibc, &other));
    other.libc = PROGRAM_LIBC_UNKNOWN; /* needs no libc: fits any */
    assert_true(program_accepts(&glibc, &other));
    other.machine = EM_AARCH64;
    assert_false(program_accepts(&glibc, &other));
    other = glibc;
    other.elf_class = ELFCLASS32;
    assert_false(program_accepts(&glibc, &other));
    other = glibc;
    whole.libc = PROGRAM_LIBC_STATIC;
    assert_false(program_accepts(&whole, &other));
    whole.libc = PROGRAM_LIBC_UNKNOWN;
    assert_false(program_accepts(&whole, &other));
}

/* ---- hostile files ---- */

static void hostile_fields_are_refused(void **state)
{
    (void)state;
    const struct image good = make_image(ET_EXEC, "/lib64/ld-linux-x86-64.so.2");
    struct image bad[10];
    for (size_t i = 0; i < 10; i++)
        bad[i] = good;
    bad[0].header.e_phoff = UINT64_MAX;
    bad[1].header.e_phoff = UINT64_MAX - 8;
    bad[2].header.e_phnum = 0xffff;
    bad[3].header.e_phentsize = 1;
    bad[4].header.e_ident[EI_CLASS] = 7;
    bad[5].header.e_ident[EI_DATA] = __BYTE_ORDER == __LITTLE_ENDIAN ? ELFDATA2MSB : ELFDATA2LSB;
    bad[6].segment[2].p_offset = UINT64_MAX;
    bad[7].segment[2].p_offset = sizeof(struct image);
    bad[8].header.e_phoff = INT64_MAX;
    bad[9].header.e_phoff = sizeof(struct image) - 8;
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(inspect_image(&bad[i]), -ENOEXEC);
    bad[0] = good;
    bad[0].segment[2].p_filesz = UINT64_MAX; /* cut to the file */
    assert_int_equal(inspect_image(&bad[0]), 0);

    const struct image whole = make_library("libc.so.6");
    struct image broken[9];
    for (size_t i = 0; i < 9; i++)
        broken[i] = whole;
    broken[0].header.e_type = ET_EXEC;
    broken[1].segment[0].p_filesz++; /* cut short: SIGBUS for whoever loads it */
    broken[2].segment[0].p_offset = UINT64_MAX;
    broken[3].segment[1].p_type = PT_NULL;
    broken[4].segment[1].p_offset = UINT64_MAX - 64;
    broken[5].dynamic[1].d_un.d_ptr = UINT64_MAX;
    broken[6].dynamic[1].d_tag = DT_DEBUG;
    broken[7].dynamic[0].d_un.d_val = UINT64_MAX;
    broken[8].dynamic[0].d_un.d_val = sizeof(struct image);
    for (size_t i = 0; i < 9; i++)
        assert_int_equal(inspect_library_image(&broken[i]), -ENOEXEC);
    assert_int_equal(inspect_library_image(&whole), 0);
}

/* Every prefix, and many files with bytes changed: an answer, whichever. The sanitizers look on. */
static void damaged_files_do_no_harm(void **state)
{
    (void)state;
    struct image image = make_library("libc.so.6 libm.so.6");
    for (size_t size = 0; size < sizeof image; size++) {
        const char *path = put_bytes("cut", &image, size, 0700);
        assert_int_equal(program_inspect_library(path, &library), -ENOEXEC);
        (void)program_inspect(path, NULL, &program);
    }
    unsigned seed = 7;
    for (int round = 0; round < 5000; round++) {
        struct image damaged = round % 2 ? image : make_image(ET_EXEC, "/lib64/ld-linux-x86-64.so.2");
        for (int i = 0; i < 4; i++) {
            seed = seed * 1103515245u + 12345u;
            ((unsigned char *)&damaged)[16 + (seed >> 8) % (sizeof damaged - 16)] =
                (unsigned char)((seed >> 4) % 3 ? seed >> 16 : 0xff);
        }
        (void)inspect_image(&damaged);
        (void)inspect_library_image(&damaged);
    }
}

/* How many descriptors are open. */
static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void descriptors_are_closed(void **state)
{
    (void)state;
    struct image image = make_library("libc.so.6");
    int before = open_descriptors();
    (void)inspect_library_image(&image);
    image.segment[0].p_filesz++;
    (void)inspect_library_image(&image);
    (void)program_inspect(put("script", "#!/bin/sh\n", 0700), NULL, &program);
    (void)program_inspect(put("script", "nothing", 0700), NULL, &program);
    (void)program_inspect_library(folder, &library);
    assert_int_equal(open_descriptors(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_executable_is_known),
        cmocka_unit_test(built_programs_are_told_apart),
        cmocka_unit_test(libc_follows_from_the_interpreter),
        cmocka_unit_test(set_id_is_seen),
        cmocka_unit_test(program_is_searched_as_exec_does),
        cmocka_unit_test(scripts_are_followed),
        cmocka_unit_test(scripts_that_lead_nowhere_are_refused),
        cmocka_unit_test(libc_of_a_library_follows_from_its_needs),
        cmocka_unit_test(fitting_is_by_class_machine_and_libc),
        cmocka_unit_test(hostile_fields_are_refused),
        cmocka_unit_test(damaged_files_do_no_harm),
        cmocka_unit_test(descriptors_are_closed),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
