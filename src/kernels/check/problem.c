// SPDX-License-Identifier: MIT
// Problems as text and at random. Sizes are drawn where kernels change path: nothing, one, each
// tail of a vector, and one off the usual block sizes.
#include "base/fail.h"
#include "base/philox.h"
#include "kernels/check/harness.h"
#include "kernels/registry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const wn__data_words[] = {"normal",   "integers", "wild", "tiny",
                                      "infinite", "ties",     "nan",  NULL};
const char *const wn__dtype_words[] = {"f64", "f32", "bf16", "f16", NULL};

static const int16_t edges[] = {1,  0,  2,  3,  4,  5,  6,  7,  8,  9,  10,  11,  12, 13,
                                14, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129};
#define EDGES ((int64_t)(sizeof edges / sizeof edges[0]))

typedef struct draws {
    uint64_t seed, stream, next;
} draws;

static int64_t draw(draws *d, int64_t low, int64_t high) {
    return low +
           (int64_t)wn__philox_below(d->seed, d->stream, d->next++, (uint64_t)(high - low) + 1);
}

static int64_t clamp(int64_t x, int64_t low, int64_t high) {
    return x < low ? low : x > high ? high : x;
}

static int64_t draw_small(draws *d, const wn__field *f) {
    int64_t most = f->sweep < 40 ? f->sweep : 40;
    if (draw(d, 0, 3) == 0) return clamp(edges[draw(d, 0, EDGES - 1)], f->least, f->sweep);
    return draw(d, f->least > 1 ? f->least : 1, most);
}

static int64_t draw_choice(draws *d, const wn__field *f) {
    return draw(d, 0, 1) ? f->usual : draw(d, f->least, f->most);
}

static int sizes_of(const wn__case_type *type) {
    int count = 0;
    for (int i = 0; i < type->field_count; i++)
        count += type->fields[i].sweep > 0;
    return count;
}

// Case i sweeps one size through all edges while the others are random; every tenth case makes that
// size large instead.
void wn__problem_draw(const wn__case_type *type, uint64_t seed, int64_t index, wn__problem *out) {
    draws d = {seed, WN_STREAM_TEST + (uint64_t)type->op, (uint64_t)index << 16};
    int sizes = sizes_of(type), size = 0;
    int64_t swept = sizes ? index % sizes : 0;
    int64_t edge = sizes ? index / sizes % EDGES : 0;
    memset(out, 0, sizeof *out);
    for (int i = 0; i < type->field_count; i++) {
        const wn__field *f = type->fields + i;
        int64_t *value = out->value + i;
        if (f->sweep == 0)
            *value = draw_choice(&d, f);
        else if (size++ != swept)
            *value = draw_small(&d, f);
        else if (index % 10 == 9 && f->large > f->sweep)
            *value = draw(&d, f->large / 2, f->large);
        else
            *value = clamp(edges[edge], f->least, f->sweep);
    }
    if (type->settle) type->settle(out);
}

static const wn__field *find_field(const wn__case_type *type, const char *name, size_t length) {
    for (int i = 0; i < type->field_count; i++) {
        const char *field = type->fields[i].name;
        if (strlen(field) == length && memcmp(field, name, length) == 0) return type->fields + i;
    }
    return NULL;
}

static wn_status refuse_name(const wn__case_type *type, const char *name, size_t length) {
    const char *names[WN__MAX_FIELDS];
    for (int i = 0; i < type->field_count; i++)
        names[i] = type->fields[i].name;
    return wn__fail(WN_INVALID, "a problem of %s has no '%.*s'; the nearest is '%s'",
                    wn__op_name(type->op), (int)(length < 40 ? length : 40), name,
                    wn__nearest(name, length, names, (size_t)type->field_count));
}

// The number of words, and the place of one among them (-1: none).
static int64_t find_word(const char *const *words, const char *text) {
    for (int64_t i = 0; words && words[i]; i++)
        if (strcmp(words[i], text) == 0) return i;
    return -1;
}

static wn_status parse_value(const wn__case_type *type, const wn__field *f, const char *text,
                             int64_t *out) {
    char *end;
    *out = find_word(f->words, text);
    if (*out >= 0 && *out <= f->most) return WN_OK;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (!f->words && end != text && !*end && !errno && number >= f->least && number <= f->most) {
        *out = number;
        return WN_OK;
    }
    char legal[128] = "";
    for (int64_t i = 0; f->words && i <= f->most; i++)
        (void)snprintf(legal + strlen(legal), sizeof legal - strlen(legal), "%s%s", i ? ", " : "",
                       f->words[i]);
    if (!f->words)
        (void)snprintf(legal, sizeof legal, "%lld to %lld", (long long)f->least,
                       (long long)f->most);
    return wn__fail(WN_INVALID, "%s: %s=%s; legal: %s", wn__op_name(type->op), f->name, text,
                    legal);
}

wn_status wn__problem_parse(const wn__case_type *type, const char *text, wn__problem *out) {
    memset(out, 0, sizeof *out);
    for (int i = 0; i < type->field_count; i++)
        out->value[i] = type->fields[i].usual;
    while (text && *text) {
        char value[32];
        size_t length = strcspn(text, ","), name = strcspn(text, "=,");
        const wn__field *f = find_field(type, text, name);
        if (!f) return refuse_name(type, text, name);
        size_t size = name < length ? length - name - 1 : 0;
        (void)snprintf(value, sizeof value, "%.*s", (int)(size < 40 ? size : 40), text + name + 1);
        if (size == 0) value[0] = '\0';
        WN_TRY(parse_value(type, f, value, out->value + (f - type->fields)));
        text += length + (text[length] == ',');
    }
    return WN_OK;
}

void wn__problem_format(const wn__case_type *type, const wn__problem *p, char *out, size_t n) {
    size_t used = 0;
    if (n > 0) out[0] = '\0';
    for (int i = 0; i < type->field_count && used < n; i++) {
        const wn__field *f = type->fields + i;
        const char *comma = used ? "," : "";
        if (p->value[i] == f->usual && f->sweep == 0) continue;
        if (f->words)
            used += (size_t)snprintf(out + used, n - used, "%s%s=%s", comma, f->name,
                                     f->words[p->value[i]]);
        else
            used += (size_t)snprintf(out + used, n - used, "%s%s=%lld", comma, f->name,
                                     (long long)p->value[i]);
    }
}
