// SPDX-License-Identifier: MIT
/* The parser over options.def. Underscores and hyphens are the same in names; a bare FLAG is true,
 * and takes a following word only when that is True or False. Every refusal names the option, the
 * value found and the nearest legal one. */
#include "options.h"
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const option_row rows[O_COUNT] = {
#define OPT(id, letter, commands, type, arg, def, min, max, group, help)                           \
    {#id, letter, commands, type, arg, def, min, max, group, help},
#define OPT_AS(id, name, letter, commands, type, arg, def, min, max, group, help)                  \
    {name, letter, commands, type, arg, def, min, max, group, help},
#include "options.def"
#undef OPT
#undef OPT_AS
};

static const command_row commands[CMD_COUNT] = {
#define CMD(id, name, arguments, least, most, summary) {name, arguments, least, most, summary},
#include "commands.def"
#undef CMD
};

const option_row *option_at(option_id id) {
    return &rows[id];
}
const command_row *command_at(command_id id) {
    return &commands[id];
}

void option_name(option_id id, char out[OPTION_NAME_MAX]) {
    snprintf(out, OPTION_NAME_MAX, "%s", rows[id].name);
    for (char *c = out; *c; c++)
        if (*c == '_') *c = '-';
}

command_id command_find(const char *name) {
    for (int i = 0; i < CMD_COUNT; i++)
        if (strcmp(commands[i].name, name) == 0) return (command_id)i;
    return CMD_COUNT;
}

static bool refuse(char *error, size_t n, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static bool refuse(char *error, size_t n, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(error, n, fmt, ap);
    va_end(ap);
    return false;
}

static char fold(char c) {
    return c == '_' ? '-' : c;
}

static bool same_name(const char *a, size_t n, const char *b) {
    for (size_t i = 0; i < n; i++)
        if (!b[i] || fold(a[i]) != fold(b[i])) return false;
    return b[n] == '\0';
}

/* Levenshtein distance of a[0..n) and b, cut at 63 characters. */
static size_t distance(const char *a, size_t n, const char *b) {
    size_t row[64], m = strlen(b);
    if (n > 63) n = 63;
    if (m > 63) m = 63;
    for (size_t j = 0; j <= m; j++)
        row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t change = diagonal + (fold(a[i - 1]) != fold(b[j - 1]));
            diagonal = row[j];
            size_t least = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            row[j] = change < least ? change : least;
        }
    }
    return row[m];
}

const char *command_nearest(const char *name) {
    size_t best = 0, least = SIZE_MAX;
    for (size_t i = 0; i < CMD_COUNT; i++) {
        size_t d = distance(name, strlen(name), commands[i].name);
        if (d < least) {
            least = d;
            best = i;
        }
    }
    return commands[best].name;
}

/* O_COUNT when no option of this command has the name; *nearest then is the closest one. */
static option_id find_option(const options *o, const char *name, size_t n, option_id *nearest) {
    size_t least = SIZE_MAX;
    *nearest = O_help;
    for (int i = 0; i < O_COUNT; i++) {
        if (!(rows[i].commands & 1 << o->command)) continue;
        if (same_name(name, n, rows[i].name)) return (option_id)i;
        size_t d = distance(name, n, rows[i].name);
        if (d < least) {
            least = d;
            *nearest = (option_id)i;
        }
    }
    // one kernel or several: the same option
    if (rows[O_kernels].commands & 1 << o->command && same_name(name, n, "kernel"))
        return O_kernels;
    return O_COUNT;
}

static bool parse_truth(const char *text, bool *out) {
    static const char *const yes[] = {"True", "true", "TRUE", "yes", "on", "1"};
    static const char *const no[] = {"False", "false", "FALSE", "no", "off", "0"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        if (strcmp(text, yes[i]) == 0) return *out = true, true;
        if (strcmp(text, no[i]) == 0) return *out = false, true;
    }
    return false;
}

