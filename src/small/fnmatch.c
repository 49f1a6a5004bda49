/*
 * fnmatch(3) for the static binary, of bytes and without flags: * ? [a-z]
 * [!a-z] and \. The C library's brings 17 KiB of tables for wide characters.
 */
#include <fnmatch.h>
#include <stdbool.h>
#include <stddef.h>

/* Match one character against the bracket that begins after '['; NULL: it does not end. */
static const char *match_bracket(const char *pattern, char c, bool *ret_matched)
{
    bool negated = *pattern == '!' || *pattern == '^';
    bool matched = false;
    pattern += negated;
    const char *first = pattern;
    for (; *pattern != '\0' && (*pattern != ']' || pattern == first); pattern++) {
        char low = *pattern;
        char high = low;
        if (pattern[1] == '-' && pattern[2] != ']' && pattern[2] != '\0') {
            high = pattern[2];
            pattern += 2;
        }
        matched = matched || ((unsigned char)low <= (unsigned char)c && (unsigned char)c <= (unsigned char)high);
    }
    *ret_matched = matched != negated;
    return *pattern == ']' ? pattern + 1 : NULL;
}

/* Match one character; returns the pattern after it, or NULL. */
static const char *match_one(const char *pattern, char c)
{
    bool matched = false;
    if (*pattern == '?')
        return pattern + 1;
    if (*pattern == '[') {
        const char *after = match_bracket(pattern + 1, c, &matched);
        if (after != NULL)
            return matched ? after : NULL;
    }
    if (*pattern == '\\' && pattern[1] != '\0')
        pattern++;
    return *pattern == c ? pattern + 1 : NULL;
}

/* A star first takes nothing; on a mismatch the last star takes one more. */
int fnmatch(const char *pattern, const char *text, int flags)
{
    const char *star = NULL;
    const char *star_text = NULL;
    (void)flags;
    while (*text != '\0') {
        if (*pattern == '*') {
            star = ++pattern;
            star_text = text;
            continue;
        }
        const char *after = *pattern == '\0' ? NULL : match_one(pattern, *text);
        if (after != NULL) {
            pattern = after;
            text++;
        } else if (star != NULL) {
            pattern = star;
            text = ++star_text;
        } else {
            return FNM_NOMATCH;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0' ? 0 : FNM_NOMATCH;
}
