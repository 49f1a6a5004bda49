/* Quantities as people read them in what trimtabctl prints. Pure. */
#ifndef TRIMTAB_CTL_FORMAT_H
#define TRIMTAB_CTL_FORMAT_H

#include <stddef.h>
#include <stdint.h>

enum { FORMAT_MAX = 32 }; /* enough for any of them */

/* `612M`, `1.25G`, as many digits as say something; 0 is `0`. */
void format_bytes(double bytes, char ret_text[FORMAT_MAX]);

/* `1:02:03`: hours, minutes, seconds; hours may be many. */
void format_span(uint64_t ms, char ret_text[FORMAT_MAX]);

/* `1:02:03.456`. */
void format_moment(uint64_t ms, char ret_text[FORMAT_MAX]);

/* `2026-11-21T16:27:36.123Z`, milliseconds since 1970. */
void format_utc(int64_t utc_ms, char ret_text[FORMAT_MAX]);

/* Bytes of unknown origin as printable ASCII, others as '?', cut to size. */
void format_clean(const char *text, char *ret_text, size_t size);

#endif
