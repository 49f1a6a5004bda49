/* A file that is there as a whole or not at all: written beside its name, then renamed to it. */
#ifndef TRIMTAB_CTL_OUTPUT_H
#define TRIMTAB_CTL_OUTPUT_H

#include <limits.h>
#include <stdio.h>

struct output_file {
    FILE *stream;
    const char *path;
    char temporary[PATH_MAX];
};

/* path must outlive it. -EEXIST: something is there that is no regular file. 0 or -errno. */
int output_begin(struct output_file *output, const char *path);

/*
 * error: 0, or -errno of what was written: then nothing stays. Returns error,
 * or what went wrong now.
 */
int output_end(struct output_file *output, int error);

#endif
