// SPDX-License-Identifier: MIT
// One kernel on one case, then every kernel on every case.
#include "kernels/check/harness.h"
#include "base/fail.h"
#include "kernels/registry.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

// One run of a kernel; its outputs if it succeeded and left everything else alone.
typedef struct outcome {
    wn_status status;
    wn__outputs outputs;
} outcome;

// The status of the kernel goes into out; what comes back is trouble of the harness itself. why[n]
// says what was written outside.
static wn_status run_once(const wn__case *c, const wn__kernel *k, wn__pool *pool, wn__gpu *gpu,
                          int shift, outcome *out, char *why, size_t n) {
    wn__stage s;
    *out = (outcome){0};
    WN_TRY(wn__stage_create(c, shift, &s));
    s.gpu = wn__kernel_on_gpu(k) ? gpu : NULL;
    wn_status status = WN_OK;
    out->status = wn__stage_run(&s, k, pool);
    if (out->status == WN_OK) status = wn__outputs_take(&s, &out->outputs);
    (void)wn__stage_intact(&s, why, n);
    wn__stage_free(&s);
    return status;
}

// A kernel refuses data exactly when ref does, in the same words.
static bool agrees_on_status(const wn__case *c, wn_status status, char *why, size_t n) {
    if (status == c->status && (status == WN_OK || strcmp(wn_last_error(), c->message) == 0))
        return true;
    (void)snprintf(why, n, "gave %s%s%s, ref gave %s%s%s", wn_status_name(status),
                   status ? ": " : "", status ? wn_last_error() : "", wn_status_name(c->status),
                   c->status ? ": " : "", c->message);
    return false;
}

// Whether another run agrees with the first. A library may sum in another order at another
// alignment, and must still be right.
static void check_again(wn__case *c, const wn__kernel *k, bool shifted, const wn__outputs *again,
                        const wn__outputs *first, char *why, size_t n) {
    double worst;
    if (shifted && (k->needs & WN_GPU_LIBRARY) != 0)
        (void)wn__outputs_right(c, again, false, &worst, why, n);
    else
        (void)wn__outputs_same(c, again, first, why, n);
}

// The same bits again: elsewhere in memory, and with other numbers of threads.
static wn_status check_repeats(wn__case *c, const wn__kernel *k, const wn__check_pools *pools,
                               const wn__outputs *first, char *why, size_t n) {
    const struct {
        wn__pool *pool;
        int shift;
        const char *what;
    } runs[] = {{NULL, 1, "repeated at other addresses"},
                {pools->two, 0, "with 2 threads"},
                {pools->many, 2, "with more threads"}};
    for (int i = 0; i < 3 && !*why; i++) {
        outcome again;
        char text[256] = "";
        if (i > 0 && !runs[i].pool) continue;
        WN_TRY(run_once(c, k, runs[i].pool, pools->gpu, runs[i].shift, &again, text, sizeof text));
        if (!*text && again.status != WN_OK)
            (void)snprintf(text, sizeof text, "failed: %.200s", wn_last_error());
        if (!*text) check_again(c, k, runs[i].shift != 0, &again.outputs, first, text, sizeof text);
        if (*text) (void)snprintf(why, n, "%s: %s", runs[i].what, text);
        wn__outputs_free(&again.outputs);
    }
    return WN_OK;
}

wn_status wn__check_kernel(wn__case *c, const wn__kernel *k, const wn__check_pools *pools,
                           bool *fits, double *worst, char *why, size_t n) {
    wn__exec x = {0};
    outcome first;
    if (wn__kernel_on_gpu(k)) {
        x.gpu = pools->gpu;
        x.device.kind = WN_DEVICE_CUDA;
    }
    *fits = wn__kernel_fits(&x, k, c->args, why, n);
    *worst = 0;
    why[0] = '\0';
    if (!*fits) return WN_OK;
    WN_TRY(wn__case_reference(c));
    WN_TRY(run_once(c, k, NULL, pools->gpu, 0, &first, why, n));
    wn_status status = WN_OK;
    if (!*why && agrees_on_status(c, first.status, why, n) && first.status == WN_OK &&
        wn__outputs_right(c, &first.outputs, strcmp(k->variant, "ref") == 0, worst, why, n))
        status = check_repeats(c, k, pools, &first.outputs, why, n);
    wn__outputs_free(&first.outputs);
    return status;
}

typedef struct session {
    const wn_check_options *options;
    wn__check_pools pools;
    wn_check_fn *fn;
    void *ctx;
    int64_t cases, failed;
} session;

static bool matches(const char *glob, const char *name) {
    return !glob || fnmatch(glob, name, 0) == 0;
}

static bool selected(const session *s, const wn__kernel *k) {
    return matches(s->options->op, wn__op_name(k->op)) &&
           matches(s->options->variant, k->variant) && wn__kernel_available(k);
}

static void report(session *s, const wn__kernel *k, const char *problem, const char *message,
                   double worst) {
    bool passed = message[0] == '\0';
    s->cases++;
    s->failed += !passed;
    if (s->fn) s->fn(s->ctx, &(wn_check_result){k->name, problem, passed, message, worst});
}

// A failure ends with the command that repeats it.
static wn_status check_one(session *s, wn__case *c, const wn__kernel *k, int64_t *accepted) {
    char why[640], message[1280] = "";
    double worst;
    bool fits;
    WN_TRY(wn__check_kernel(c, k, &s->pools, &fits, &worst, why, sizeof why));
    if (!fits) return WN_OK;
    ++*accepted;
    if (*why)
        (void)snprintf(message, sizeof message,
                       "%s; repeat: winnow kernels --check --op %s --variant %s --seed %llu "
                       "--problem \"%s\"",
                       why, wn__op_name(k->op), k->variant, (unsigned long long)c->seed, c->text);
    report(s, k, c->text, message, worst);
    return WN_OK;
}

