// SPDX-License-Identifier: MIT
// The works of works.def: which kernels, on which case.
#include "base/fail.h"
#include "bench/suite.h"
#include "kernels/check/timed.h"
#include "kernels/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const wn__work lines[] = {
#define WN_WORK(suite_, work_, product_, role_, dtypes_, ops_, problem_)                           \
    {.suite = suite_,                                                                              \
     .work = work_,                                                                                \
     .product = product_,                                                                          \
     .role = role_,                                                                                \
     .dtypes = dtypes_,                                                                            \
     .ops = ops_,                                                                                  \
     .problem = problem_},
#include "bench/works.def"
#undef WN_WORK
};

const wn__works wn__works_cpu = {lines, sizeof lines / sizeof *lines};

enum { LINES = sizeof lines / sizeof *lines, STEPS = 4, OP_NAME = 64 };

// The kernels of one run, in order.
typedef struct chain {
    wn__case *c[STEPS];
    wn__timed timed[STEPS];
    int count;
} chain;

static void release(void *ctx) {
    chain *ch = ctx;
    for (int i = 0; i < STEPS; i++) {
        wn__timed_close(ch->timed + i);
        wn__case_free(ch->c[i]);
    }
    free(ch);
}

static wn_status run(void *ctx) {
    chain *ch = ctx;
    for (int i = 0; i < ch->count; i++)
        WN_TRY(wn__timed_run(ch->timed + i));
    return WN_OK;
}

// The part of text before `mark`; *text moves behind it.
static void take(const char **text, char mark, char *out, size_t n) {
    size_t length = strcspn(*text, (char[]){mark, '\0'});
    (void)snprintf(out, n, "%.*s", (int)length, *text);
    *text += length + ((*text)[length] == mark);
}

// "m={T},n={out}" with the cell's sizes put in.
void wn__put_sizes(const wn__cell *c, const char *text, char *out, size_t n) {
    FILE *f = fmemopen(out, n, "w");
    if (!f) return;
    for (; *text; text++) {
        if (*text != '{') {
            (void)fputc(*text, f);
            continue;
        }
        if (text[1] == 'T') (void)fprintf(f, "%lld", (long long)c->rows);
        if (text[1] == 'o') (void)fprintf(f, "%lld", (long long)c->shape.out);
        if (text[1] == 'i') (void)fprintf(f, "%lld", (long long)c->shape.in);
        if (text[1] == 'd') (void)fputs(c->suite->dtype, f);
        if (text[1] == 'k') (void)fprintf(f, "%lld", (long long)(c->rows + 3) / 4 * 2);
        text += strcspn(text, "}");
    }
    (void)fclose(f);
}

static bool has_faster(wn__op op) {
    size_t rows;
    const wn__kernel *table = wn__kernel_table(&rows);
    int variants = 0;
    for (size_t i = 0; i < rows; i++)
        variants += table[i].op == op;
    return variants > 1;
}

// What a case was drawn and checked with is not needed to run it again.
static void forget(wn__timed *t, wn__case *c) {
    for (int i = 0; i < c->parts; i++) {
        wn__part *p = c->part + i;
        void *const memory[] = {p->image, p->before, p->exact, p->want, p->sum, p->bound};
        for (size_t j = 0; j < sizeof memory / sizeof *memory; j++)
            free(memory[j]);
        p->image = p->exact = NULL;
        p->before = p->want = p->sum = p->bound = NULL;
        free(t->stage.memory[i].before);
        t->stage.memory[i].before = NULL;
    }
}

static const char *forced(const wn__cell *c, const wn__work *l) {
    return l->force ? l->force : c->suite->force;
}

static wn_status plan(const wn__cell *c, const wn__work *l, wn__op op, wn__case *k,
                      const wn__kernel **out) {
    wn__exec x = {.pool = c->suite->pool, .force = forced(c, l)};
    return wn__plan(&x, op, k->args, out);
}

