// SPDX-License-Identifier: MIT
/* Writing JSON to a stream, one value at a time (put_, as json_ is jansson's). The caller opens and
 * closes; commas and escapes are done here. */
#ifndef WN_CLI_JSON_OUT_H
#define WN_CLI_JSON_OUT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct json_out {
    FILE *file;
    bool comma; /* a value was written at this level */
} json_out;

/* name is NULL inside arrays and at the top. */
void put_open(json_out *j, const char *name, char bracket); /* '{' or '[' */
void put_close(json_out *j, char bracket);                  /* '}' or ']' */
void put_text(json_out *j, const char *name, const char *value);
/* Bytes that are not UTF-8 become U+FFFD. */
void put_bytes(json_out *j, const char *name, const char *value, size_t size);
void put_int(json_out *j, const char *name, int64_t value);
void put_real(json_out *j, const char *name, double value); /* not finite: null */
void put_bool(json_out *j, const char *name, bool value);

#endif
