/*
 * A policy being put together: defaults, environment, command line, the checks
 * across keys, and every message about a value. Files are policy_file.c's.
 */
#include "load.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>

#include "keys.h"

enum { NAME_MAX_SIZE = 64, VALUE_MAX_SIZE = 256 };

static const char variable_prefix[] = "TRIMTAB_";
enum { VARIABLE_PREFIX = sizeof variable_prefix - 1 };

void config_escape(const char *bytes, char *ret_text, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    size_t used = 0;

    for (; *bytes != '\0'; bytes++) {
        const unsigned char byte = (unsigned char)*bytes;
        const bool plain = byte >= 0x20 && byte < 0x7f;
        if (used + (plain ? 1 : 4) + sizeof "..." > size) {
            (void)snprintf(ret_text + used, size - used, "...");
            return;
        }
        if (plain) {
            ret_text[used++] = *bytes;
            continue;
        }
        ret_text[used++] = '\\';
        ret_text[used++] = 'x';
        ret_text[used++] = digits[byte >> 4];
        ret_text[used++] = digits[byte & 15];
    }
    ret_text[used] = '\0';
}

void config_append(char *text, size_t size, const char *item)
{
    const size_t length = strlen(text);

    (void)snprintf(text + length, size - length, "%s%s", length ? ", " : "", item);
}

int config_fail(struct config_load *load, const struct config_place *place, const char *format, ...)
{
    char shown[CONFIG_SHOWN_MAX];
    char *error = load->error;
    size_t used = 0;
    va_list arguments;

    config_escape(place->name, shown, sizeof shown);
    if (place->source == SOURCE_COMMAND_LINE)
        (void)snprintf(error, CONFIG_ERROR_MAX, "%s %s: ", place->option, shown);
    else if (place->line > 0)
        (void)snprintf(error, CONFIG_ERROR_MAX, "%s:%d: ", shown, place->line);
    else
        (void)snprintf(error, CONFIG_ERROR_MAX, "%s: ", shown);
    used = strlen(error);
    va_start(arguments, format);
    (void)vsnprintf(error + used, CONFIG_ERROR_MAX - used, format, arguments);
    va_end(arguments);
    return -1;
}

/* "[trim] at: ", where the place does not name the key already. */
static void name_key(const struct config_place *place, const char *section, const char *name, char *ret_text,
                     size_t size)
{
    char shown[CONFIG_SHOWN_MAX / 2];

    ret_text[0] = '\0';
    if (place->source != SOURCE_FILE)
        return;
    config_escape(name, shown, sizeof shown);
    (void)snprintf(ret_text, size, "[%s] %s: ", section, shown);
}

/* TRIMTAB_TRIM_AT for [trim] at. */
static void name_variable(const char *section, const char *name, char *ret_text, size_t size)
{
    (void)snprintf(ret_text, size, "%s%s_%s", variable_prefix, section, name);
    for (char *p = ret_text; *p != '\0'; p++)
        *p = (char)toupper((unsigned char)*p);
}

int config_fail_section(struct config_load *load, const struct config_place *place, const char *section)
{
    char shown[CONFIG_SHOWN_MAX];
    const char *nearest = keys_nearest_section(section);

    config_escape(section, shown, sizeof shown);
    if (nearest)
        return config_fail(load, place, "[%s]: unknown section; did you mean '%s'?", shown, nearest);
    return config_fail(load, place, "[%s]: unknown section", shown);
}

static int fail_key(struct config_load *load, const struct config_place *place, const char *section, const char *name)
{
    char key[CONFIG_SHOWN_MAX], variable[NAME_MAX_SIZE];
    const char *nearest = keys_nearest(section, name);
    const int elsewhere = keys_find_elsewhere(section, name);
    const bool in_environment = place->source == SOURCE_ENVIRONMENT;

    key[0] = '\0';
    if (!in_environment) {
        char shown[CONFIG_SHOWN_MAX / 2];
        config_escape(name, shown, sizeof shown);
        (void)snprintf(key, sizeof key, "[%s] %s: ", section, shown);
    }
    if (elsewhere >= 0) {
        section = keys[elsewhere].section;
        nearest = keys[elsewhere].name;
        if (!in_environment)
            return config_fail(load, place, "%sunknown key; did you mean [%s] %s?", key, section, nearest);
    }
    if (!nearest)
        return config_fail(load, place, "%sunknown key", key);
    if (!in_environment)
        return config_fail(load, place, "%sunknown key; did you mean '%s'?", key, nearest);
    name_variable(section, nearest, variable, sizeof variable);
    return config_fail(load, place, "unknown key; did you mean %s?", variable);
}

