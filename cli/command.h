// SPDX-License-Identifier: MIT
/* What the commands share: exit codes, reporting a failed call, numbers for people. */
#ifndef WN_CLI_COMMAND_H
#define WN_CLI_COMMAND_H

#include "options.h"
#include <winnow/status.h>

enum {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_INVALID_MODEL = 3,
    EXIT_UNSUPPORTED = 4,
    EXIT_INTERRUPTED = 130
};

/* One for each row of commands.def. Returns the exit code. */
#define CMD(id, name, arguments, least, most, summary) int command_##id(const options *o);
#include "commands.def"
#undef CMD

/* "winnow: message" on standard error; the exit code of a status. */
int report(wn_status status);
/* A usage error: "winnow: ..." and EXIT_USAGE. */
int usage_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* "18.4 GiB", "512 B" into out[n]; returns out. */
const char *bytes_text(double bytes, char *out, size_t n);
/* "2.27M", "812" */
const char *count_text(double count, char *out, size_t n);
/* "1h12m", "4m05s", "12s" */
const char *time_text(double seconds, char *out, size_t n);
/* Whether the name says that it is a token shard: it ends in ".tokens". */
bool is_shard(const char *path);
/* Reads a whole file ("-": standard input); malloc'ed, NUL after size bytes. NULL after a message
 * on standard error. */
char *read_file(const char *path, size_t *size);
/* The same of a text, or of documents: their texts, a line feed after each. */
char *read_text(const char *path, size_t *size);
/* Writes text to path through a temporary file that is renamed; false after a message on standard
 * error. */
bool replace_file(const char *path, const char *text, size_t size);
/* Whether that can work, before there is a text; nothing at path is touched. False after the
 * message. */
bool can_replace_file(const char *path);

#endif
