/* The allocator library: which one is found for a program. */
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

#include "os/allocator.h"

static char root[] = "/tmp/trimtab-allocator-XXXXXX";

static int remove_entry(const char *path, const struct stat *file, int kind, struct FTW *ftw)
{
    (void)file;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static int make_root(void **state)
{
    (void)state;
    memcpy(root + sizeof root - 7, "XXXXXX", 6);
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    return nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* Copy a file of this machine below root; size: of it, 0 for all. */
static void copy_to(const char *from, const char *to, size_t size)
{
    static char bytes[4 << 20];
    char path[512];
    (void)snprintf(path, sizeof path, "%s%s", root, to);
    for (char *slash = path + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
    FILE *in = fopen(from, "re");
    FILE *out = fopen(path, "we");
    assert_non_null(in);
    assert_non_null(out);
    size_t got = fread(bytes, 1, size > 0 ? size : sizeof bytes, in);
    assert_int_equal(fwrite(bytes, 1, got, out), got);
    assert_int_equal(fclose(out), 0);
    (void)fclose(in);
}

static bool compile(const char *compiler, const char *flags, const char *source, const char *name)
{
    char command[1024];
    (void)snprintf(command, sizeof command, "command -v %s >/dev/null && echo '%s' | %s -x c - %s -o %s%s 2>/dev/null",
                   compiler, source, compiler, flags, root, name);
    if (system(command) == 0)
        return true;
    print_message("SKIPPED: '%s %s' does not work on this machine\n", compiler, flags);
    return false;
}

static struct program inspected(const char *name)
{
    struct program program;
    char path[512];
    (void)snprintf(path, sizeof path, "%s%s", root, name);
    assert_int_equal(program_inspect(path, NULL, &program), 0);
    return program;
}

/* Our own program, as all on this machine. */
static struct program own_program(void)
{
    struct program program;
    assert_int_equal(program_inspect("/proc/self/exe", NULL, &program), 0);
    program.sanitized = false; /* as this test may be */
    return program;
}

static void assert_found(const char *name, const struct program *program, enum allocator_problem wanted,
                         const char *wanted_path)
{
    char path[PROGRAM_PATH_MAX], full[512];
    enum allocator_problem problem = allocator_find(name, program, root, path, sizeof path);
    if (problem != wanted)
        fail_msg("%s: '%s' instead of '%s'", name, allocator_problem_text(problem), allocator_problem_text(wanted));
    (void)snprintf(full, sizeof full, "%s%s", wanted_path ? root : "", wanted_path ? wanted_path : "");
    assert_string_equal(path, full);
}

/* The places differ by architecture: a program of any kind will do to look at them. */
static void library_is_searched_by_architecture(void **state)
{
    (void)state;
    if (!compile("cc", "-shared -fPIC", "int ours;", "/any.so"))
        skip();
    char any[512];
    (void)snprintf(any, sizeof any, "%s/any.so", root);
    struct program program = own_program();
#ifdef __x86_64__
    static const char triplet[] = "x86_64-linux-gnu";
#elif defined __aarch64__
    static const char triplet[] = "aarch64-linux-gnu";
#else
    print_message("SKIPPED: no place is written down here for this architecture\n");
    skip();
    static const char triplet[] = "";
#endif
    char place[256];
    assert_found("jemalloc", &program, ALLOCATOR_MISSING, NULL);
    assert_found("nonesuch", &program, ALLOCATOR_MISSING, NULL);

    /* From the last place looked at to the first: each takes over from the one before. */
    const char *const places[] = { "/lib",       "/lib64",      "/lib/%s",       "/usr/lib",
                                   "/usr/lib64", "/usr/lib/%s", "/usr/local/lib" };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        const char *slot = strstr(places[i], "%s");
        (void)snprintf(place, sizeof place, "%.*s%s/libjemalloc.so.2", slot ? (int)(slot - places[i]) : 99, places[i],
                       slot ? triplet : "");
        copy_to(any, place, 0);
        assert_found("jemalloc", &program, ALLOCATOR_FINE, place);
    }
    copy_to(any, "/usr/lib/libtcmalloc.so.4", 0);
    assert_found("tcmalloc", &program, ALLOCATOR_FINE, "/usr/lib/libtcmalloc.so.4");
    copy_to(any, "/lib/libtcmalloc_minimal.so.4", 0);
    assert_found("tcmalloc", &program, ALLOCATOR_FINE, "/lib/libtcmalloc_minimal.so.4");
    copy_to(any, "/usr/lib/libmimalloc.so.2.0", 0);
    assert_found("mimalloc", &program, ALLOCATOR_FINE, "/usr/lib/libmimalloc.so.2.0");
    copy_to(any, "/lib64/libmimalloc.so.2", 0);
    assert_found("mimalloc", &program, ALLOCATOR_FINE, "/lib64/libmimalloc.so.2");
}

static void a_fitting_library_anywhere_beats_an_unfit_one(void **state)
{
    (void)state;
    if (!compile("cc", "-shared -fPIC", "int ours;", "/any.so"))
        skip();
    char any[512];
    (void)snprintf(any, sizeof any, "%s/any.so", root);
    struct program program = own_program();
    copy_to(any, "/usr/local/lib/libjemalloc.so.2", 100); /* cut short */
    assert_found("jemalloc", &program, ALLOCATOR_UNFIT, "/usr/local/lib/libjemalloc.so.2");
    copy_to(any, "/usr/lib/libjemalloc.so.2", 1000);
    assert_found("jemalloc", &program, ALLOCATOR_UNFIT, "/usr/local/lib/libjemalloc.so.2");
    copy_to(any, "/lib/libjemalloc.so.1", 0);
    assert_found("jemalloc", &program, ALLOCATOR_FINE, "/lib/libjemalloc.so.1");
}

static void nothing_is_loaded_before_a_sanitizer(void **state)
{
    (void)state;
    char path[PROGRAM_PATH_MAX];
    struct program program = own_program();
    program.sanitized = true;
    assert_int_equal(allocator_find("jemalloc", &program, root, path, sizeof path), ALLOCATOR_SANITIZED);
    assert_string_equal(path, "");
    assert_true(program_is_sanitizer("/x/libm.so:/usr/lib/libasan.so.8"));
    assert_true(program_is_sanitizer("/x/libclang_rt.asan-x86_64.so"));
    assert_false(program_is_sanitizer("/x/libtsan.so.2 /usr/lib/libas.so"));
}

static void a_path_is_taken_as_it_is(void **state)
{
    (void)state;
    if (!compile("cc", "-shared -fPIC", "int ours;", "/any.so"))
        skip();
    char any[512], path[PROGRAM_PATH_MAX];
    struct program program = own_program();
    (void)snprintf(any, sizeof any, "%s/any.so", root);
    assert_found("/any.so", &program, ALLOCATOR_FINE, "/any.so");
    assert_found("/none.so", &program, ALLOCATOR_MISSING, NULL);
    assert_found("/any.so/x", &program, ALLOCATOR_MISSING, NULL);
    assert_found("/with blank.so", &program, ALLOCATOR_UNPRELOADABLE, NULL);
    assert_found("/with:colon.so", &program, ALLOCATOR_UNPRELOADABLE, NULL);
    assert_int_equal(allocator_find(any, &program, "", path, sizeof path), ALLOCATOR_FINE);
    assert_string_equal(path, any);
    assert_int_equal(allocator_find(any, &program, "", path, 8), ALLOCATOR_MISSING); /* no room, no half path */
    assert_string_equal(path, "");

    program.set_id = true;
    assert_found("/any.so", &program, ALLOCATOR_SET_ID, NULL);
    program.libc = PROGRAM_LIBC_STATIC;
    assert_found("/any.so", &program, ALLOCATOR_STATIC, NULL);
}

/* The real jemalloc with programs of the real compilers. */
static void installed_jemalloc_fits_glibc_only(void **state)
{
    (void)state;
    char path[PROGRAM_PATH_MAX];
    struct program program = own_program();
    static const char empty[] = "int main(void) { return 0; }";
    if (program.libc != PROGRAM_LIBC_GLIBC ||
        allocator_find("jemalloc", &program, "", path, sizeof path) == ALLOCATOR_MISSING) {
        print_message("SKIPPED: libjemalloc2 for glibc is not installed on this machine\n");
        skip();
    }
    assert_int_equal(allocator_find("jemalloc", &program, "", path, sizeof path), ALLOCATOR_FINE);
    assert_int_equal(access(path, R_OK), 0);
    if (compile("cc", "-static", empty, "/static")) {
        program = inspected("/static");
        assert_int_equal(allocator_find("jemalloc", &program, "", path, sizeof path), ALLOCATOR_STATIC);
    }
    if (compile("musl-gcc", "", empty, "/musl")) {
        program = inspected("/musl");
        assert_int_equal(allocator_find("jemalloc", &program, "", path, sizeof path), ALLOCATOR_UNFIT);
        assert_non_null(strstr(path, "libjemalloc.so"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(library_is_searched_by_architecture, make_root, remove_root),
        cmocka_unit_test_setup_teardown(a_fitting_library_anywhere_beats_an_unfit_one, make_root, remove_root),
        cmocka_unit_test_setup_teardown(nothing_is_loaded_before_a_sanitizer, make_root, remove_root),
        cmocka_unit_test_setup_teardown(a_path_is_taken_as_it_is, make_root, remove_root),
        cmocka_unit_test_setup_teardown(installed_jemalloc_fits_glibc_only, make_root, remove_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
