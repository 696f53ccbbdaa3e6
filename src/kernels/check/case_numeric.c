// SPDX-License-Identifier: MIT
// Cases of round16, round8 and rescale: the bits of ref, but any NaN equals any NaN.
#include "kernels/check/harness.h"
#include "kernels/numeric.h"

#include <math.h>

enum { ROWS, COLUMNS, DTYPE, DATA, PAD, SHARED, EXTRA, FIELDS };

#define COMMON                                                                                     \
    WN__FIELD_SIZE("a", 0, 1024, 33, 300), WN__FIELD_SIZE("b", 0, 1024, 65, 2000),                 \
        WN__FIELD_DTYPE, WN__FIELD_DATA(WN__DATA_NAN), WN__FIELD_CHOICE("pad", 0, 9, 0),           \
        WN__FIELD_FLAG("shared", 0)

static wn_tensor matrix(const wn__case *c, int64_t pad) {
    const int64_t *v = c->problem.value;
    return wn__view2(wn__case_dtype(c, DTYPE), v[ROWS], v[COLUMNS], pad);
}

// x, and y which may lie on it.
static void declare_pair(wn__case *c, wn_tensor *x, wn_tensor *y, wn__role role) {
    const int64_t *v = c->problem.value;
    wn__part *from = wn__case_part(c, "x", x, WN__READ, matrix(c, v[PAD]));
    wn__part *to = wn__case_part(c, "y", y, role, matrix(c, v[SHARED] ? v[PAD] : v[PAD] / 2));
    if (v[SHARED]) wn__part_share(c, to, from);
}

static const wn__field round16_fields[EXTRA] = {COMMON};

static void round16_declare(wn__case *c) {
    wn__round16 *p = c->args;
    declare_pair(c, &p->x, &p->y, WN__WRITE);
}

// Now and then values whose lower half is exactly a half, which only the rule for ties decides.
static void round16_fill(wn__case *c) {
    wn__part *x = c->part;
    wn__case_fill(c, (wn__data)c->problem.value[DATA]);
    for (int64_t i = 0; i < x->count; i += 7) {
        double whole = (double)wn__case_draw(c, 0x80, 0xFF);
        wn__part_set(x, i, ldexp(whole + 0.5, (int)wn__case_draw(c, -10, 4)));
    }
}

const wn__case_type wn__cases_round16 = {.op = WN__OP_round16,
                                         .args_size = sizeof(wn__round16),
                                         .fields = round16_fields,
                                         .field_count = EXTRA,
                                         .compare = WN__SAME_VALUES,
                                         .declare = round16_declare,
                                         .fill = round16_fill};

static const char *const format_words[] = {"e4m3", "e5m2", NULL};
static const wn__field round8_fields[FIELDS] = {COMMON,
                                                WN__FIELD_WORDS("format", 1, 0, format_words)};

static void round8_declare(wn__case *c) {
    wn__round8 *p = c->args;
    p->format = (wn__fp8)c->problem.value[EXTRA];
    declare_pair(c, &p->x, &p->y, WN__WRITE);
    wn__case_part(c, "scale", &p->scale, WN__WRITE, wn__tensor1(NULL, WN_DTYPE_F64, 1));
}

// Numbers of the format and the middles between them, the largest among them, so that the scale is
// 1 and every rounding a tie or none; else the data asked for.
static void round8_fill(wn__case *c) {
    wn__part *x = c->part;
    wn__case_fill(c, (wn__data)c->problem.value[DATA]);
    if (c->problem.value[DATA] != WN__DATA_TIES || x->count == 0) return;
    wn__fp8_format f = wn__fp8_of((wn__fp8)c->problem.value[EXTRA]);
    int64_t ones = INT64_C(1) << f.mantissa;
    for (int64_t i = 0; i < x->count; i++) {
        double half = (double)wn__case_draw(c, 0, 1) / 2;
        double whole = (double)wn__case_draw(c, -2 * ones, 2 * ones) + half;
        wn__part_set(x, i, ldexp(whole, (int)wn__case_draw(c, 0, 8) + f.least_exponent));
    }
    wn__part_set(x, 0, f.largest);
}

const wn__case_type wn__cases_round8 = {.op = WN__OP_round8,
                                        .args_size = sizeof(wn__round8),
                                        .fields = round8_fields,
                                        .field_count = FIELDS,
                                        .compare = WN__SAME_VALUES,
                                        .declare = round8_declare,
                                        .fill = round8_fill};

static const wn__field rescale_fields[FIELDS] = {COMMON, WN__FIELD_FLAG("accumulate", 0)};

static void rescale_declare(wn__case *c) {
    wn__rescale *p = c->args;
    p->accumulate = c->problem.value[EXTRA];
    declare_pair(c, &p->x, &p->y, p->accumulate ? WN__UPDATE : WN__WRITE);
    wn__case_part(c, "a", &p->a, WN__READ, wn__tensor1(NULL, WN_DTYPE_F64, 1));
    wn__case_part(c, "b", &p->b, WN__READ, wn__tensor1(NULL, WN_DTYPE_F64, 1));
}

static void rescale_fill(wn__case *c) {
    wn__case_fill(c, (wn__data)c->problem.value[DATA]);
    for (int i = 2; i < 4; i++)
        wn__part_set(c->part + i, 0,
                     ldexp(1 + fabs(wn__case_draw_normal(c)), (int)wn__case_draw(c, -100, 100)));
}

const wn__case_type wn__cases_rescale = {.op = WN__OP_rescale,
                                         .args_size = sizeof(wn__rescale),
                                         .fields = rescale_fields,
                                         .field_count = FIELDS,
                                         .compare = WN__SAME_VALUES,
                                         .declare = rescale_declare,
                                         .fill = rescale_fill};