/* A number with the suffix its type allows; false when text is not one. */
static bool parse_number(option_type type, const char *text, double *out) {
    char *end = NULL;
    if (*text == '\0' || isspace((unsigned char)*text)) return false;
    if (strchr(text, 'x') || strchr(text, 'X')) return false;
    errno = 0;
    double v = strtod(text, &end);
    if (end == text || !isfinite(v)) return false;
    if (type == COUNT && *end && !end[1]) {
        v *= *end == 'k' ? 1e3 : *end == 'M' ? 1e6 : *end == 'G' || *end == 'B' ? 1e9 : (double)NAN;
        end++;
    } else if (type == SECONDS && *end && !end[1]) {
        v *= *end == 's' ? 1 : *end == 'm' ? 60 : *end == 'h' ? 3600 : (double)NAN;
        end++;
    }
    if (*end || !isfinite(v)) return false;
    if ((type == INT || type == COUNT) && v != floor(v)) return false;
    *out = v;
    return true;
}

static const char *type_text(option_type type) {
    switch (type) {
    case FLAG:
        return "True or False";
    case INT:
        return "a whole number";
    case COUNT:
        return "a whole number (k, M and G or B may follow)";
    case SECONDS:
        return "a time as 90, 90s, 15m or 2h";
    case REAL:
        return "a number";
    default:
        return "text";
    }
}

/* Words that come before run_c4.py in the commands of its documents, and options of these; the ones
 * of rdzv_ are told by their beginning. */
