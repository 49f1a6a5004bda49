#include "format.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

enum { SECOND_MS = 1000, MINUTE_MS = 60 * SECOND_MS, HOUR_MS = 60 * MINUTE_MS };

void format_bytes(double bytes, char ret_text[FORMAT_MAX])
{
    static const char names[] = "BKMGTPE";
    size_t unit = 0;
    for (; bytes >= 1024 && unit + 2 < sizeof names; unit++)
        bytes /= 1024;
    if (bytes > 0)
        (void)snprintf(ret_text, FORMAT_MAX, bytes < 100 ? "%.3g%c" : "%.0f%c", bytes, names[unit]);
    else
        (void)snprintf(ret_text, FORMAT_MAX, "0");
}

void format_span(uint64_t ms, char ret_text[FORMAT_MAX])
{
    (void)snprintf(ret_text, FORMAT_MAX, "%" PRIu64 ":%02u:%02u", ms / HOUR_MS, (unsigned)(ms % HOUR_MS / MINUTE_MS),
                   (unsigned)(ms % MINUTE_MS / SECOND_MS));
}

void format_moment(uint64_t ms, char ret_text[FORMAT_MAX])
{
    (void)snprintf(ret_text, FORMAT_MAX, "%" PRIu64 ":%02u:%02u.%03u", ms / HOUR_MS,
                   (unsigned)(ms % HOUR_MS / MINUTE_MS), (unsigned)(ms % MINUTE_MS / SECOND_MS),
                   (unsigned)(ms % SECOND_MS));
}

void format_utc(int64_t utc_ms, char ret_text[FORMAT_MAX])
{
    time_t seconds = (time_t)(utc_ms / SECOND_MS);
    struct tm utc = { 0 };
    char day[FORMAT_MAX - 6] = "";
    if (gmtime_r(&seconds, &utc) != NULL)
        (void)strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &utc);
    (void)snprintf(ret_text, FORMAT_MAX, "%s.%03uZ", day, (unsigned)(utc_ms % SECOND_MS));
}

void format_clean(const char *text, char *ret_text, size_t size)
{
    size_t length = 0;
    for (; text[length] != '\0' && length + 1 < size; length++)
        ret_text[length] = text[length];
    ret_text[length] = '\0';
    for (char *at = ret_text; *at != '\0'; at++) {
        if (*at < ' ' || *at >= 0x7f)
            *at = '?';
    }
}
