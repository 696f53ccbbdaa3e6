// SPDX-License-Identifier: MIT
// Chains of Kronecker-sparse factors: fused kernels beside permuted and batched products, and
// beside the dense product of the matrix they stand for.
#include "base/fail.h"
#include "bench/gpu.h"
#include "bench/kron_work.h"
#include "bench/suite.h"
#include "kernels/check/harness.h"
#include "kernels/kron_pack.h"

#include <stdio.h>
#include <string.h>

// What permuted and batched products are called on a processor and on a GPU.
#define BMM     "kron_mul:cblas,kron_grad:cblas"
#define GPU_BMM "kron_mul:cublaslt,kron_grad:cublaslt"

static const wn__product product_of[WN__KRON_PASSES] = {WN__FORWARD, WN__INPUT, WN__WEIGHT};

// A layer that does not train has its factors in blocks, and packed already; lanes 0: nobody reads
// such a form.
static wn_status packed_lanes(const wn__cell *c, const char *problem, int64_t *lanes) {
    const wn__case_type *type = wn__case_type_of(WN__OP_kron_mul);
    const wn__exec x = {.force = c->suite->force};
    wn__problem values;
    wn__case *made;
    WN_TRY(wn__problem_parse(type, problem, &values));
    WN_TRY(wn__case_create(type, &values, 1, false, &made));
    *lanes = wn__kron_packed_lanes(&x, made->args);
    wn__case_free(made);
    return WN_OK;
}

static wn_status add_packed(wn__cell *c, const wn__kron_work *w) {
    char ops[64], problem[2 * WN__PROBLEM_TEXT];
    wn__entry *e;
    int64_t lanes;
    if (strcmp(c->suite->dtype, "f32") != 0) return WN_OK; // layers pack float32 alone
    if (w->count < 2 || !wn__kron_problem(w, WN__KRON_FORWARD, c->rows, c->suite->dtype, false, ops,
                                          sizeof ops, problem, sizeof problem))
        return WN_OK;
    WN_TRY(packed_lanes(c, problem, &lanes));
    if (lanes == 0) return WN_OK;
    size_t used = strlen(problem);
    (void)snprintf(problem + used, sizeof problem - used, ",layout=groups-cb,packed=%d",
                   (int)lanes);
    WN_TRY(wn__ops_add(c, WN_BENCH_STRUCTURE, ops, problem, NULL, &e));
    if (!e) return WN_OK;
    used = strlen(e->name);
    (void)snprintf(e->name + used, sizeof e->name - used, ", as loaded");
    e->bytes = 4 * ((double)c->rows * (double)(w->in + w->out) + w->params);
    return WN_OK;
}

static wn_status add_fused(wn__cell *c, const wn__kron_work *w, wn__kron_pass pass, bool last) {
    char ops[64], problem[2 * WN__PROBLEM_TEXT];
    wn__entry *e;
    if (c->suite->gpu != NULL && pass == WN__KRON_WEIGHT &&
        wn__kron_pair_problem(w, c->rows, c->suite->dtype, problem, sizeof problem))
        (void)snprintf(ops, sizeof ops, "kron_pair_grad"); // on a processor: step by step
    else if (!wn__kron_problem(w, pass, c->rows, c->suite->dtype, last, ops, sizeof ops, problem,
                               sizeof problem))
        return WN_OK;
    WN_TRY(c->suite->gpu != NULL ? wn__gpu_ops_add(c, WN_BENCH_STRUCTURE, ops, problem, NULL, &e)
                                 : wn__ops_add(c, WN_BENCH_STRUCTURE, ops, problem, NULL, &e));
    if (!e) return WN_OK;
    size_t used = strlen(e->name);
    if (last) (void)snprintf(e->name + used, sizeof e->name - used, ", batch last");
    // the least that all steps together read and write
    double size = strcmp(c->suite->dtype, "f32") == 0 ? 4 : 2;
    e->bytes = size * ((double)c->rows * (double)(w->in + w->out) +
                       w->params * (pass == WN__KRON_WEIGHT && w->count > 1 ? 2 : 1));
    return WN_OK;
}

