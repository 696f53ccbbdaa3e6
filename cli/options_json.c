// SPDX-License-Identifier: MIT
/* The resolved options of a command as one JSON object. */
#include "json_out.h"
#include "options.h"
#include <stdlib.h>

static void write_value(json_out *j, const option_row *r, const option_value *v) {
    switch (r->type) {
    case FLAG:
        put_bool(j, r->name, v->number != 0);
        break;
    case INT:
    case COUNT:
        put_int(j, r->name, (int64_t)v->number);
        break;
    case REAL:
    case SECONDS:
        put_real(j, r->name, v->number);
        break;
    case TEXT:
        put_text(j, r->name, v->text ? v->text : "");
        break;
    case LIST:
        put_open(j, r->name, '[');
        for (size_t i = 0; i < v->count; i++)
            put_text(j, NULL, v->list[i]);
        put_close(j, ']');
    }
}

char *options_json(const options *o) {
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    if (!f) return NULL;
    json_out j = {.file = f};
    put_open(&j, NULL, '{');
    for (int i = 0; i < O_COUNT; i++) {
        const option_row *r = option_at((option_id)i);
        if (r->commands & 1 << o->command && i != O_help && i != O_config)
            write_value(&j, r, &o->value[i]);
    }
    put_close(&j, '}');
    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