/* A key may be set once in each source; in different ones the later wins. */
static int check_once(struct config_load *load, const struct config_place *place, int row, const char *key)
{
    const struct config_origin *origin = &load->origin[row];

    if (origin->source != place->source)
        return 0;
    if (place->source == SOURCE_FILE)
        return config_fail(load, place, "%salready set in line %d", key, origin->line);
    if (place->source == SOURCE_COMMAND_LINE)
        return config_fail(load, place, "already set by an earlier option");
    return config_fail(load, place, "set twice");
}

int config_take(struct config_load *load, const struct config_place *place, const char *section, const char *name,
                const char *value)
{
    char key[CONFIG_SHOWN_MAX], shown[CONFIG_SHOWN_MAX];
    const int row = keys_find(section, name);

    if (row < 0)
        return keys_has_section(section) ? fail_key(load, place, section, name)
                                         : config_fail_section(load, place, section);
    name_key(place, section, name, key, sizeof key);
    if (check_once(load, place, row, key) != 0)
        return -1;
    if (*value == '\0')
        return config_fail(load, place, "%sempty value", key);
    config_escape(value, shown, sizeof shown);
    if (*value == '"' || *value == '\'')
        return config_fail(load, place, "%s%s: a value is written without quotes", key, shown);
    const char *wrong = keys_apply(&keys[row], value, &load->config);
    if (wrong)
        return config_fail(load, place, "%s'%s' is %s", key, shown, wrong);
    load->origin[row] = (struct config_origin){ .source = place->source, .line = place->line };
    load->any = true;
    return 0;
}

void config_defaults(struct config_load *load)
{
    memset(load, 0, sizeof *load);
    for (int i = 0; i < keys_count; i++)
        (void)keys_apply(&keys[i], keys[i].fallback, &load->config);
}

/*
 * Kubernetes gives every container variables for each service of its
 * namespace. For services called trimtab, or trimtab-watch, they look like
 * ours: TRIMTAB_PORT, TRIMTAB_WATCH_SERVICE_HOST, TRIMTAB_PORT_80_TCP_ADDR.
 */
static bool is_service_link(const char *variable)
{
    const char *port = strstr(variable, "_PORT");

    return strstr(variable, "_SERVICE_HOST") || (port && (port[5] == '\0' || port[5] == '_'));
}

/* One variable whose name begins with TRIMTAB_ and whose value is not empty. */
static int take_variable(struct config_load *load, const char *variable, const char *value)
{
    const struct config_place place = { .source = SOURCE_ENVIRONMENT, .name = variable };
    char section[NAME_MAX_SIZE], shown[CONFIG_SHOWN_MAX];
    const char *rest = variable + VARIABLE_PREFIX;
    const size_t length = strcspn(rest, "_");

    if (length >= sizeof section || is_service_link(variable))
        return 0;
    for (size_t i = 0; i < length; i++)
        section[i] = (char)tolower((unsigned char)rest[i]);
    section[length] = '\0';
    rest += length;
    if (!keys_has_section(section)) {
        const char *nearest = *rest == '_' ? keys_nearest_section(section) : NULL;
        if (nearest && load->warning[0] == '\0') {
            config_escape(variable, shown, sizeof shown);
            (void)snprintf(load->warning, sizeof load->warning,
                           "%s: unknown section '%s', ignoring the variable; did you mean '%s'?", shown, section,
                           nearest);
        }
        return 0;
    }
    char name[NAME_MAX_SIZE] = "";
    for (size_t i = 0; rest[0] == '_' && rest[i + 1] != '\0' && i + 1 < sizeof name; i++)
        name[i] = (char)tolower((unsigned char)rest[i + 1]);
    return config_take(load, &place, section, name, value);
}

