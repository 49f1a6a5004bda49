/*
 * Where our cgroup is: a mounted hierarchy and our path in it. See cgroups(7),
 * proc(5) for /proc/self/mountinfo, and cgroup_namespaces(7).
 */
#include "cgroup.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Of /proc/self/mountinfo and /proc/self/cgroup; a machine with a thousand mounts has about 200 kB. */
enum { TEXT_MAX = 1 << 20 };

/* ---- pure ---- */

struct piece {
    const char *at;
    size_t size;
};

/* The next line of *text without its newline; false at the end. */
static bool next_line(const char **text, struct piece *ret_line)
{
    if (**text == '\0')
        return false;
    size_t size = strcspn(*text, "\n");
    *ret_line = (struct piece){ *text, size };
    *text += size + ((*text)[size] == '\n');
    return true;
}

/* The part of *rest before the next separator; *rest moves behind it. False: there is none left. */
static bool next_part(struct piece *rest, char separator, struct piece *ret_part)
{
    if (!rest->at)
        return false;
    const char *end = memchr(rest->at, separator, rest->size);
    size_t size = end ? (size_t)(end - rest->at) : rest->size;
    *ret_part = (struct piece){ rest->at, size };
    *rest = end ? (struct piece){ end + 1, rest->size - size - 1 } : (struct piece){ NULL, 0 };
    return true;
}

static bool is(struct piece piece, const char *word)
{
    return piece.size == strlen(word) && memcmp(piece.at, word, piece.size) == 0;
}

/* Whether word is in a list separated by commas. */
static bool lists(struct piece list, const char *word)
{
    struct piece part;
    while (next_part(&list, ',', &part))
        if (is(part, word))
            return true;
    return false;
}

static bool is_octal(char c)
{
    return c >= '0' && c <= '7';
}

/* Copy with the \040 of mountinfo undone. False: too long. */
static bool copy_unescaped(struct piece from, char *ret_text, size_t size)
{
    size_t length = 0;
    for (size_t i = 0; i < from.size; i++) {
        unsigned char c = (unsigned char)from.at[i];
        if (c == '\\' && from.size - i > 3 && is_octal(from.at[i + 1]) && is_octal(from.at[i + 2]) &&
            is_octal(from.at[i + 3])) {
            c = (unsigned char)((from.at[i + 1] - '0') << 6 | (from.at[i + 2] - '0') << 3 | (from.at[i + 3] - '0'));
            i += 3;
        }
        if (length + 1 >= size)
            return false;
        ret_text[length++] = (char)c;
    }
    ret_text[length] = '\0';
    return true;
}

/*
 * Which version the wanted hierarchy is of, and our path there. A v1 line that
 * names the memory controller settles the matter: the `0::` line of a hybrid
 * machine then does not have it.
 */
static int find_path(const char *cgroup, enum cgroup_kind kind, char *ret_path, size_t size)
{
    struct piece line;
    int version = 0;
    while (next_line(&cgroup, &line)) {
        struct piece number, controllers;
        if (!next_part(&line, ':', &number) || !next_part(&line, ':', &controllers) || !line.at)
            continue;
        bool v1 = kind == CGROUP_MEMORY && lists(controllers, "memory");
        if (!v1 && !(is(number, "0") && controllers.size == 0))
            continue;
        if (line.size == 0 || line.at[0] != '/' || line.size >= size)
            continue;
        memcpy(ret_path, line.at, line.size);
        ret_path[line.size] = '\0';
        version = v1 ? 1 : 2;
        if (v1)
            break;
    }
    return version;
}

struct mount {
    char root[CGROUP_PATH_MAX];
    char point[CGROUP_PATH_MAX];
};