static wn_status add_bmm(wn__cell *c, const wn__kron_work *w, wn__kron_pass pass) {
    char ops[64], problem[2 * WN__PROBLEM_TEXT];
    wn__entry *e;
    if (!wn__kron_problem(w, pass, c->rows, c->suite->dtype, false, ops, sizeof ops, problem,
                          sizeof problem))
        return WN_OK;
    const bool gpu = c->suite->gpu != NULL;
    WN_TRY(gpu ? wn__gpu_ops_add(c, WN_BENCH_STRUCTURE, ops, problem, GPU_BMM, &e)
               : wn__ops_add(c, WN_BENCH_STRUCTURE, ops, problem, BMM, &e));
    if (!e) return WN_OK;
    e->bmm = true;
    const size_t used = strlen(e->name);
    if (gpu) (void)snprintf(e->name + used, sizeof e->name - used, ", bmm");
    return WN_OK;
}

// Integers are drawn in less time than normal numbers, and multiplied in the same.
static wn_status add_dense(wn__cell *c, wn__kron_pass pass) {
    static const char *const problem[WN__KRON_PASSES] = {
        "m={T},n={out},k={in},bt=1,dtype={dtype},data=integers",
        "m={T},n={in},k={out},dtype={dtype},data=integers",
        "m={out},n={in},k={T},at=1,dtype={dtype},data=integers"};
    wn__entry *e;
    WN_TRY(wn__ops_add(c, WN_BENCH_DENSE, "matmul", problem[pass], NULL, &e));
    return wn__product_add(c, &product_of[pass], 1, false);
}

// Both gradients of two factors in one pass, beside step by step.
static wn_status add_pass(wn__cell *c, const wn__kron_work *w) {
    char problem[2 * WN__PROBLEM_TEXT];
    wn__entry *e;
    if (!wn__kron_pair_problem(w, c->rows, c->suite->dtype, problem, sizeof problem)) return WN_OK;
    WN_TRY(wn__ops_add(c, WN_BENCH_STRUCTURE, "kron_pair_grad", problem, NULL, &e));
    const double size = strcmp(c->suite->dtype, "f32") == 0 ? 4 : 2;
    if (e) e->bytes = size * ((double)c->rows * (double)(w->in + w->out) + 2 * w->params);
    return WN_OK;
}

// On the processor: batch last too, batched products, dense ones.
static wn_status add_others(wn__cell *c, const wn__kron_work *w, wn__kron_pass pass) {
    if (pass == WN__KRON_FORWARD) WN_TRY(add_packed(c, w));
    if (pass == WN__KRON_FORWARD) WN_TRY(add_fused(c, w, pass, true));
    if (pass == WN__KRON_WEIGHT) WN_TRY(add_pass(c, w));
    WN_TRY(add_bmm(c, w, pass));
    return c->suite->o->no_dense ? WN_OK : add_dense(c, pass);
}

static wn_status measure(wn__suite *s, const wn__kron_work *w, wn__kron_pass pass, int64_t rows,
                         const char *name) {
    wn__cell c = {.suite = s, .work = name, .shape = {w->out, w->in}, .rows = rows};
    wn_status status = add_fused(&c, w, pass, false);
    if (status == WN_OK && c.count > 0)
        status = s->gpu == NULL ? add_others(&c, w, pass) : add_bmm(&c, w, pass);
    if (status == WN_OK && c.count > 0 && s->gpu != NULL && !s->o->no_dense)
        status = wn__gpu_dense_add(&c, product_of[pass], false);
    if (status == WN_OK) return wn__cell_measure(&c);
    wn__cell_free(&c);
    return status;
}

// --shapes chooses among the works, where it is given.
static bool wanted(const wn__suite *s, const wn__kron_work *w) {
    for (int i = 0; i < s->shapes; i++)
        if (s->shape[i].out == w->out && s->shape[i].in == w->in) return true;
    return s->shapes == 0;
}

// "forward factor (8,48,192,4)"
static const char *name_of(const wn__kron_work *w, wn__kron_pass pass, char *out, size_t n) {
    (void)snprintf(out, n, "%s %s", wn__kron_pass_name(pass), w->name);
    return out;
}

