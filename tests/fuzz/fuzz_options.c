// SPDX-License-Identifier: MIT
/* Command lines and configuration files of any bytes: the input's first line is split at spaces
 * into a command line, the rest is a configuration file. */
#include "options.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *argv[40] = {"winnow"};
    char error[600], *text = malloc(size + 1);
    if (!text) return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    char *file = strchr(text, '\n');
    if (file) *file++ = '\0';
    int argc = 1;
    for (char *word = strtok(text, " "); word && argc < 39; word = strtok(NULL, " "))
        argv[argc++] = word;
    options o;
    if (options_parse(&o, argc, argv, error, sizeof error)) {
        if (!file || options_parse_file(&o, file, "file", error, sizeof error))
            free(options_json(&o));
    }
    options_free(&o);
    free(text);
    return 0;
}