/* A line of mountinfo that mounts the wanted hierarchy. */
static bool parse_mount(struct piece line, int version, struct mount *ret_mount)
{
    struct piece field, root = { NULL, 0 }, point = { NULL, 0 }, type, source;
    int number = 1;
    bool separated = false;
    while (!separated && next_part(&line, ' ', &field)) {
        if (number == 4)
            root = field;
        if (number == 5)
            point = field;
        separated = number > 6 && is(field, "-"); /* behind any number of optional fields */
        number++;
    }
    if (!separated || !next_part(&line, ' ', &type) || !next_part(&line, ' ', &source) || !line.at)
        return false;
    if (version == 2 ? !is(type, "cgroup2") : !(is(type, "cgroup") && lists(line, "memory")))
        return false;
    return copy_unescaped(root, ret_mount->root, sizeof ret_mount->root) &&
           copy_unescaped(point, ret_mount->point, sizeof ret_mount->point);
}

/* What is left of path below root; NULL when it is not below. */
static const char *below(const char *path, const char *root)
{
    size_t length = strlen(root);
    if (strcmp(root, "/") == 0)
        length = 0;
    if (strncmp(path, root, length) != 0 || (path[length] != '/' && path[length] != '\0'))
        return NULL;
    return strcmp(path + length, "/") == 0 ? path + length + 1 : path + length;
}

/* Whether a component is `..`: a cgroup outside of our cgroup namespace (cgroup_namespaces(7)). */
static bool goes_up(const char *path)
{
    const char *at = strstr(path, "/..");
    while (at && at[3] != '/' && at[3] != '\0')
        at = strstr(at + 1, "/..");
    return at != NULL;
}

int cgroup_locate(const char *mountinfo, const char *cgroup, enum cgroup_kind kind, char *ret_mount, size_t mount_size,
                  char *ret_path, size_t path_size)
{
    char path[CGROUP_PATH_MAX];
    int version = find_path(cgroup, kind, path, sizeof path);
    if (version == 0)
        return 0;

    struct piece line;
    struct mount mount;
    bool found = false, found_covers = false;
    size_t found_root = 0;
    while (next_line(&mountinfo, &line)) {
        if (!parse_mount(line, version, &mount))
            continue;
        /* Nothing says where a path outside lies below the mount: what is mounted is all there is to go by. */
        const char *rest = goes_up(path) || goes_up(mount.root) ? NULL : below(path, mount.root);
        size_t root = strlen(mount.root);
        /* The mount with the shortest root shows most of our ancestors; of equals the later one is on top. */
        if (found && (found_covers ? !rest || root > found_root : !rest && root > found_root))
            continue;
        if (!text_copy(mount.point, ret_mount, mount_size) || !text_copy(rest ? rest : "", ret_path, path_size))
            continue;
        found = true;
        found_covers = rest != NULL;
        found_root = root;
    }
    return found ? version : 0;
}

/* ---- the files ---- */

/* Read all of root/name as a text; what is beyond size is left out. */
static int read_text(const char *root, const char *name, char *ret_text, size_t size)
{
    char path[CGROUP_PATH_MAX];
    int length = snprintf(path, sizeof path, "%s%s", root, name);
    if (length < 0 || (size_t)length >= sizeof path)
        return -ENAMETOOLONG;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t have = 0;
    ssize_t got = 0;
    while (have < size - 1 && (got = read(fd, ret_text + have, size - 1 - have)) > 0)
        have += (size_t)got;
    int error = got < 0 ? -errno : 0;
    (void)close(fd);
    ret_text[have] = '\0';
    return error;
}

int cgroup_find(const char *root, enum cgroup_kind kind, char *ret_mount, char *ret_path)
{
    /* Mapped, so that nothing of it stays with us. */
    char *texts = mmap(NULL, (size_t)2 * TEXT_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (texts == MAP_FAILED)
        return -errno;
    int r = read_text(root, "/proc/self/mountinfo", texts, TEXT_MAX);
    if (r == 0)
        r = read_text(root, "/proc/self/cgroup", texts + TEXT_MAX, TEXT_MAX);
    if (r == 0)
        r = cgroup_locate(texts, texts + TEXT_MAX, kind, ret_mount, CGROUP_PATH_MAX, ret_path, CGROUP_PATH_MAX);
    (void)munmap(texts, (size_t)2 * TEXT_MAX);
    return r;
}
