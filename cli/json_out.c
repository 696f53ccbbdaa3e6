// SPDX-License-Identifier: MIT
/* See json_out.h. */
#include "json_out.h"
#include <math.h>
#include <string.h>

static void lead(json_out *j, const char *name) {
    if (j->comma) fputs(", ", j->file);
    j->comma = true;
    if (name) {
        fputc('"', j->file);
        fputs(name, j->file); /* names are our own identifiers */
        fputs("\": ", j->file);
    }
}

void put_open(json_out *j, const char *name, char bracket) {
    lead(j, name);
    fputc(bracket, j->file);
    j->comma = false;
}

void put_close(json_out *j, char bracket) {
    fputc(bracket, j->file);
    j->comma = true;
}

/* Bytes of the UTF-8 character at s (1..4), 0 if it is not one. */
static size_t utf8_length(const unsigned char *s, size_t n) {
    size_t length = s[0] < 0x80                   ? 1
                    : s[0] >= 0xC2 && s[0] < 0xE0 ? 2
                    : s[0] >= 0xE0 && s[0] < 0xF0 ? 3
                    : s[0] >= 0xF0 && s[0] < 0xF5 ? 4
                                                  : 0;
    if (!length || length > n) return 0;
    for (size_t i = 1; i < length; i++)
        if ((s[i] & 0xC0) != 0x80) return 0;
    if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F) ||
        (s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] > 0x8F))
        return 0;
    return length;
}

void put_bytes(json_out *j, const char *name, const char *value, size_t size) {
    lead(j, name);
    fputc('"', j->file);
    for (size_t i = 0; i < size;) {
        const unsigned char *s = (const unsigned char *)value + i;
        size_t length = utf8_length(s, size - i);
        if (length == 0)
            fputs("\\ufffd", j->file);
        else if (*s == '"' || *s == '\\')
            fprintf(j->file, "\\%c", *s);
        else if (*s == '\n')
            fputs("\\n", j->file);
        else if (*s < 0x20)
            fprintf(j->file, "\\u%04x", *s);
        else
            fwrite(s, 1, length, j->file);
        i += length ? length : 1;
    }
    fputc('"', j->file);
}

void put_text(json_out *j, const char *name, const char *value) {
    put_bytes(j, name, value, strlen(value));
}

void put_int(json_out *j, const char *name, int64_t value) {
    lead(j, name);
    fprintf(j->file, "%lld", (long long)value);
}

void put_real(json_out *j, const char *name, double value) {
    lead(j, name);
    if (isfinite(value))
        fprintf(j->file, "%.9g", value);
    else
        fputs("null", j->file);
}

void put_bool(json_out *j, const char *name, bool value) {
    lead(j, name);
    fputs(value ? "true" : "false", j->file);
}
