/*
 * The printf(3) family for the static binary: %s %d %u %x %c %% with -, 0,
 * width, precision of %s and the lengths h l ll j z; no floating point. The
 * C library's costs 11 KiB. A test holds this one to the library's results.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct output {
    char *text;
    size_t size; /* of text */
    size_t used; /* what was written or would have been */
};

struct directive {
    bool left;
    bool zero;
    bool has_precision;
    size_t width;
    size_t precision;
    int length; /* 0: int; 1: long; 2: long long, intmax_t */
};

static void put(struct output *output, char c)
{
    if (output->used + 1 < output->size)
        output->text[output->used] = c;
    output->used++;
}

static void put_padded(struct output *output, const struct directive *directive, const char *text, size_t length)
{
    size_t padding = directive->width > length ? directive->width - length : 0;
    char fill = directive->zero && !directive->left ? '0' : ' ';
    if (fill == '0' && length > 0 && text[0] == '-') {
        put(output, '-');
        text++;
        length--;
    }
    for (size_t i = 0; i < padding && !directive->left; i++)
        put(output, fill);
    for (size_t i = 0; i < length; i++)
        put(output, text[i]);
    for (size_t i = 0; i < padding && directive->left; i++)
        put(output, ' ');
}

static void put_number(struct output *output, const struct directive *directive, uintmax_t value, bool negative,
                       unsigned base)
{
    char digits[3 * sizeof value + 1];
    char *first = digits + sizeof digits;
    do {
        *--first = "0123456789abcdef"[value % base];
        value /= base;
    } while (value > 0);
    if (negative)
        *--first = '-';
    put_padded(output, directive, first, (size_t)(digits + sizeof digits - first));
}

static const char *read_directive(const char *format, struct directive *ret_directive, va_list *arguments)
{
    struct directive directive = { 0 };
    for (; *format == '-' || *format == '0'; format++) {
        if (*format == '-')
            directive.left = true;
        else
            directive.zero = true;
    }
    if (*format == '*') {
        int width = va_arg(*arguments, int);
        directive.left = directive.left || width < 0;
        directive.width = (size_t)(width < 0 ? -width : width);
        format++;
    }
    for (; *format >= '0' && *format <= '9'; format++)
        directive.width = directive.width * 10 + (size_t)(*format - '0');
    if (*format == '.') {
        directive.has_precision = true;
        if (*++format == '*') {
            int precision = va_arg(*arguments, int);
            directive.has_precision = precision >= 0;
            directive.precision = precision > 0 ? (size_t)precision : 0;
            format++;
        }
        for (; *format >= '0' && *format <= '9'; format++)
            directive.precision = directive.precision * 10 + (size_t)(*format - '0');
    }
    for (; *format == 'l' || *format == 'z' || *format == 'j' || *format == 'h'; format++)
        directive.length += *format == 'j' ? 2 : *format == 'h' ? 0 : 1;
    *ret_directive = directive;
    return format;
}

static void put_signed(struct output *output, const struct directive *directive, va_list *arguments)
{
    intmax_t value = directive->length == 0   ? va_arg(*arguments, int)
                     : directive->length == 1 ? va_arg(*arguments, long)
                                              : va_arg(*arguments, long long);
    put_number(output, directive, value < 0 ? -(uintmax_t)value : (uintmax_t)value, value < 0, 10);
}

static void put_unsigned(struct output *output, const struct directive *directive, va_list *arguments, unsigned base)
{
    uintmax_t value = directive->length == 0   ? va_arg(*arguments, unsigned)
                      : directive->length == 1 ? va_arg(*arguments, unsigned long)
                                               : va_arg(*arguments, unsigned long long);
    put_number(output, directive, value, false, base);
}

static void put_text(struct output *output, const struct directive *directive, const char *text)
{
    if (text == NULL)
        text = "(null)";
    put_padded(output, directive, text, directive->has_precision ? strnlen(text, directive->precision) : strlen(text));
}

int vsnprintf(char *restrict text, size_t size, const char *restrict format, va_list list)
{
    struct output output = { text, size, 0 };
    va_list arguments;
    va_copy(arguments, list);
    for (; *format != '\0'; format++) {
        struct directive directive;
        if (*format != '%') {
            put(&output, *format);
            continue;
        }
        format = read_directive(format + 1, &directive, &arguments);
        char c = *format;
        if (c == 'd' || c == 'i') {
            put_signed(&output, &directive, &arguments);
        } else if (c == 'u' || c == 'x') {
            put_unsigned(&output, &directive, &arguments, c == 'x' ? 16 : 10);
        } else if (c == 'o') {
            put_unsigned(&output, &directive, &arguments, 8);
        } else if (c == 's') {
            put_text(&output, &directive, va_arg(arguments, const char *));
        } else if (c == 'c') {
            char one = (char)va_arg(arguments, int);
            put_padded(&output, &directive, &one, 1);
        } else if (c == '%') {
            put(&output, '%');
        } else {
            break;
        }
    }
    va_end(arguments);
    if (size > 0)
        text[output.used < size ? output.used : size - 1] = '\0';
    return (int)output.used;
}

int snprintf(char *restrict text, size_t size, const char *restrict format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, size, format, arguments);
    va_end(arguments);
    return length;
}

int vasprintf(char **ret_text, const char *format, va_list arguments)
{
    int length = vsnprintf(NULL, 0, format, arguments);
    *ret_text = malloc((size_t)length + 1);
    return *ret_text == NULL ? -1 : vsnprintf(*ret_text, (size_t)length + 1, format, arguments);
}

int asprintf(char **ret_text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(ret_text, format, arguments);
    va_end(arguments);
    return length;
}

int dprintf(int fd, const char *restrict format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length >= 0 && write(fd, text, (size_t)length) != length)
        length = -1;
    free(text);
    return length;
}
