/* A directory of files that stands for the machine's, made for one test. */
#ifndef TESTS_UNIT_TREE_H
#define TESTS_UNIT_TREE_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cmocka_all.h"

static char tree[] = "/tmp/trimtab-tree-XXXXXX";

static inline int remove_entry(const char *path, const struct stat *file, int kind, struct FTW *ftw)
{
    (void)file;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static inline int make_tree(void **state)
{
    (void)state;
    memcpy(tree + sizeof tree - 7, "XXXXXX", 6);
    return mkdtemp(tree) ? 0 : -1;
}

static inline int remove_tree(void **state)
{
    (void)state;
    return nftw(tree, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* Write tree/name, with its directories. */
static inline void put(const char *name, const char *text)
{
    char path[1024];
    int size = snprintf(path, sizeof path, "%s%s", tree, name);
    assert_in_range(size, 1, sizeof path - 1);
    for (char *slash = path + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        (void)mkdir(path, 0755);
        *slash = '/';
    }
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

#endif
