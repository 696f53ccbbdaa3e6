// SPDX-License-Identifier: MIT
// Cases of soft24, soft24_dots, mvue24, mvue24_tokens, mvue24_blocks and apply24: ties, both zeros,
// subnormals, magnitudes far apart, infinities and NaN, outputs on inputs, rows with gaps.
// Everything agrees with ref bit for bit, any NaN with any other.
#include "kernels/block24.h"
#include "kernels/check/masks24.h"
#include "kernels/contract.h"
#include "kernels/mvue24_blocks.h"
#include "kernels/mvue24_tokens.h"
#include "kernels/soft24.h"

#include <math.h>

enum { R, C, DTYPE, DATA, PAD, COMMON };

#define COMMON_FIELDS                                                                              \
    WN__FIELD_SIZE("r", 0, 1024, 129, 600), WN__FIELD_SIZE("c", 0, 1024, 129, 600),                \
        WN__FIELD_DTYPE, WN__FIELD_DATA(WN__DATA_NAN), WN__FIELD_CHOICE("pad", 0, 9, 0)

static wn_tensor matrix(const wn__case *c) {
    const int64_t *v = c->problem.value;
    return wn__view2(wn__case_dtype(c, DTYPE), v[R], v[C], v[PAD]);
}

// NaN is refused, which says little: only DATA_NAN has any. WILD reaches to where the dtype ends.
static void fill_matrix(wn__case *c, wn__part *w) {
    wn__data kind = (wn__data)c->problem.value[DATA];
    bool reach = kind == WN__DATA_WILD && w->view.dtype != WN_DTYPE_F16;
    wn__part_fill(c, w, kind);
    for (int64_t i = 0; i < w->count; i++) {
        double x = wn__part_get(w, i);
        if (kind == WN__DATA_INFINITE && isnan(x)) wn__part_set(w, i, -INFINITY);
        if (reach && wn__case_draw(c, 0, 7) == 0)
            wn__part_set(w, i, ldexp(x, (int)wn__case_draw(c, -125, 106)));
    }
}

// ---- scales, of soft24 and apply24

static const char *const scale_words[] = {"none", "sste", "third", "minus", NULL};
static const double scales[] = {1, 1.5935727788279773, 1 / 3.0, -2};

static void declare_scale(wn__case *c, wn_tensor *slot, int64_t which) {
    if (which) wn__case_part(c, "scale", slot, WN__READ, wn__tensor1(NULL, WN_DTYPE_F64, 1));
}

static void fill_scale(wn__case *c, int64_t which) {
    if (which) wn__part_set(wn__case_find(c, "scale"), 0, scales[which]);
}

// ---- soft24

enum { SCALE = COMMON, MASK, SHARED, SOFT_FIELDS };

static const wn__field soft_fields[SOFT_FIELDS] = {
    COMMON_FIELDS,
    WN__FIELD_WORDS("scale", 3, 0, scale_words),
    WN__FIELD_FLAG("mask", 1),
    WN__FIELD_FLAG("shared", 0),
};

static void soft_declare(wn__case *c) {
    wn__soft24 *p = c->args;
    const int64_t *v = c->problem.value;
    wn__part *w = wn__case_part(c, "w", &p->w, WN__READ, matrix(c));
    wn__part *out = wn__case_part(c, "out", &p->out, WN__WRITE, matrix(c));
    if (v[SHARED]) wn__part_share(c, out, w);
    if (v[MASK])
        wn__case_part(c, "mask", &p->mask, WN__WRITE,
                      wn__tensor2(NULL, WN_DTYPE_U8, v[R], wn__ceil_div(v[C], 4)));
    declare_scale(c, &p->scale, v[SCALE]);
}

static void soft_fill(wn__case *c) {
    fill_matrix(c, wn__case_find(c, "w"));
    fill_scale(c, c->problem.value[SCALE]);
}

const wn__case_type wn__cases_soft24 = {.op = WN__OP_soft24,
                                        .args_size = sizeof(wn__soft24),
                                        .fields = soft_fields,
                                        .field_count = SOFT_FIELDS,
                                        .compare = WN__SAME_VALUES,
                                        .declare = soft_declare,
                                        .fill = soft_fill};

