// SPDX-License-Identifier: MIT
// Cases of sum, sumsq, colsum and nonfinite, some longer than a chunk. sum and sumsq add in double:
// n terms, of which sumsq rounds each; colsum adds N terms and the old value in the arithmetic of
// the dtype.
#include "kernels/check/harness.h"
#include "kernels/reduce.h"

#include <math.h>

enum { COUNT, DTYPE, DATA, FIELDS };

static const wn__field fields[FIELDS] = {
    WN__FIELD_SIZE("n", 0, 1 << 20, 129, 4 * WN_REDUCE_CHUNK),
    WN__FIELD_DTYPE,
    WN__FIELD_DATA(WN__DATA_INFINITE),
};

static void declare_to(wn__case *c, wn_dtype out) {
    wn__reduce *p = c->args;
    wn__case_part(c, "x", &p->x, WN__READ,
                  wn__tensor1(NULL, wn__case_dtype(c, DTYPE), c->problem.value[COUNT]));
    wn__case_part(c, "out", &p->out, WN__WRITE, wn__tensor1(NULL, out, 1));
}

static void declare(wn__case *c) {
    declare_to(c, WN_DTYPE_F64);
}

static void fill(wn__case *c) {
    wn__case_fill(c, (wn__data)c->problem.value[DATA]);
}

// The result is a double whatever x is.
static const wn__round in_double = {0x1p-53, 0x1p-53, 0x1p-1074};

static void sum_bound(wn__case *c, const wn__round *r) {
    (void)r;
    wn__bound_sum(wn__case_find(c, "out"), &in_double, (double)c->problem.value[COUNT],
                  c->problem.value[DATA] == WN__DATA_INTEGERS);
}

static void sumsq_bound(wn__case *c, const wn__round *r) {
    (void)r;
    wn__part *out = wn__case_find(c, "out");
    out->sum[0] = out->want[0];
    wn__bound_sum(out, &in_double, (double)c->problem.value[COUNT] + 1,
                  c->problem.value[DATA] == WN__DATA_INTEGERS);
}

static double flops(const wn__problem *p) {
    return (double)p->value[COUNT];
}

static double sumsq_flops(const wn__problem *p) {
    return 2 * (double)p->value[COUNT];
}

const wn__case_type wn__cases_sum = {.op = WN__OP_sum,
                                     .args_size = sizeof(wn__reduce),
                                     .fields = fields,
                                     .field_count = FIELDS,
                                     .multilinear = true,
                                     .declare = declare,
                                     .fill = fill,
                                     .bound = sum_bound,
                                     .flops = flops};

const wn__case_type wn__cases_sumsq = {.op = WN__OP_sumsq,
                                       .args_size = sizeof(wn__reduce),
                                       .fields = fields,
                                       .field_count = FIELDS,
                                       .declare = declare,
                                       .fill = fill,
                                       .bound = sumsq_bound,
                                       .flops = sumsq_flops};

static void nonfinite_declare(wn__case *c) {
    declare_to(c, WN_DTYPE_I64);
}

// Few enough that the first is far inside, in most cases alone.
static void nonfinite_fill(wn__case *c) {
    wn__part *x = wn__case_find(c, "x");
    wn__part_fill(c, x, WN__DATA_WILD);
    for (int64_t i = c->problem.value[DATA]; i > 0 && x->count > 0; i--)
        wn__part_set(x, wn__case_draw(c, 0, x->count - 1), i % 2 ? NAN : -INFINITY);
}

const wn__case_type wn__cases_nonfinite = {.op = WN__OP_nonfinite,
                                           .args_size = sizeof(wn__reduce),
                                           .fields = fields,
                                           .field_count = FIELDS,
                                           .compare = WN__SAME_BITS,
                                           .declare = nonfinite_declare,
                                           .fill = nonfinite_fill};

enum { N, C, COLUMN_DTYPE, COLUMN_DATA, COLUMN_FIELDS };

static const wn__field column_fields[COLUMN_FIELDS] = {
    WN__FIELD_SIZE("N", 0, 2048, 129, 5000),
    WN__FIELD_SIZE("C", 0, 1024, 129, 3000),
    WN__FIELD_DTYPE,
    WN__FIELD_DATA(WN__DATA_INFINITE),
};

static void column_declare(wn__case *c) {
    wn__colsum *p = c->args;
    const int64_t *v = c->problem.value;
    wn_dtype dtype = wn__case_dtype(c, COLUMN_DTYPE);
    wn__case_part(c, "x", &p->x, WN__READ, wn__tensor2(NULL, dtype, v[N], v[C]));
    wn__case_part(c, "out", &p->out, WN__UPDATE, wn__tensor1(NULL, dtype, v[C]));
}

static void column_fill(wn__case *c) {
    wn__case_fill(c, (wn__data)c->problem.value[COLUMN_DATA]);
}

static void column_bound(wn__case *c, const wn__round *r) {
    const int64_t *v = c->problem.value;
    wn__bound_sum(wn__case_find(c, "out"), r, (double)(v[N] + 1),
                  v[COLUMN_DATA] == WN__DATA_INTEGERS);
}

static double column_flops(const wn__problem *p) {
    return (double)p->value[N] * (double)p->value[C];
}

const wn__case_type wn__cases_colsum = {.op = WN__OP_colsum,
                                        .args_size = sizeof(wn__colsum),
                                        .fields = column_fields,
                                        .field_count = COLUMN_FIELDS,
                                        .multilinear = true,
                                        .declare = column_declare,
                                        .fill = column_fill,
                                        .bound = column_bound,
                                        .flops = column_flops};