// One kernel of a chain. *fit false, and a note, where nothing fast runs.
static wn_status add_step(wn__cell *c, const wn__work *l, chain *ch, const char *name,
                          const char *sizes, bool *fit) {
    char problem[WN__PROBLEM_TEXT];
    wn__op op;
    const wn__kernel *k = NULL;
    int i = ch->count;
    wn__put_sizes(c, sizes, problem, sizeof problem);
    WN_TRY(wn__op_find(name, strlen(name), &op));
    wn_status status = wn__timed_case(op, problem, &ch->c[i]);
    if (status == WN_OK) status = plan(c, l, op, ch->c[i], &k);
    *fit = status == WN_OK && (strcmp(k->variant, "ref") != 0 || !has_faster(op));
    if (status == WN_INVALID || status == WN_UNSUPPORTED)
        return wn__suite_note(c->suite, "%s: %s", c->work, wn_last_error());
    WN_TRY(status);
    if (!*fit && !forced(c, l))
        return wn__suite_note(c->suite, "%s: %s has only the reference for %s here; left out",
                              c->work, name, c->suite->dtype);
    *fit = true;
    WN_TRY(wn__timed_open(ch->timed + i, k, NULL, ch->c[i], c->suite->pool, NULL));
    forget(ch->timed + i, ch->c[i]);
    ch->count++;
    return WN_OK;
}

// Whether dense and 2:4 weights go through the same ops, so that these tell nothing apart.
static bool shares_ops(const wn__work *l) {
    for (int i = 0; i < LINES; i++)
        if (wn__work_is(lines + i, l->suite, l->work, NULL) && lines[i].role != l->role &&
            strcmp(lines[i].ops, l->ops) == 0)
            return true;
    return false;
}

// "mask24_avx2 + pack24_avx2", "stream_avx2 2:4"
static void name_chain(const wn__work *l, const chain *ch, char *out, size_t n) {
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; i < ch->count && used < n; i++)
        used += (size_t)snprintf(out + used, n - used, "%s%s", i > 0 ? " + " : "",
                                 ch->timed[i].kernel->name);
    if (shares_ops(l) && used < n)
        (void)snprintf(out + used, n - used, l->role == WN_BENCH_DENSE ? " dense" : " 2:4");
}

// *added (may be NULL): the entry, NULL where nothing fits.
static wn_status add_line(wn__cell *c, const wn__work *l, bool cold, wn__entry **added) {
    chain *ch = calloc(1, sizeof *ch);
    char op[OP_NAME], sizes[WN__PROBLEM_TEXT], name[96];
    const char *ops = l->ops, *problem = l->problem;
    bool fit = true;
    wn_status status = WN_OK;
    if (added) *added = NULL;
    if (!ch) return wn__fail(WN_NOMEM, "no memory for a case");
    while (status == WN_OK && fit && *ops && ch->count < STEPS) {
        take(&ops, '+', op, sizeof op);
        take(&problem, ';', sizes, sizeof sizes);
        status = add_step(c, l, ch, op, sizes, &fit);
    }
    if (status != WN_OK || !fit) {
        release(ch);
        return status;
    }
    wn__entry *e;
    double flops = 0, bytes = 0;
    for (int i = 0; i < ch->count; i++) {
        flops += wn__timed_flops(ch->c[i]);
        bytes += wn__timed_bytes(ch->c[i]);
    }
    name_chain(l, ch, name, sizeof name);
    WN_TRY(wn__cell_add(c, name, l->role, run, ch, release, &e));
    e->flops = flops;
    e->bytes = bytes;
    if (cold) wn__entry_cold(c, e);
    if (added) *added = e;
    return WN_OK;
}

wn_status wn__ops_add(wn__cell *c, wn_bench_role role, const char *ops, const char *problem,
                      const char *force, wn__entry **out) {
    const wn__work l = {.suite = c->suite->o->suite,
                        .work = c->work,
                        .role = role,
                        .dtypes = "",
                        .ops = ops,
                        .problem = problem,
                        .force = force};
    return add_line(c, &l, false, out);
}

wn_status wn__work_add(wn__cell *c, const char *suite, bool cold) {
    for (int i = 0; i < LINES; i++) {
        if (wn__work_is(lines + i, suite, c->work, c->suite->dtype))
            WN_TRY(add_line(c, lines + i, cold, NULL));
    }
    return WN_OK;
}
