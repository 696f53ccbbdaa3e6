// SPDX-License-Identifier: MIT
/* Pictures of bench results. What is drawn of a row is its speed-up over the better of our dense
 * and the best peer. */
#include "bench_rows.h"
#include "chart.h"
#include "command.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <winnow/kernels.h>

enum { PANELS = 8, LINES = 8, POINTS = 32, SPANS = 256, VALUES = 512 };

static bool write_picture(const char *path, void (*draw)(FILE *, const void *), const void *what) {
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    if (f) draw(f, what);
    bool drawn = f && fclose(f) == 0;
    if (!drawn) fputs("winnow: out of memory\n", stderr);
    bool ok = drawn && replace_file(path, text, size);
    free(text);
    return ok;
}

/* One line a shape (and an op, where several do the work), one panel a work. */
typedef struct panels {
    chart chart[PANELS];
    char title[PANELS][320];
    chart_line line[PANELS][LINES];
    char label[PANELS][LINES][128];
    double x[PANELS][LINES][POINTS], y[PANELS][LINES][POINTS];
    const char *work[PANELS];
    size_t count;
} panels;

static size_t find_panel(panels *p, const bench_rows *rows, const wn_bench_row *r) {
    for (size_t i = 0; i < p->count; i++)
        if (strcmp(p->work[i], r->work) == 0) return i;
    if (p->count == PANELS) return PANELS;
    size_t i = p->count++;
    p->work[i] = r->work;
    snprintf(p->title[i], sizeof p->title[i], "%s, %s: %.80s, %s, %s", r->work, r->dtype,
             rows->machine, rows->where, rows->date);
    p->chart[i] = (chart){.title = p->title[i],
                          .x_label = strcmp(r->suite, "decode") == 0 ? "batch" : "tokens",
                          .y_label = "time of the fastest other / time of ours",
                          .line = p->line[i],
                          .powers = true,
                          .level = 1};
    return i;
}

/* Letters of the op where a word of n letters is a kernel, "spmm24_avx2"; else n. */
static size_t op_length(const char *word, size_t n) {
    wn_kernel_info k;
    for (size_t i = 0; i < wn_kernel_count(); i++) {
        wn_kernel_get(i, &k);
        size_t op = strlen(k.op), variant = strlen(k.variant);
        if (n == op + 1 + variant && strncmp(word, k.op, op) == 0 && word[op] == '_' &&
            strncmp(word + op + 1, k.variant, variant) == 0)
            return op;
    }
    return n;
}

/* "mask24_avx2 + pack24_avx2" without variants: one does few tokens and another one many. */
static void without_variants(const char *name, char *out, size_t size) {
    size_t used = 0;
    while (*name && used + 1 < size) {
        size_t n = strcspn(name, " ,"), between = strspn(name + n, " ,");
        int op = (int)op_length(name, n);
        snprintf(out + used, size - used, "%.*s%.*s", op, name, (int)between, name + n);
        used += strlen(out + used);
        name += n + between;
    }
    out[used] = 0;
}

/* A line goes through all rows of a shape, whichever variants of its ops the plan took. */
static chart_line *find_line(panels *p, size_t panel, const wn_bench_row *r) {
    char ops[80], label[128];
    without_variants(r->name, ops, sizeof ops);
    snprintf(label, sizeof label, "%lld x %lld %s", (long long)r->out, (long long)r->in, ops);
    chart *c = &p->chart[panel];
    for (size_t i = 0; i < c->count; i++)
        if (strcmp(p->label[panel][i], label) == 0) return &p->line[panel][i];
    if (c->count == LINES) return NULL;
    size_t i = c->count++;
    snprintf(p->label[panel][i], sizeof p->label[panel][i], "%s", label);
    p->line[panel][i] = (chart_line){.label = p->label[panel][i],
                                     .x = p->x[panel][i],
                                     .y = p->y[panel][i],
                                     .points = true,
                                     .colour = (int)i};
    return &p->line[panel][i];
}