int config_read_environment(struct config_load *load, char *const *environment)
{
    char name[NAME_MAX_SIZE * 2];

    if (getauxval(AT_SECURE)) /* set-id: the caller's environment is not to be trusted, secure_getenv(3) */
        return 0;
    for (; *environment; environment++) {
        const char *equals = strchr(*environment, '=');
        if (strncmp(*environment, variable_prefix, VARIABLE_PREFIX) != 0 || !equals || equals[1] == '\0')
            continue;
        const size_t length = (size_t)(equals - *environment);
        if (length >= sizeof name)
            continue; /* far longer than any of ours */
        memcpy(name, *environment, length);
        name[length] = '\0';
        if (strcmp(name, "TRIMTAB_POLICY") == 0) /* no key: options.c reads it */
            continue;
        if (take_variable(load, name, equals + 1) != 0)
            return -1;
    }
    return 0;
}

int config_set(struct config_load *load, const char *assignment)
{
    const struct config_place place = { .source = SOURCE_COMMAND_LINE, .option = "--set", .name = assignment };
    char names[NAME_MAX_SIZE * 2];
    const char *equals = strchr(assignment, '=');
    const size_t length = equals ? (size_t)(equals - assignment) : 0;

    if (!equals)
        return config_fail(load, &place, "no '='; write section.key=value");
    if (length >= sizeof names)
        return config_fail(load, &place, "no such key");
    memcpy(names, assignment, length);
    names[length] = '\0';
    char *dot = strchr(names, '.');
    if (!dot)
        return config_fail(load, &place, "no section; write section.key=value");
    *dot = '\0';
    return config_take(load, &place, names, dot + 1, equals + 1);
}

int config_rewrite(struct config_load *load, const char *pair)
{
    const struct config_place place = { .source = SOURCE_COMMAND_LINE, .option = "--rewrite", .name = pair };
    const int row = keys_find("worker", "rewrite");
    struct config one;
    const char *wrong = *pair == '\0' || strcmp(pair, "none") == 0 || strchr(pair, ',')
                            ? "not FROM:TO (TERM:QUIT, HUP:0)"
                            : keys_apply(&keys[row], pair, &one);

    if (wrong) {
        char shown[CONFIG_SHOWN_MAX];
        config_escape(pair, shown, sizeof shown);
        return config_fail(load, &place, "'%s' is %s", shown, wrong);
    }
    for (int i = 0; i < CONFIG_SIGNALS; i++) {
        if (one.worker.rewrite[i] != i)
            load->config.worker.rewrite[i] = one.worker.rewrite[i];
    }
    load->origin[row] = (struct config_origin){ .source = SOURCE_COMMAND_LINE };
    return 0;
}

/* A check across keys that failed, told where this one of them was set. */
static int fail_check(struct config_load *load, const char *section, const char *name, const char *what)
{
    char variable[NAME_MAX_SIZE], assignment[NAME_MAX_SIZE + VALUE_MAX_SIZE], value[VALUE_MAX_SIZE];
    char key[CONFIG_SHOWN_MAX];
    const int row = keys_find(section, name);
    const struct config_origin *origin = &load->origin[row];
    struct config_place place = { .source = origin->source, .name = "defaults", .line = origin->line };

    switch (origin->source) {
    case SOURCE_ENVIRONMENT:
        name_variable(section, name, variable, sizeof variable);
        place.name = variable;
        break;
    case SOURCE_COMMAND_LINE:
        keys_print(&keys[row], &load->config, value, sizeof value);
        (void)snprintf(assignment, sizeof assignment, "%s.%s=%s", section, name, value);
        place.option = "--set";
        place.name = assignment;
        break;
    case SOURCE_FILE:
        place.name = load->file;
        break;
    case SOURCE_DEFAULT:
        break;
    }
    name_key(&place, section, name, key, sizeof key);
    return config_fail(load, &place, "%s%s", key, what);
}