// One case on the op's selected rows; accepted counts for each row of the table.
static wn_status check_case(session *s, const wn__case_type *type, const wn__problem *p,
                            int64_t *accepted) {
    size_t rows;
    const wn__kernel *table = wn__kernel_table(&rows);
    wn__case *c;
    WN_TRY(wn__case_create(type, p, s->options->seed, true, &c));
    wn_status status = wn__op_check(type->op)(c->args);
    for (size_t i = 0; i < rows && status == WN_OK; i++)
        if (table[i].op == type->op && selected(s, table + i))
            status = check_one(s, c, table + i, accepted + i);
    wn__case_free(c);
    return status;
}

// A row that runs here and took none of its cases was not checked at all.
static void report_idle(session *s, wn__op op, const int64_t *accepted) {
    size_t rows;
    const wn__kernel *table = wn__kernel_table(&rows);
    for (size_t i = 0; i < rows; i++)
        if (table[i].op == op && selected(s, table + i) && accepted[i] == 0)
            report(s, table + i, "", "accepted none of the generated cases", 0);
}

static wn_status check_op(session *s, wn__op op, int64_t *accepted) {
    enum { QUICK = 120, FULL = 600 };
    const wn__case_type *type = wn__case_type_of(op);
    wn__problem p;
    if (s->options->problem) {
        WN_TRY(wn__problem_parse(type, s->options->problem, &p));
        return check_case(s, type, &p, accepted);
    }
    for (int64_t i = 0; i < (s->options->quick ? QUICK : FULL); i++) {
        wn__problem_draw(type, s->options->seed, i, &p);
        WN_TRY(check_case(s, type, &p, accepted));
    }
    report_idle(s, op, accepted);
    return WN_OK;
}

static bool op_selected(const session *s, wn__op op) {
    size_t rows;
    const wn__kernel *table = wn__kernel_table(&rows);
    for (size_t i = 0; i < rows; i++)
        if (table[i].op == op && selected(s, table + i)) return true;
    return false;
}

static bool any_on_gpu(const session *s) {
    size_t rows;
    const wn__kernel *table = wn__kernel_table(&rows);
    for (size_t i = 0; i < rows; i++)
        if (wn__kernel_on_gpu(table + i) && selected(s, table + i)) return true;
    return false;
}

static wn_status check_ops(session *s) {
    enum { MOST_ROWS = 512 };
    int64_t accepted[MOST_ROWS] = {0};
    size_t rows;
    (void)wn__kernel_table(&rows);
    if (rows > MOST_ROWS) return wn__fail(WN_BUG, "%zu kernels, room for %d", rows, MOST_ROWS);
    for (int op = 0; op < WN__OP_COUNT; op++)
        if (op_selected(s, (wn__op)op)) WN_TRY(check_op(s, (wn__op)op, accepted));
    return WN_OK;
}

wn_status wn__fail_selection(const char *op, const char *variant, const char *what) {
    char why[400];
    size_t rows;
    const wn__kernel *table = wn__kernel_table(&rows), *named = NULL;
    for (size_t i = 0; i < rows; i++) {
        if (!matches(op, wn__op_name(table[i].op)) || !matches(variant, table[i].variant)) continue;
        if (wn__kernel_available(table + i)) return wn__fail(WN_INVALID, "%s", what);
        if (named == NULL) named = table + i;
    }
    if (named != NULL && wn__kernel_lacking(named, why, sizeof why))
        return wn__fail(WN_UNSUPPORTED, "%s: %s: %s", what, named->name, why);
    return wn__fail(WN_INVALID, "%s", what);
}

// A glob that selects nothing is a mistake of the caller, or of what this machine lacks.
static wn_status check_selection(const session *s) {
    wn__op op;
    for (int i = 0; i < WN__OP_COUNT; i++)
        if (op_selected(s, (wn__op)i)) return WN_OK;
    const char *name = s->options->op;
    if (name && !strpbrk(name, "*?[")) WN_TRY(wn__op_find(name, strlen(name), &op));
    char what[200];
    (void)snprintf(what, sizeof what,
                   "no kernel that runs here matches op '%.60s' and variant '%.60s'",
                   name ? name : "*", s->options->variant ? s->options->variant : "*");
    return wn__fail_selection(name, s->options->variant, what);
}

wn_status wn_kernels_check(const wn_check_options *options, wn_check_fn *fn, void *ctx,
                           int64_t *cases, int64_t *failed) {
    session s = {.options = options, .fn = fn, .ctx = ctx};
    wn_status status;
    WN_TRY_OUT(check_selection(&s));
    if (any_on_gpu(&s)) WN_TRY_OUT(wn__gpu_create(0, &s.pools.gpu));
    WN_TRY_OUT(wn__pool_create(2, &s.pools.two));
    WN_TRY_OUT(wn__pool_create(options->threads > 0 ? options->threads : 3, &s.pools.many));
    status = check_ops(&s);
out:
    wn__gpu_free(s.pools.gpu);
    wn__pool_free(s.pools.two);
    wn__pool_free(s.pools.many);
    if (cases) *cases = s.cases;
    if (failed) *failed = s.failed;
    return status;
}
