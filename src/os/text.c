/*
 * Numbers in the texts that the kernel writes: lines of a name and a number,
 * as in /proc/PID/smaps_rollup and memory.stat.
 */
#include "text.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { PART_MAX = 1024 }; /* no line of these files comes near it */

bool text_copy(const char *from, char *ret_text, size_t size)
{
    size_t length = strlen(from);
    if (length >= size)
        return false;
    memcpy(ret_text, from, length + 1);
    return true;
}

bool text_take_number(const char *text, size_t size, size_t *at, uint64_t *ret_number)
{
    uint64_t number = 0;
    size_t i = *at;
    for (; i < size && text[i] >= '0' && text[i] <= '9'; i++) {
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (number > (UINT64_MAX - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    if (i == *at)
        return false;
    *at = i;
    *ret_number = number;
    return true;
}

int text_find_number(const char *text, size_t size, const char *key, uint64_t *ret_number)
{
    size_t length = strlen(key);
    const char *end;
    for (size_t at = 0; at < size && (end = memchr(text + at, '\n', size - at)) != NULL;
         at = (size_t)(end - text) + 1) {
        size_t stop = (size_t)(end - text);
        if (stop - at <= length || memcmp(text + at, key, length) != 0 || text[at + length] != ' ')
            continue;
        for (at += length; at < stop && text[at] == ' '; at++)
            ;
        uint64_t number;
        if (!text_take_number(text, stop, &at, &number) || (at < stop && text[at] != ' '))
            return -EINVAL;
        *ret_number = number;
        return 0;
    }
    return -ENODATA;
}

/*
 * The kernel makes the text at the read from 0 and hands out the rest of that
 * one to the reads that follow on (seq_file.rst): parts of one moment.
 */
int text_read_number(int fd, const char *key, uint64_t *ret_number)
{
    char text[PART_MAX];
    size_t have = 0;
    off_t at = 0;
    ssize_t got;
    while ((got = pread(fd, text + have, sizeof text - have, at)) > 0) {
        at += got;
        have += (size_t)got;
        const char *newline = memrchr(text, '\n', have);
        if (!newline && have == sizeof text)
            return -EINVAL;
        size_t whole = newline ? (size_t)(newline - text) + 1 : 0;
        int r = text_find_number(text, whole, key, ret_number);
        if (r != -ENODATA)
            return r;
        memmove(text, text + whole, have - whole);
        have -= whole;
    }
    return got < 0 ? -errno : -ENODATA;
}
