#include "pattern.h"

#include <fnmatch.h>
#include <string.h>

#include "config/config.h"

bool pattern_matches(const char *patterns, const char *name, const char *command)
{
    char pattern[CONFIG_TEXT_MAX];
    while (*patterns != '\0') {
        size_t length = strcspn(patterns, ",");
        const char *next = patterns + length + (patterns[length] == ',');
        while (length > 0 && *patterns == ' ') {
            patterns++;
            length--;
        }
        while (length > 0 && patterns[length - 1] == ' ')
            length--;
        memcpy(pattern, patterns, length);
        pattern[length] = '\0';
        if (length > 0 && (fnmatch(pattern, name, 0) == 0 || fnmatch(pattern, command, 0) == 0))
            return true;
        patterns = next;
    }
    return false;
}
