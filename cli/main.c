// SPDX-License-Identifier: MIT
/* winnow: finds the command, parses its options, runs it. */
#include "command.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int (*const run[CMD_COUNT])(const options *) = {
#define CMD(id, name, arguments, least, most, summary) command_##id,
#include "commands.def"
#undef CMD
};

static void log_line(void *ctx, wn_log_level level, const char *line) {
    (void)ctx;
    if (level >= WN_LOG_INFO)
        fprintf(stderr, "%s%s\n", level >= WN_LOG_WARN ? "winnow: " : "", line);
}

/* --config FILE, whose values give way to the command line's. */
static bool read_config(options *o, char *error, size_t n) {
    const char *path = opt_text(o, O_config);
    if (!path) return true;
    size_t size = 0;
    char *text = read_file(path, &size);
    if (!text) return *error = '\0', false; /* read_file has said why */
    bool ok = strlen(text) == size;
    if (ok)
        ok = options_parse_file(o, text, path, error, n);
    else
        snprintf(error, n, "%.200s: has a NUL byte", path);
    free(text);
    return ok;
}

/* Output that could not be written (a full disk, a closed pipe) is a failure like any other. */
static int finish(int code) {
    bool bad = fflush(stdout) != 0 || ferror(stdout);
    if (bad && code == EXIT_OK) {
        if (errno != EPIPE) fprintf(stderr, "winnow: standard output: %s\n", strerror(errno));
        return EXIT_FAILED;
    }
    return code;
}

int main(int argc, char **argv) {
    if (argc >= 2 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)) {
        printf("winnow %s\n", wn_version());
        return finish(EXIT_OK);
    }
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        help_overview(argc < 2 ? stderr : stdout);
        return argc < 2 ? EXIT_USAGE : finish(EXIT_OK);
    }
    wn_log_set(log_line, NULL);
    options o;
    char error[600];
    int code = EXIT_USAGE;
    if (!options_parse(&o, argc, (const char *const *)argv, error, sizeof error) ||
        !read_config(&o, error, sizeof error)) {
        if (*error) fprintf(stderr, "winnow: %s\n", error);
    } else if (opt_flag(&o, O_help)) {
        help_command(stdout, o.command);
        code = finish(EXIT_OK);
    } else {
        code = finish(run[o.command](&o));
    }
    options_free(&o);
    return code;
}