// ---- soft24_dots

static const wn__field dots_fields[COMMON] = {COMMON_FIELDS};

static void dots_declare(wn__case *c) {
    wn__soft24_dots *p = c->args;
    wn__case_part(c, "w", &p->w, WN__READ, matrix(c));
    wn__case_part(c, "out", &p->out, WN__WRITE, wn__tensor1(NULL, WN_DTYPE_F64, 3));
}

static void dots_fill(wn__case *c) {
    fill_matrix(c, wn__case_find(c, "w"));
}

const wn__case_type wn__cases_soft24_dots = {.op = WN__OP_soft24_dots,
                                             .args_size = sizeof(wn__soft24_dots),
                                             .fields = dots_fields,
                                             .field_count = COMMON,
                                             .compare = WN__SAME_VALUES,
                                             .declare = dots_declare,
                                             .fill = dots_fill};

// ---- mvue24

enum { AXIS = COMMON, GROUP, METHOD, COUNTER, MVUE_SHARED, MVUE_FIELDS };

static const char *const group_words[] = {"4", "2", NULL};
static const char *const method_words[] = {"exact", "approx", NULL};
static const char *const counter_words[] = {"zero", "seven", "last", NULL};
static const uint64_t counters[] = {0, 7, UINT32_MAX};

static const wn__field mvue_fields[MVUE_FIELDS] = {
    COMMON_FIELDS,
    WN__FIELD_CHOICE("axis", 0, 1, 0),
    WN__FIELD_WORDS("group", 1, 0, group_words),
    WN__FIELD_WORDS("method", 1, 0, method_words),
    WN__FIELD_WORDS("counter", 2, 1, counter_words),
    WN__FIELD_FLAG("shared", 0),
};

static void mvue_declare(wn__case *c) {
    wn__mvue24 *p = c->args;
    const int64_t *v = c->problem.value;
    wn__part *x = wn__case_part(c, "x", &p->x, WN__READ, matrix(c));
    wn__part *y = wn__case_part(c, "y", &p->y, WN__WRITE, matrix(c));
    if (v[MVUE_SHARED]) wn__part_share(c, y, x);
    p->axis = (int)v[AXIS];
    p->group = v[GROUP] ? 2 : 4;
    p->method = (wn__mvue24_method)v[METHOD];
    p->seed = c->key;
    p->stream = UINT64_C(0xFEDCBA9876543210);
    p->counter = counters[v[COUNTER]];
}

// Every second element of half the wild and tied cases is zero: groups of every number of
// non-zeros.
static void mvue_fill(wn__case *c) {
    wn__part *x = wn__case_find(c, "x");
    wn__data kind = (wn__data)c->problem.value[DATA];
    fill_matrix(c, x);
    if ((kind != WN__DATA_WILD && kind != WN__DATA_TIES) || wn__case_draw(c, 0, 1)) return;
    for (int64_t i = 0; i < x->count; i++)
        if (wn__case_draw(c, 0, 1)) wn__part_set(x, i, wn__case_draw(c, 0, 1) ? 0.0 : -0.0);
}

const wn__case_type wn__cases_mvue24 = {.op = WN__OP_mvue24,
                                        .args_size = sizeof(wn__mvue24),
                                        .fields = mvue_fields,
                                        .field_count = MVUE_FIELDS,
                                        .compare = WN__SAME_VALUES,
                                        .declare = mvue_declare,
                                        .fill = mvue_fill};

enum { TOKENS_METHOD = COMMON, TOKENS_COUNTER, TOKENS_FIELDS };

static const wn__field tokens_fields[TOKENS_FIELDS] = {
    COMMON_FIELDS,
    WN__FIELD_WORDS("method", 1, 0, method_words),
    WN__FIELD_WORDS("counter", 2, 1, counter_words),
};

