// SPDX-License-Identifier: MIT
/* Command lines and configuration files to typed values, by the tables options.def and
 * commands.def. */
#ifndef WN_CLI_OPTIONS_H
#define WN_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef enum command_id {
#define CMD(id, name, arguments, least, most, summary) CMD_##id,
#include "commands.def"
#undef CMD
    CMD_COUNT
} command_id;

enum {
#define CMD(id, name, arguments, least, most, summary) C_##id = 1 << CMD_##id,
#include "commands.def"
#undef CMD
    C_ALL = (1 << CMD_COUNT) - 1
};

typedef enum option_id {
#define OPT(id, letter, commands, type, arg, def, min, max, group, help)          O_##id,
#define OPT_AS(id, name, letter, commands, type, arg, def, min, max, group, help) O_##id,
#include "options.def"
#undef OPT
#undef OPT_AS
    O_COUNT
} option_id;

typedef enum option_type { FLAG, INT, COUNT, REAL, SECONDS, TEXT, LIST } option_type;

typedef struct option_row {
    const char *name; /* as in the table, with underscores */
    char letter;
    int commands;
    option_type type;
    const char *arg, *fallback;
    double min, max;
    const char *group, *help;
} option_row;

typedef struct command_row {
    const char *name, *arguments;
    size_t least, most;
    const char *summary;
} command_row;

typedef struct option_value {
    bool given;       /* on the command line or in the file */
    bool underscored; /* on the command line, and spelled so */
    double number;    /* FLAG: 0 or 1 */
    const char *text;
    const char **list; /* LIST: malloc'ed array of `count` */
    size_t count;
} option_value;

#define MAX_ARGUMENTS 64

typedef struct options {
    command_id command;
    option_value value[O_COUNT];
    const char *argument[MAX_ARGUMENTS];
    size_t arguments;
    char **owned; /* strings of the configuration file */
    size_t owned_count;
} options;

const option_row *option_at(option_id id);
const command_row *command_at(command_id id);
#define OPTION_NAME_MAX 40
/* The name with hyphens, as shown to people. */
void option_name(option_id id, char out[OPTION_NAME_MAX]);
const char *command_nearest(const char *name);
/* CMD_COUNT when unknown. */
command_id command_find(const char *name);

/* Parses argv[1..argc). Strings are borrowed from argv. On failure writes one line to error[n] that
 * names the option, the value and the nearest legal one. */
bool options_parse(options *o, int argc, const char *const *argv, char *error, size_t n);
/* The same for the text of a configuration file (lines 'name = value', '#' comments), without
 * overriding what is given already. */
bool options_parse_file(options *o, const char *text, const char *name, char *error, size_t n);
void options_free(options *o);

static inline bool opt_flag(const options *o, option_id id) {
    return o->value[id].number != 0;
}
static inline int64_t opt_int(const options *o, option_id id) {
    return (int64_t)o->value[id].number;
}
static inline double opt_real(const options *o, option_id id) {
    return o->value[id].number;
}
/* NULL when empty. */
static inline const char *opt_text(const options *o, option_id id) {
    return o->value[id].text && *o->value[id].text ? o->value[id].text : NULL;
}

/* (options_json.c) One JSON object of the command's options, as kept in run.json; malloc'ed, NULL
 * when out of memory. */
char *options_json(const options *o);

/* Help texts (help.c). */
void help_overview(FILE *out);
void help_command(FILE *out, command_id id);
void help_man(FILE *out);
void help_completion(FILE *out);

#endif