// What the kernels that are dispatched are beside, in the last lines.
typedef enum beside { BESIDE_BMM, BESIDE_DENSE, BESIDE_MERGED, BESIDE_MERGED_LAST } beside;

// Seconds that another process's batched products of the same work and layout took, 0 without any.
static wn_status merged_seconds(const wn__suite *s, const wn_bench_row *ours, bool last,
                                double *out) {
    *out = 0;
    for (size_t i = 0; i < wn__json_count(s->list); i++) {
        wn_bench_row r;
        WN_TRY(wn__row_read(wn__json_at(s->list, i), "", &r));
        if (r.role == WN_BENCH_PEER && strstr(r.name, ", bmm") && r.rows == ours->rows &&
            strcmp(r.work, ours->work) == 0 && (strstr(r.name, "batch last") != NULL) == last)
            *out = r.seconds.median;
    }
    return WN_OK;
}

// As many times as fast as that is one of ours, 0 where the row is another's or not comparable.
static wn_status ratio_of(const wn__suite *s, const wn_bench_row *r, beside what, double *out) {
    const bool last = what == BESIDE_MERGED_LAST;
    *out = 0;
    if (r->role != WN_BENCH_STRUCTURE || strstr(r->name, "cblas") || strstr(r->name, ", bmm") ||
        strstr(r->name, "as loaded") || (strstr(r->name, "batch last") != NULL) != last)
        return WN_OK;
    *out = what == BESIDE_DENSE ? r->dense.median : r->bmm.median;
    if (what == BESIDE_BMM || what == BESIDE_DENSE) return WN_OK;
    WN_TRY(merged_seconds(s, r, last, out));
    *out /= r->seconds.median;
    return WN_OK;
}

// Over the sample.
static wn_status conclude(wn__suite *s, wn__kron_pass pass, beside what) {
    static const char *const name[] = {
        "permuted and batched products", "the dense product",
        "permuted and batched products of another process",
        "permuted and batched products of another process, both batch last"};
    char begin[64];
    double ratio[WN__KRON_SAMPLE * WN__SIZES];
    int count = 0;
    wn__spread all;
    (void)snprintf(begin, sizeof begin, "%s factor", wn__kron_pass_name(pass));
    for (size_t i = 0; i < wn__json_count(s->list); i++) {
        wn_bench_row r;
        double over;
        WN_TRY(wn__row_read(wn__json_at(s->list, i), "", &r));
        WN_TRY(ratio_of(s, &r, what, &over));
        if (over > 0 && strncmp(r.work, begin, strlen(begin)) == 0) ratio[count++] = over;
    }
    if (count == 0) return WN_OK;
    WN_TRY(wn__spread_of(ratio, count, &all));
    return wn__suite_note(
        s,
        "%s, %d factors of the %d published patterns within 1024 and 16384: the median is %.2f "
        "times as fast as %s (%.2f to %.2f)",
        wn__kron_pass_name(pass), count, wn__kron_population(), all.median, name[what], all.least,
        all.most);
}

wn_status wn__suite_ks(wn__suite *s) {
    wn__kron_work w;
    char name[64];
    bool any = false;
    for (int i = 0; wn__kron_work_at(i, WN__KRON_SAMPLE, &w); i++)
        for (int p = 0; p < WN__KRON_PASSES && wanted(s, &w); p++) {
            if (!wn__suite_wants(s, name_of(&w, (wn__kron_pass)p, name, sizeof name))) continue;
            any = true;
            for (int r = 0; r < s->row_counts; r++)
                WN_TRY(measure(s, &w, (wn__kron_pass)p, s->rows[r], name));
        }
    if (!any)
        return wn__fail(
            WN_INVALID, "ks: nothing of these shapes begins with '%.60s'; the first are '%s'",
            s->o->work ? s->o->work : "",
            wn__kron_work_at(0, 1, &w) ? name_of(&w, WN__KRON_FORWARD, name, sizeof name) : "");
    for (int p = 0; p < WN__KRON_PASSES; p++)
        for (int what = BESIDE_BMM; what <= BESIDE_MERGED_LAST; what++)
            if (s->gpu != NULL || what != BESIDE_DENSE)
                WN_TRY(conclude(s, (wn__kron_pass)p, (beside)what));
    return WN_OK;
}
