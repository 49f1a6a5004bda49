/*
 * Policies as text: which file is read, whether it may be trusted, the strict
 * line reader in front of inih, and the policies that are compiled in.
 *
 * inih is used through ini_parse_stream alone. Builds of it differ (Debian's
 * has its options as variables, its handlers take a line number or do not),
 * and by itself every one of them splits long lines, takes an indented key for
 * a continued value, cuts section names and passes over unknown ones. So each
 * line is checked here first; inih is given section and key lines only, short,
 * without indentation, and with nothing in them that some build would treat
 * as a comment.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keys.h"
#include "load.h"

enum {
    FILE_SIZE_MAX = 64 << 10,
    LINE_SIZE_MAX = CONFIG_TEXT_MAX - 2 /* newline and NUL make it the smallest line buffer of inih, 200 */
};

static const char machine_policy[] = "/etc/trimtab.ini";
static const char policy_folder[] = "/etc/trimtab/";

static const char auto_text[] =
#include "auto.inc"
    ;
static const char gunicorn_text[] =
#include "gunicorn.inc"
    ;

static const struct {
    const char *name;
    const char *text;
    size_t size;
} shipped[] = {
    { "auto", auto_text, sizeof auto_text - 1 },
    { "gunicorn", gunicorn_text, sizeof gunicorn_text - 1 },
};
enum { SHIPPED = sizeof shipped / sizeof shipped[0] };

struct reader {
    struct config_load *load;
    struct config_place place; /* of the line read last */
    const char *next;
    const char *end;
    bool in_section;
    bool failed;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

/* `[name]`, and nothing else. */
static int check_section(struct reader *reader, const char *line)
{
    char name[LINE_SIZE_MAX + 1];
    const char *end = strchr(line, ']');

    if (!end)
        return config_fail(reader->load, &reader->place, "'[' without ']'");
    if (end[1] != '\0')
        return config_fail(reader->load, &reader->place, "text after ']'; a comment has a line of its own");
    memcpy(name, line + 1, (size_t)(end - line - 1));
    name[end - line - 1] = '\0';
    if (!keys_has_section(name))
        return config_fail_section(reader->load, &reader->place, name);
    reader->in_section = true;
    return 0;
}

/* Whether a mark that starts a comment at the start of a line stands at the start of a word in the value. */
static bool has_comment(const char *value, char *ret_mark)
{
    for (const char *p = value; *p != '\0'; p++) {
        if ((*p == '#' || *p == ';') && is_blank(p[-1])) {
            *ret_mark = *p;
            return true;
        }
    }
    return false;
}

/* `name = value`. What the names mean is looked at when inih has split them. */
static int check_key(struct reader *reader, const char *line)
{
    const struct config_place *place = &reader->place;
    char shown[CONFIG_SHOWN_MAX], mark = '#';
    const char *equals = strchr(line, '=');

    config_escape(line, shown, sizeof shown);
    if (!equals)
        return config_fail(reader->load, place, "%s: no '='; a key is set as in 'at = 80%%'", shown);
    if (equals == line)
        return config_fail(reader->load, place, "%s: no key before '='", shown);
    if (!reader->in_section)
        return config_fail(reader->load, place, "%s: key before any section", shown);
    for (const char *p = line; p < equals; p++) {
        if (*p == ':' || *p == ';' || *p == '#')
            return config_fail(reader->load, place, "%s: '%c' in the name of a key", shown, *p);
    }
    if (has_comment(equals + 1, &mark))
        return config_fail(reader->load, place, "%s: '%c' starts a comment only at the start of a line", shown, mark);
    return 0;
}

static int check_line(struct reader *reader, const char *line, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        const unsigned char byte = (unsigned char)line[i];
        if (byte == '\0')
            return config_fail(reader->load, &reader->place, "NUL byte; is this a text file?");
        if ((byte < ' ' && byte != '\t') || byte == 0x7f)
            return config_fail(reader->load, &reader->place, "control character 0x%02x", byte);
    }
    return line[0] == '[' ? check_section(reader, line) : check_key(reader, line);
}

/*
 * The reader inih calls in place of fgets(3): one checked line each time, NULL
 * at the end or after a failure, which ends the parsing whatever way inih was
 * built.
 */
static char *next_line(char *buffer, int capacity, void *stream)
{
    struct reader *reader = stream;

    while (!reader->failed && reader->next < reader->end) {
        const char *start = reader->next;
        const char *newline = memchr(start, '\n', (size_t)(reader->end - start));
        const char *stop = newline ? newline : reader->end;
        reader->next = newline ? newline + 1 : reader->end;
        reader->place.line++;
        while (start < stop && is_blank(*start))
            start++;
        while (stop > start && is_blank(stop[-1]))
            stop--;
        const size_t size = (size_t)(stop - start);
        if (size > LINE_SIZE_MAX || size + 2 > (size_t)capacity) {
            (void)config_fail(reader->load, &reader->place, "line longer than %d bytes", LINE_SIZE_MAX);
            reader->failed = true;
            return NULL;
        }
        if (size == 0 || *start == '#' || *start == ';')
            continue;
        memcpy(buffer, start, size);
        buffer[size] = '\0';
        reader->failed = check_line(reader, buffer, size) != 0;
        if (reader->failed)
            return NULL;
        buffer[size] = '\n';
        buffer[size + 1] = '\0';
        return buffer;
    }
    return NULL;
}

static int take_pair(void *user, const char *section, const char *name, const char *value)
{
    struct reader *reader = user;

    reader->failed = config_take(reader->load, &reader->place, section, name, value) != 0;
    return !reader->failed;
}

