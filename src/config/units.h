/*
 * Sizes, times, shares and signal names, to and from text. Pure.
 * Every parser takes the whole string or nothing: returns 0, or -1 and leaves
 * the result alone. What a printer writes, its parser reads back as the same.
 */
#ifndef TRIMTAB_CONFIG_UNITS_H
#define TRIMTAB_CONFIG_UNITS_H

#include <stddef.h>
#include <stdint.h>

/* "512M" "1.5G" "64k" "4096": powers of 1024; "512MB", "512Mi", "512MiB" mean the same. */
int units_parse_bytes(const char *text, uint64_t *ret_bytes);

/* "1.5s" "10m" "200ms" "2h" "1d" "0"; a number without unit is refused unless it is 0. */
int units_parse_ms(const char *text, uint64_t *ret_ms);

/* "80%" "2.5%": 0 to 100, in 1/10000. */
int units_parse_permyriad(const char *text, uint32_t *ret_permyriad);

/* "TERM" "SIGTERM" "term" "15" "RTMIN" "RTMIN+3" "SIGRTMAX-2"; 1 .. 64, as the kernel counts. */
int units_parse_signal(const char *text, int *ret_signal);

int units_parse_count(const char *text, uint64_t *ret_count);

/* Exact where a unit divides the value, else in the next smaller unit that does. */
void units_print_bytes(uint64_t bytes, char *ret_text, size_t size);
void units_print_ms(uint64_t ms, char *ret_text, size_t size);
void units_print_permyriad(uint32_t permyriad, char *ret_text, size_t size);

/* "TERM", "RTMIN+3". */
void units_print_signal(int signal, char *ret_text, size_t size);

#endif