static bool of_launcher(const char *name, size_t n) {
    static const char *const words[] = {
        "torchrun",     "python",     "python3",     "run_c4.py",       "nproc_per_node",
        "nnodes",       "node_rank",  "master_addr", "master_port",     "standalone",
        "max_restarts", "local_addr", "local_rank",  "monitor_interval"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (same_name(name, n, words[i])) return true;
    return n > 5 && same_name(name, 4, "rdzv") && fold(name[4]) == '-';
}

static bool refuse_launcher(const char *dashes, const char *name, size_t length, char *error,
                            size_t n) {
    return refuse(error, n,
                  "%s%.*s belongs to the launcher's command; one process trains here, on --threads "
                  "threads: leave the launcher's words out",
                  dashes, (int)(length > 60 ? 60 : length), name);
}

static bool append_list(option_value *v, const char *text) {
    const char **grown = realloc(v->list, (v->count + 1) * sizeof *grown);
    if (!grown) return false;
    v->list = grown;
    v->list[v->count++] = text;
    return true;
}

/* Sets one option from its text. */
static bool set_value(options *o, option_id id, const char *text, char *error, size_t n) {
    const option_row *r = &rows[id];
    option_value *v = &o->value[id];
    char name[OPTION_NAME_MAX];
    option_name(id, name);
    bool truth = false;
    double number = 0;
    switch (r->type) {
    case TEXT:
        v->text = text;
        break;
    case LIST:
        if (!append_list(v, text)) return refuse(error, n, "out of memory");
        break;
    case FLAG:
        if (!parse_truth(text, &truth))
            return refuse(error, n, "--%s: '%s' is not True or False", name, text);
        v->number = truth;
        break;
    default:
        if (!parse_number(r->type, text, &number))
            return refuse(error, n, "--%s: '%s' is not %s", name, text, type_text(r->type));
        if (number < r->min || number > r->max)
            return refuse(error, n, "--%s: %s is out of range; the nearest legal value is %.15g",
                          name, text, number < r->min ? r->min : r->max);
        v->number = number;
    }
    v->given = true;
    return true;
}

static void set_defaults(options *o) {
    for (int i = 0; i < O_COUNT; i++) {
        option_value *v = &o->value[i];
        v->text = rows[i].type == TEXT ? rows[i].fallback : NULL;
        if (rows[i].type == FLAG)
            v->number = strcmp(rows[i].fallback, "true") == 0;
        else if (rows[i].type != TEXT && rows[i].type != LIST)
            v->number = strtod(rows[i].fallback, NULL);
    }
}

/* No such option here. Other commands that have one of this name are named: what they do with it is
 * not done here, and no other spelling helps. */
static bool refuse_unknown(const options *o, const char *name, size_t length, option_id nearest,
                           char *error, size_t n) {
    char others[160] = "", shown[OPTION_NAME_MAX];
    size_t used = 0, cut = length > 60 ? 60 : length;
    for (int i = 0; i < O_COUNT; i++)
        for (int c = 0; same_name(name, length, rows[i].name) && c < CMD_COUNT; c++)
            if (rows[i].commands & 1 << c && used < sizeof others)
                used += (size_t)snprintf(others + used, sizeof others - used, "%s%s",
                                         used ? ", " : "", commands[c].name);
    if (used)
        return refuse(error, n, "'winnow %s' has no --%.*s, which is an option of: %s",
                      commands[o->command].name, (int)cut, name, others);
    option_name(nearest, shown);
    return refuse(error, n, "unknown option --%.*s of 'winnow %s'; the nearest is --%s", (int)cut,
                  name, commands[o->command].name, shown);
}

/* --name, --name=value, --name value, --no-name. *i is advanced past a consumed value. */
static bool parse_long(options *o, int argc, const char *const *argv, int *i, char *error,
                       size_t n) {
    const char *name = argv[*i] + 2, *equals = strchr(name, '=');
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    option_id nearest, id = find_option(o, name, length, &nearest);
    char shown[OPTION_NAME_MAX];
    if (id == O_COUNT && length > 3 && strncmp(name, "no", 2) == 0 && fold(name[2]) == '-' &&
        !equals) {
        id = find_option(o, name + 3, length - 3, &nearest);
        if (id != O_COUNT && rows[id].type == FLAG) return set_value(o, id, "false", error, n);
        id = O_COUNT;
    }
    if (id == O_COUNT && o->command == CMD_TRAIN && of_launcher(name, length))
        return refuse_launcher("--", name, length, error, n);
    if (id == O_COUNT) return refuse_unknown(o, name, length, nearest, error, n);
    o->value[id].underscored = memchr(name, '_', length) != NULL;
    if (equals) return set_value(o, id, equals + 1, error, n);
    bool truth;
    if (rows[id].type == FLAG) {
        bool follows = *i + 1 < argc && (strcasecmp(argv[*i + 1], "true") == 0 ||
                                         strcasecmp(argv[*i + 1], "false") == 0);
        if (!follows || !parse_truth(argv[*i + 1], &truth))
            return set_value(o, id, "true", error, n);
    }
    bool bare = rows[id].type == TEXT && rows[id].arg[0] == '[';
    if (bare && (*i + 1 >= argc || argv[*i + 1][0] == '-'))
        return set_value(o, id, "True", error, n);
    if (*i + 1 >= argc) {
        option_name(id, shown);
        return refuse(error, n, "--%s needs a value: %s", shown, rows[id].arg);
    }
    return set_value(o, id, argv[++*i], error, n);
}

static bool parse_short(options *o, int argc, const char *const *argv, int *i, char *error,
                        size_t n) {
    const char *a = argv[*i];
    for (int id = 0; id < O_COUNT; id++) {
        if (rows[id].letter != a[1] || !(rows[id].commands & 1 << o->command)) continue;
        if (rows[id].type == FLAG && !a[2]) return set_value(o, (option_id)id, "true", error, n);
        if (a[2]) return set_value(o, (option_id)id, a + 2, error, n);
        if (*i + 1 >= argc) return refuse(error, n, "-%c needs a value: %s", a[1], rows[id].arg);
        return set_value(o, (option_id)id, argv[++*i], error, n);
    }
    return refuse(error, n, "unknown option %.60s of 'winnow %s'; 'winnow help %s' lists them", a,
                  commands[o->command].name, commands[o->command].name);
}

static bool add_argument(options *o, const char *text, char *error, size_t n) {
    if (o->command == CMD_TRAIN && of_launcher(text, strlen(text)))
        return refuse_launcher("", text, strlen(text), error, n);
    if (o->arguments == MAX_ARGUMENTS)
        return refuse(error, n, "more than %d arguments", MAX_ARGUMENTS);
    o->argument[o->arguments++] = text;
    return true;
}

bool options_parse(options *o, int argc, const char *const *argv, char *error, size_t n) {
    memset(o, 0, sizeof *o);
    if (argc < 2) return refuse(error, n, "no command; 'winnow help' lists them");
    o->command = command_find(argv[1]);
    if (o->command == CMD_COUNT)
        return refuse(error, n,
                      "unknown command '%.60s'; the nearest is '%s', and 'winnow help' lists all",
                      argv[1], command_nearest(argv[1]));
    set_defaults(o);
    bool only_arguments = false;
    for (int i = 2; i < argc; i++) {
        const char *a = argv[i];
        bool done;
        if (only_arguments || a[0] != '-' || a[1] == '\0')
            done = add_argument(o, a, error, n);
        else if (strcmp(a, "--") == 0)
            done = only_arguments = true;
        else if (a[1] == '-')
            done = parse_long(o, argc, argv, &i, error, n);
        else
            done = parse_short(o, argc, argv, &i, error, n);
        if (!done) return false;
    }
    const command_row *c = &commands[o->command];
    if (opt_flag(o, O_help)) return true;
    if (o->arguments < c->least)
        return refuse(error, n, "winnow %s needs %s", c->name, c->arguments);
    if (o->arguments > c->most)
        return refuse(error, n, "winnow %s takes %s, not also '%.60s'", c->name,
                      c->most ? c->arguments : "no arguments", o->argument[c->most]);
    return true;
}

/* A copy kept until options_free. */
static const char *own(options *o, const char *text, size_t size) {
    char **grown = realloc(o->owned, (o->owned_count + 1) * sizeof *grown);
    if (!grown) return NULL;
    o->owned = grown;
    char *copy = strndup(text, size);
    if (copy) o->owned[o->owned_count++] = copy;
    return copy;
}

static void trim(const char **text, size_t *size) {
    while (*size && isspace((unsigned char)**text)) {
        ++*text;
        --*size;
    }
    while (*size && isspace((unsigned char)(*text)[*size - 1]))
        --*size;
}

/* Where a configuration file is, what the command line has said already, and the line that gave an
 * option: 0 for none. */
typedef struct file_place {
    const char *where;
    int number;
    bool fixed[O_COUNT];
    int given[O_COUNT];
} file_place;

static bool parse_file_line(options *o, const char *line, size_t size, file_place *p, char *error,
                            size_t n) {
    const char *where = p->where;
    const char *hash = memchr(line, '#', size);
    if (hash) size = (size_t)(hash - line);
    trim(&line, &size);
    if (!size) return true;
    const char *equals = memchr(line, '=', size);
    if (!equals) return refuse(error, n, "%s: expected 'name = value'", where);
    const char *value = equals + 1;
    size_t name_size = (size_t)(equals - line), value_size = size - name_size - 1;
    trim(&line, &name_size);
    trim(&value, &value_size);
    option_id nearest, id = find_option(o, line, name_size, &nearest);
    char shown[OPTION_NAME_MAX], inner[400];
    option_name(nearest, shown);
    if (id == O_COUNT || id == O_config)
        return refuse(error, n, "%s: unknown option '%.*s'; the nearest is '%s'", where,
                      (int)(name_size > 60 ? 60 : name_size), line, shown);
    if (p->given[id] && rows[id].type != LIST) /* of the two only one can be meant */
        return refuse(error, n, "%s: '%.*s' is given a second time, line %d has it already", where,
                      (int)(name_size > 60 ? 60 : name_size), line, p->given[id]);
    p->given[id] = p->number;
    if (p->fixed[id]) return true;
    const char *text = own(o, value, value_size);
    if (!text) return refuse(error, n, "out of memory");
    if (set_value(o, id, text, inner, sizeof inner)) return true;
    return refuse(error, n, "%s: %s", where, inner);
}

bool options_parse_file(options *o, const char *text, const char *name, char *error, size_t n) {
    file_place p = {.number = 1};
    for (int i = 0; i < O_COUNT; i++)
        p.fixed[i] = o->value[i].given;
    if (strncmp(text, "\xEF\xBB\xBF", 3) == 0) text += 3; /* what some editors begin with */
    for (const char *line = text; *line; p.number++) {
        size_t size = strcspn(line, "\n");
        char where[300];
        snprintf(where, sizeof where, "%.200s: line %d", name, p.number);
        p.where = where;
        if (!parse_file_line(o, line, size, &p, error, n)) return false;
        line += size + (line[size] == '\n');
    }
    return true;
}

void options_free(options *o) {
    for (int i = 0; i < O_COUNT; i++)
        free(o->value[i].list);
    for (size_t i = 0; i < o->owned_count; i++)
        free(o->owned[i]);
    free(o->owned);
    memset(o, 0, sizeof *o);
}