int config_parse(struct config_load *load, const char *file, const char *text, size_t size)
{
    static const char mark[] = "\xef\xbb\xbf"; /* UTF-8 byte order mark, as some editors put it first */
    const struct config saved = load->config;
    struct config_origin saved_origin[CONFIG_KEYS_MAX];
    const bool saved_any = load->any;
    struct reader reader = {
        .load = load,
        .place = { .source = SOURCE_FILE, .name = file },
        .next = text,
        .end = text + size,
    };

    memcpy(saved_origin, load->origin, sizeof saved_origin);
    if (size >= sizeof mark - 1 && memcmp(text, mark, sizeof mark - 1) == 0)
        reader.next += sizeof mark - 1;
    const int result = ini_parse_stream(next_line, &reader, take_pair, &reader);
    if (!reader.failed && result != 0)
        reader.failed = config_fail(load, &reader.place, "not understood") != 0;
    if (reader.failed) {
        load->config = saved;
        memcpy(load->origin, saved_origin, sizeof saved_origin);
        load->any = saved_any;
        return -1;
    }
    load->any = true;
    return 0;
}

/* Who could have written the file decides about what runs as PID 1. */
static int check_status(struct config_load *load, const struct config_place *place, const struct stat *status)
{
    if (S_ISDIR(status->st_mode))
        return config_fail(load, place, "is a directory, not a file");
    if (!S_ISREG(status->st_mode))
        return config_fail(load, place, "is not a regular file");
    if (status->st_uid != 0 && status->st_uid != geteuid())
        return config_fail(load, place, "belongs to user %u, neither to root nor to us", (unsigned)status->st_uid);
    if (status->st_mode & (S_IWGRP | S_IWOTH))
        return config_fail(load, place, "may be written by others (mode %04o); chmod go-w",
                           (unsigned)status->st_mode & 07777);
    if (status->st_size > FILE_SIZE_MAX)
        return config_fail(load, place, "is larger than %d KiB", FILE_SIZE_MAX >> 10);
    return 0;
}

/* The whole file, or -1. One byte more than is allowed shows that it has grown since it was looked at. */
static int read_file(struct config_load *load, const struct config_place *place, int fd, char *ret_text,
                     size_t *ret_size)
{
    size_t size = 0;

    for (;;) {
        const ssize_t got = read(fd, ret_text + size, FILE_SIZE_MAX + 1 - size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return config_fail(load, place, "cannot be read: %s", strerror(errno));
        size += (size_t)got;
        if (size > FILE_SIZE_MAX)
            return config_fail(load, place, "is larger than %d KiB", FILE_SIZE_MAX >> 10);
        if (got == 0)
            break;
    }
    *ret_size = size;
    return 0;
}

/*
 * Returns 1 where there is no such file, else 0 or -1.
 *
 * Symbolic links are followed, because every file of a mounted Kubernetes
 * ConfigMap is one; it is the file behind them that must be trustworthy.
 * O_NONBLOCK: opening a FIFO would else wait for a writer, in PID 1 for ever.
 */
static int parse_file(struct config_load *load, const char *path)
{
    const struct config_place place = { .source = SOURCE_FILE, .name = path };
    struct stat status;
    size_t size = 0;
    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

    if (fd < 0 && errno == ENOENT)
        return 1;
    if (fd < 0)
        return config_fail(load, &place, "cannot be opened: %s", strerror(errno));
    int result = fstat(fd, &status) == 0 ? check_status(load, &place, &status)
                                         : config_fail(load, &place, "cannot be looked at: %s", strerror(errno));
    /* A mapping of its own, so that nothing of the text stays resident. */
    char *text = mmap(NULL, FILE_SIZE_MAX + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (result == 0 && text == MAP_FAILED)
        result = config_fail(load, &place, "cannot be read: %s", strerror(errno));
    if (result == 0)
        result = read_file(load, &place, fd, text, &size);
    (void)close(fd);
    if (result == 0)
        result = config_parse(load, path, text, size);
    if (text != MAP_FAILED)
        (void)munmap(text, FILE_SIZE_MAX + 1);
    return result;
}

static int fail_policy(struct config_load *load, const char *name)
{
    char shown[CONFIG_SHOWN_MAX], names[CONFIG_SHOWN_MAX] = "";
    size_t best = KEYS_NOT_NEAR;
    const char *nearest = NULL;

    for (int i = 0; i < SHIPPED; i++) {
        config_append(names, sizeof names, shipped[i].name);
        if (keys_near(name, shipped[i].name, &best))
            nearest = shipped[i].name;
    }
    config_escape(name, shown, sizeof shown);
    (void)snprintf(load->error, sizeof load->error, "policy '%s': %s; shipped policies: %s%s%s%s", shown,
                   strchr(name, '/') ? "no such file" : "no such policy (a file is named with a '/', as in ./x.ini)",
                   names, nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
    return -1;
}

int config_read_policy(struct config_load *load, const char *name)
{
    static char path[sizeof policy_folder + CONFIG_TEXT_MAX];
    int result = 1;

    if (!name) {
        load->file = machine_policy;
        result = parse_file(load, machine_policy);
        if (result > 0)
            load->file = NULL;
        return result < 0 ? -1 : 0;
    }
    load->file = name;
    if (strchr(name, '/')) {
        result = parse_file(load, name);
        return result > 0 ? fail_policy(load, name) : result;
    }
    if (*name != '\0' && strlen(name) < CONFIG_TEXT_MAX) {
        (void)snprintf(path, sizeof path, "%s%s", policy_folder, name);
        load->file = path;
        result = parse_file(load, path);
    }
    for (int i = 0; result > 0 && i < SHIPPED; i++) {
        if (strcmp(name, shipped[i].name) == 0) {
            load->file = shipped[i].name;
            result = config_parse(load, shipped[i].name, shipped[i].text, shipped[i].size);
        }
    }
    return result > 0 ? fail_policy(load, name) : result;
}
