/*
 * Texts into fixed room, and numbers in the texts that the kernel writes. Pure;
 * never reads past size.
 */
#ifndef TRIMTAB_OS_TEXT_H
#define TRIMTAB_OS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A text that ends with NUL, whole or not at all. */
bool text_copy(const char *from, char *ret_text, size_t size);

/* A decimal number at *at, *at moved behind it. False: no digit, or too large. */
bool text_take_number(const char *text, size_t size, size_t *at, uint64_t *ret_number);

/*
 * The number on the line whose first word is key: `Pss:      12 kB` or
 * `oom_kill 3`. The line must be whole, so that no number is taken that was
 * cut short. -ENODATA: no such line; -EINVAL: it is not of that form.
 */
int text_find_number(const char *text, size_t size, const char *key, uint64_t *ret_number);

/* As text_find_number, in an open file of any length, from its start. Or -errno of pread(2). */
int text_read_number(int fd, const char *key, uint64_t *ret_number);

#endif