static void add_point(panels *p, const bench_rows *rows, const wn_bench_row *r) {
    size_t panel = find_panel(p, rows, r);
    chart_line *l = panel < PANELS ? find_line(p, panel, r) : NULL;
    if (!l || l->count == POINTS) return;
    size_t line = (size_t)(l - p->line[panel]), at = l->count++;
    p->x[panel][line][at] = log2((double)r->rows);
    p->y[panel][line][at] = r->best.median;
}

/* Of ks: how many FLOPs of the dense product are saved against how much faster it is. The work is
 * "PASS KIND ..."; kinds are lines, of marks. */
static void add_saving(panels *p, const bench_rows *rows, const wn_bench_row *r) {
    static const char *const kinds[] = {"factor", "two factors", "butterfly"};
    static const char *const passes[] = {"forward", "input gradient", "weight gradient"};
    size_t pass = 0, kind = 0;
    while (pass < 3 && strncmp(r->work, passes[pass], strlen(passes[pass])) != 0)
        pass++;
    if (pass == 3) return;
    while (kind < 3 &&
           strncmp(r->work + strlen(passes[pass]) + 1, kinds[kind], strlen(kinds[kind])) != 0)
        kind++;
    if (kind == 3) return;
    wn_bench_row general = *r;
    general.work = passes[pass];
    size_t panel = find_panel(p, rows, &general);
    if (panel == PANELS) return;
    chart *c = &p->chart[panel];
    c->x_label = "FLOPs of the dense product / FLOPs of the chain";
    size_t i = 0;
    while (i < c->count && strcmp(p->label[panel][i], kinds[kind]) != 0)
        i++;
    if (i == LINES) return;
    chart_line *l = &p->line[panel][i];
    if (i == c->count) {
        c->count++;
        snprintf(p->label[panel][i], sizeof p->label[panel][i], "%s", kinds[kind]);
        *l = (chart_line){.label = p->label[panel][i],
                          .x = p->x[panel][i],
                          .y = p->y[panel][i],
                          .points = true,
                          .apart = true,
                          .colour = (int)kind};
    }
    if (l->count == POINTS) return;
    double dense = 2 * (double)r->rows * (double)r->out * (double)r->in;
    p->x[panel][i][l->count] = log2(dense / r->flops);
    p->y[panel][i][l->count++] = r->best.median;
}

static void draw_panels(FILE *f, const void *what) {
    const panels *p = what;
    chart_panels_svg(f, p->chart, p->count);
}

/* Ranges of a work (and kernel) over the shapes and rows it was measured on. */
typedef struct spans {
    chart_span span[SPANS];
    char title[400], group[SPANS][300], label[SPANS][120], part[SPANS][200];
    double value[SPANS][VALUES];
    size_t count;
    bool more; /* than there is room for */
} spans;