static void tokens_declare(wn__case *c) {
    wn__mvue24_tokens *p = c->args;
    const int64_t *v = c->problem.value;
    const wn_tensor x = matrix(c);
    int64_t groups = wn__ceil_div(x.shape[0], 4);
    wn__case_part(c, "x", &p->x, WN__READ, x);
    wn__case_part(c, "values", &p->values, WN__WRITE,
                  wn__tensor2(NULL, x.dtype, x.shape[1], 2 * groups));
    wn__case_part(c, "index", &p->index, WN__WRITE,
                  wn__tensor2(NULL, WN_DTYPE_U8, x.shape[1], wn__ceil_div(groups, 2)));
    p->method = (wn__mvue24_method)v[TOKENS_METHOD];
    p->seed = c->key;
    p->stream = UINT64_C(0xFEDCBA9876543210);
    p->counter = counters[v[TOKENS_COUNTER]];
}

const wn__case_type wn__cases_mvue24_tokens = {.op = WN__OP_mvue24_tokens,
                                               .args_size = sizeof(wn__mvue24_tokens),
                                               .fields = tokens_fields,
                                               .field_count = TOKENS_FIELDS,
                                               .compare = WN__SAME_VALUES,
                                               .declare = tokens_declare,
                                               .fill = mvue_fill};

static void blocks_declare(wn__case *c) {
    wn__mvue24_blocks *p = c->args;
    const int64_t *v = c->problem.value;
    const wn_tensor x = matrix(c);
    wn__case_part(c, "x", &p->x, WN__READ, x);
    wn__case_part(c, "blocks", &p->blocks, WN__WRITE, wn__block24_tensor(x.shape[1], x.shape[0]));
    p->method = (wn__mvue24_method)v[TOKENS_METHOD];
    p->seed = c->key;
    p->stream = UINT64_C(0xFEDCBA9876543210);
    p->counter = counters[v[TOKENS_COUNTER]];
}

// Blocks hold the two types of 16 bits.
static void blocks_settle(wn__problem *p) {
    p->value[DTYPE] = p->value[DTYPE] % 2 == 0 ? WN_DTYPE_BF16 - 1 : WN_DTYPE_F16 - 1;
}

const wn__case_type wn__cases_mvue24_blocks = {.op = WN__OP_mvue24_blocks,
                                               .args_size = sizeof(wn__mvue24_blocks),
                                               .fields = tokens_fields,
                                               .field_count = TOKENS_FIELDS,
                                               .compare = WN__SAME_BITS,
                                               .align = 16,
                                               .settle = blocks_settle,
                                               .declare = blocks_declare,
                                               .fill = mvue_fill};

// ---- apply24

enum { APPLY_SCALE = COMMON, APPLY_SHARED, APPLY_FIELDS };

static const wn__field apply_fields[APPLY_FIELDS] = {
    COMMON_FIELDS,
    WN__FIELD_WORDS("scale", 3, 0, scale_words),
    WN__FIELD_FLAG("shared", 0),
};

static void apply_declare(wn__case *c) {
    wn__apply24 *p = c->args;
    const int64_t *v = c->problem.value;
    wn__part *x = wn__case_part(c, "x", &p->x, WN__READ, matrix(c));
    wn__part *y = wn__case_part(c, "y", &p->y, WN__WRITE, matrix(c));
    if (v[APPLY_SHARED]) wn__part_share(c, y, x);
    wn__case_part(c, "mask", &p->mask, WN__READ,
                  wn__tensor2(NULL, WN_DTYPE_U8, v[R], wn__ceil_div(v[C], 4)));
    declare_scale(c, &p->scale, v[APPLY_SCALE]);
}

static void apply_fill(wn__case *c) {
    fill_matrix(c, wn__case_find(c, "x"));
    fill_scale(c, c->problem.value[APPLY_SCALE]);
    wn__masks_fill(c, wn__case_find(c, "mask"), c->problem.value[C], WN__MASKS_SHORT);
}

const wn__case_type wn__cases_apply24 = {.op = WN__OP_apply24,
                                         .args_size = sizeof(wn__apply24),
                                         .fields = apply_fields,
                                         .field_count = APPLY_FIELDS,
                                         .compare = WN__SAME_VALUES,
                                         .declare = apply_declare,
                                         .fill = apply_fill};