static bool exceeds(const struct config_amount *upper, const struct config_amount *lower)
{
    if (upper->bytes != 0 && lower->bytes != 0)
        return upper->bytes > lower->bytes;
    if (upper->share_permyriad != 0 && lower->share_permyriad != 0)
        return upper->share_permyriad > lower->share_permyriad;
    return true; /* one is off, or they meet only once the limit is known */
}

static bool is_off(const struct config_amount *amount)
{
    return amount->bytes == 0 && amount->share_permyriad == 0;
}

/* A recycle line must be above the trim line of the same kind, so that there is a trim before it. */
static int check_order(struct config_load *load, const char *recycle_section, const char *recycle_name,
                       const char *trim_section, const char *trim_name)
{
    const struct key *recycle = &keys[keys_find(recycle_section, recycle_name)];
    const struct key *trim = &keys[keys_find(trim_section, trim_name)];
    const char *base = (const char *)&load->config;
    char recycle_value[NAME_MAX_SIZE], trim_value[NAME_MAX_SIZE], what[VALUE_MAX_SIZE];

    if (exceeds((const struct config_amount *)(base + recycle->offset),
                (const struct config_amount *)(base + trim->offset)))
        return 0;
    keys_print(trim, &load->config, trim_value, sizeof trim_value);
    keys_print(recycle, &load->config, recycle_value, sizeof recycle_value);
    (void)snprintf(what, sizeof what, "%s must be above [%s] %s, which is %s", recycle_value, trim_section, trim_name,
                   trim_value);
    return fail_check(load, recycle_section, recycle_name, what);
}

/* A reason to trim that only a user can give, where nothing is there to trim with; or the other way round. */
static int check_trim_reasons(struct config_load *load)
{
    const struct config *config = &load->config;
    const struct {
        const char *section, *name;
        bool set;
    } reasons[] = { { "trim", "at", !is_off(&config->trim.at) },
                    { "trim", "every", config->trim.every_ms > 0 },
                    { "container", "pressure", config->container.pressure.window_ms > 0 } };
    bool none = config->trim.signal == 0 ||
                (config->trim.signal == CONFIG_SIGNAL_AGENT && config->allocator.agent == CONFIG_AGENT_NO);
    bool any = config->trim.idle_ms > 0 || !is_off(&config->container.trim_at);

    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (reasons[i].set && none)
            return fail_check(
                load, reasons[i].section, reasons[i].name,
                "nothing would be asked to trim; set [trim] signal to agent, or to one that the worker handles");
        any = any || reasons[i].set;
    }
    if (!any && config->trim.signal > 0)
        return fail_check(load, "trim", "signal", "it would never be sent; set [trim] at");
    return 0;
}

/* A policy that only says who the worker runs as, or how to log, is none about memory. */
static bool is_about_memory(const struct config_load *load)
{
    static const char *const sections[] = { "watch", "trim", "recycle", "container" };
    for (int i = 0; i < keys_count; i++) {
        for (size_t k = 0; k < sizeof sections / sizeof sections[0]; k++) {
            if (load->origin[i].source != SOURCE_DEFAULT && strcmp(keys[i].section, sections[k]) == 0)
                return true;
        }
    }
    return load->config.allocator.agent == CONFIG_AGENT_YES;
}

int config_check(struct config_load *load)
{
    const struct config *config = &load->config;

    load->memory = is_about_memory(load);
    if (check_order(load, "recycle", "at", "trim", "at") < 0 || check_trim_reasons(load) < 0)
        return -1;
    if (config->trim.signal != 0 && check_order(load, "container", "recycle_at", "container", "trim_at") < 0)
        return -1;
    if (config->worker.restart == CONFIG_RESTART_NEVER && config->recycle.method == CONFIG_METHOD_RESPAWN)
        return fail_check(load, "recycle", "method", "respawn cannot be while [worker] restart is never");
    return 0;
}