static void add_span(spans *s, const char *group, const char *label, const char *part, double value,
                     int colour) {
    size_t i = 0;
    while (i < s->count && (strcmp(s->group[i], group) != 0 || strcmp(s->label[i], label) != 0 ||
                            strcmp(s->part[i], part) != 0))
        i++;
    if (i == SPANS) {
        s->more = true;
        return;
    }
    if (i == s->count) {
        s->count++;
        snprintf(s->group[i], sizeof s->group[i], "%s", group);
        snprintf(s->label[i], sizeof s->label[i], "%s", label);
        snprintf(s->part[i], sizeof s->part[i], "%s", part);
        s->span[i] = (chart_span){.group = s->group[i],
                                  .label = s->label[i],
                                  .part = s->part[i],
                                  .value = s->value[i],
                                  .colour = colour};
    }
    if (s->span[i].count < VALUES) s->value[i][s->span[i].count++] = value;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int by_group(const void *a, const void *b) {
    return strcmp(((const chart_span *)a)->group, ((const chart_span *)b)->group);
}

/* Results of one machine stand together, in the order they came in. */
static void close_spans(spans *s) {
    for (size_t i = 0; i < s->count; i++) {
        size_t n = s->span[i].count;
        qsort(s->value[i], n, sizeof(double), by_value);
        s->span[i].middle =
            n % 2 ? s->value[i][n / 2] : (s->value[i][n / 2 - 1] + s->value[i][n / 2]) / 2;
    }
    for (size_t i = 1; i < s->count; i++) /* stable, unlike qsort */
        for (size_t j = i; j > 0 && by_group(&s->span[j - 1], &s->span[j]) > 0; j--) {
            chart_span t = s->span[j];
            s->span[j] = s->span[j - 1];
            s->span[j - 1] = t;
        }
}

static void draw_spans(FILE *f, const void *what) {
    const spans *s = what;
    chart_spans_svg(f, s->title,
                    "time of the fastest other, dense or sparse (of prune: of a copy), over ours: "
                    "a dot a case, the median large",
                    "slower", "faster", s->span, s->count);
}

static int colour_of(const char *suite) {
    static const char *const suites[] = {"gemm", "decode", "prune", "layer"};
    int i = 0;
    while (i < 4 && strcmp(suites[i], suite) != 0)
        i++;
    return i;
}

/* A work of ks without its sizes: "forward factor". */
static const char *ks_kind(const char *work) {
    static const char *const kinds[] = {
        "forward factor",         "forward two factors",        "forward butterfly",
        "input gradient factor",  "input gradient two factors", "input gradient butterfly",
        "weight gradient factor", "weight gradient two factors"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strncmp(work, kinds[i], strlen(kinds[i])) == 0) return kinds[i];
    return work;
}

/* Whether a row of ks is permuted and batched products, as they are called on a processor or a GPU.
 */
static bool is_bmm(const char *name) {
    return strstr(name, "cblas") != NULL || strstr(name, ", bmm") != NULL;
}

/* All rows of structures of one result. */
static void add_result(spans *s, const bench_rows *rows) {
    char group[300], label[120], part[200];
    for (size_t i = 0; i < rows->count; i++) {
        wn_bench_row r = bench_row_at(rows, i);
        if (r.role != WN_BENCH_STRUCTURE || !(r.best.median > 0)) continue;
        snprintf(group, sizeof group, "%.200s, %s", rows->machine, rows->date);
        snprintf(label, sizeof label, "%s, %s, %s", r.suite, r.dtype, rows->where);
        if (strcmp(r.suite, "ks") == 0)
            snprintf(part, sizeof part, "%s%s", ks_kind(r.work), is_bmm(r.name) ? ", bmm" : "");
        else if (strcmp(r.suite, "layer") == 0 || strcmp(r.suite, "train") == 0)
            snprintf(part, sizeof part, "%s: %s", r.work, r.name);
        else
            snprintf(part, sizeof part, "%s", r.work);
        add_span(s, group, label, part, r.best.median, colour_of(r.suite));
    }
}

static bool draw_ranges(const bench_rows *results, size_t count, const char *title,
                        const char *path) {
    spans *s = calloc(1, sizeof *s);
    if (!s) return fputs("winnow: out of memory\n", stderr), false;
    snprintf(s->title, sizeof s->title, "%s", title);
    for (size_t i = 0; i < count; i++)
        add_result(s, &results[i]);
    close_spans(s);
    bool ok = s->count > 0;
    if (s->more) fprintf(stderr, "winnow: %s: only the first %d works are drawn\n", path, SPANS);
    if (ok)
        ok = write_picture(path, draw_spans, s);
    else
        fprintf(stderr, "winnow: %s: no structured work to draw\n", path);
    free(s);
    return ok;
}

bool bench_draw(const bench_rows *rows, const char *path) {
    panels *p = calloc(1, sizeof *p);
    if (!p) return fputs("winnow: out of memory\n", stderr), false;
    for (size_t i = 0; i < rows->count; i++) {
        wn_bench_row r = bench_row_at(rows, i);
        if (r.role != WN_BENCH_STRUCTURE || r.rows == 0 || !(r.best.median > 0)) continue;
        if (strcmp(r.suite, "ks") != 0)
            add_point(p, rows, &r);
        else if (!is_bmm(r.name) && !strstr(r.name, "batch last"))
            add_saving(p, rows, &r);
    }
    bool ok =
        p->count > 0 ? write_picture(path, draw_panels, p) : draw_ranges(rows, 1, "Speed-up", path);
    free(p);
    return ok;
}

bool bench_draw_summary(const bench_rows *results, size_t count, const char *path) {
    return draw_ranges(results, count, "Structured work against dense", path);
}
