// SPDX-License-Identifier: MIT
// Measured choices: their file, classes of arguments, and looking one up.
#include "kernels/tuned.h"

#include "base/cpu.h"
#include "base/fail.h"
#include "base/file.h"
#include "kernels/contracts.h"
#include "kernels/cuda/blaslt.h"
#include "kernels/cuda/images.h"
#include "kernels/registry.h"
#include "winnow/printable.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER        "winnow choices 2"
#define HEADER_BEFORE "winnow choices 1"
#define LARGEST       ((size_t)4 << 20) // of a file
#define MOST          10000             // choices: each is looked for among those before it
#define NOTHING       "-"               // in place of a field that says nothing

// A line's place in a file, and how many fields it may have.
typedef struct place {
    const char *path;
    long number;
    int least, most;
} place;

// Ops that share the arguments of another.
typedef wn__reduce wn__sum;
typedef wn__reduce wn__sumsq;
typedef wn__reduce wn__nonfinite;

// The operands that a class is made of: those that costs.def counts.
static const struct {
    wn__op op;
    const char *name;
    size_t offset;
    int times;
} operands[] = {
#define MOVES(op, operand, times) {WN__OP_##op, #operand, offsetof(wn__##op, operand), times},
#include "kernels/costs.def"
#undef MOVES
};

static int64_t power_above(int64_t n) {
    int64_t p = 1;
    while (p < n)
        p *= 2;
    return n == 0 ? 0 : p;
}

// The i-th of all operands, NULL where it is another op's or not given.
static const wn_tensor *operand_of(size_t i, wn__op op, const void *args) {
    const wn_tensor *t = (const void *)((const char *)args + operands[i].offset);
    return operands[i].op == op && wn__given(t) ? t : NULL;
}

// True where an operand is given that may be read in place of another; plain: as if none were.
static bool write_class(wn__op op, const void *args, bool plain, char out[WN__CLASS_TEXT]) {
    size_t used = 0;
    bool exact = false;
    out[0] = '\0';
    for (size_t i = 0; i < sizeof operands / sizeof *operands; i++)
        exact = exact || (!plain && operands[i].times == 0 && operand_of(i, op, args) != NULL);
    for (size_t i = 0; i < sizeof operands / sizeof *operands; i++) {
        const wn_tensor *t = operand_of(i, op, args);
        if (t == NULL || (plain && operands[i].times == 0)) continue;
#define PUT(...)                                                                                   \
    if (used < WN__CLASS_TEXT)                                                                     \
    used += (size_t)snprintf(out + used, WN__CLASS_TEXT - used, __VA_ARGS__)
        PUT("%s%s=%s:", used > 0 ? "," : "", operands[i].name, wn_dtype_name(t->dtype));
        for (int d = 0; d < t->ndim; d++)
            PUT("%s%lld", d > 0 ? "x" : "",
                (long long)(exact ? t->shape[d] : power_above(t->shape[d])));
        if (t->ndim == 2 && t->stride[1] != 1) PUT("t");
#undef PUT
    }
    return exact;
}

void wn__class_of(wn__op op, const void *args, char out[WN__CLASS_TEXT]) {
    (void)write_class(op, args, false, out);
}

void wn__tuned_device(const wn__exec *x, wn__tuned_line *out) {
    if (x->device.kind == WN_DEVICE_CUDA) {
        const wn__cuda_about *a = wn__cuda_info(wn__gpu_device(x->gpu));
        (void)snprintf(out->device, sizeof out->device, "%.90s", a->name);
        (void)snprintf(out->driver, sizeof out->driver, "%d", a->driver);
    } else {
        (void)snprintf(out->device, sizeof out->device, "%.70s, %d threads", wn__cpu_model(),
                       wn__pool_threads(x->pool));
        (void)snprintf(out->driver, sizeof out->driver, "-");
    }
}

static bool same_key(const wn__tuned_line *a, const wn__tuned_line *b) {
    return strcmp(a->op, b->op) == 0 && strcmp(a->class, b->class) == 0 &&
           strcmp(a->device, b->device) == 0 && strcmp(a->driver, b->driver) == 0;
}

wn_status wn__tuned_put(wn__tuned *t, const wn__tuned_line *line) {
    for (size_t i = 0; i < t->count; i++)
        if (same_key(&t->line[i], line)) {
            t->line[i] = *line;
            return WN_OK;
        }
    if (t->count == MOST) return wn__fail(WN_FORMAT, "more than %d choices in a file", MOST);
    if ((t->count & (t->count - 1)) == 0) { // full: at every power of two
        wn__tuned_line *more = realloc(t->line, (t->count ? 2 * t->count : 1) * sizeof *more);
        if (more == NULL) return wn__fail(WN_NOMEM, "no memory for %zu choices", t->count + 1);
        t->line = more;
    }
    t->line[t->count++] = *line;
    return WN_OK;
}

void wn__tuned_free(wn__tuned *t) {
    free(t->line);
    *t = (wn__tuned){0};
}

static const wn__tuned_line *find(const wn__tuned *t, const wn__tuned_line *key) {
    for (size_t i = 0; i < t->count; i++)
        if (same_key(&t->line[i], key)) return &t->line[i];
    return NULL;
}

const wn__tuned_line *wn__tuned_find(const wn__exec *x, wn__op op, const void *args) {
    wn__tuned_line key = {0};
    if (x->tuned == NULL) return NULL;
    wn__tuned_device(x, &key);
    (void)snprintf(key.op, sizeof key.op, "%s", wn__op_name(op));
    const bool exact = write_class(op, args, false, key.class);
    const wn__tuned_line *l = find(x->tuned, &key);
    if (l != NULL || !exact) return l;
    (void)write_class(op, args, true, key.class);
    return find(x->tuned, &key);
}

double wn__tuned_seconds(const wn__tuned_line *l, const char *variant) {
    const size_t n = strlen(variant);
    for (const char *at = l->times; *at != '\0'; at += strspn(at, " ")) {
        const size_t length = strcspn(at, " ");
        if (length > n && strncmp(at, variant, n) == 0 && at[n] == '=')
            return strtod(at + n + 1, NULL) / 1e6;
        at += length;
    }
    return 0;
}

// One field of a line, which must be there and fit.
static wn_status take(const char **at, const char *end, char *out, size_t n, bool last,
                      const place *p) {
    const size_t left = (size_t)(end - *at);
    const char *tab = memchr(*at, '\t', left);
    const size_t length = last || tab == NULL ? left : (size_t)(tab - *at);
    if (last ? tab != NULL : tab == NULL)
        return wn__fail(WN_FORMAT, "%s:%ld: %s than %d fields between tabs", p->path, p->number,
                        last ? "more" : "fewer", last ? p->most : p->least);
    if (length == 0 || length >= n)
        return wn__fail(WN_FORMAT, "%s:%ld: a field is %s", p->path, p->number,
                        length == 0 ? "empty" : "too long");
    memcpy(out, *at, length);
    out[length] = '\0';
    char shown[WN__TIMES_TEXT]; // they are printed
    if (strlen(out) != length || strcmp(wn_printable(out, shown, sizeof shown), out) != 0)
        return wn__fail(WN_FORMAT, "%s:%ld: a field is not text of one line", p->path, p->number);
    *at += length + (last ? 0 : 1);
    return WN_OK;
}

// The op and the variant are those of this program's table, and only a library, which is cuBLASLt,
// has ways; without device code there are no variants of GPUs in it, whose choices are there to be
// shown.
static wn_status check_names(const wn__tuned_line *l, const place *p) {
    char force[96];
    const wn__kernel *k = NULL;
    (void)snprintf(force, sizeof force, "%s:%s", l->op, l->variant);
    wn_status status =
        strchr(force, ',') != NULL ? wn__fail(WN_INVALID, "'%.60s' names no kernel", force) : WN_OK;
    wn__op op = WN__OP_COUNT;
    if (status == WN_OK) status = wn__op_find(l->op, strlen(l->op), &op);
    const bool shown = strcmp(l->driver, "-") != 0 && !wn__device_code_built();
    if (status == WN_OK && !shown) status = wn__force_find(force, op, &k);
    if (status == WN_OK && *l->way != '\0' && k != NULL && (k->needs & WN_GPU_LIBRARY) == 0)
        status = wn__fail(WN_INVALID, "%s has no ways, as '%s'", k->name, l->way);
    if (status == WN_OK && *l->way != '\0' && !wn__blaslt_is_way(l->way))
        status = wn__fail(WN_INVALID,
                          "'%s' is no way of a product, as 'cublaslt/130200/3/9f3ac17be0d24c11'",
                          l->way);
    if (status == WN_OK) return WN_OK;
    char why[400];
    (void)snprintf(why, sizeof why, "%s", wn_last_error());
    return wn__fail(WN_FORMAT, "%s:%ld: %s", p->path, p->number, why);
}

static void clear_nothing(char *text) {
    if (strcmp(text, NOTHING) == 0) *text = '\0';
}

static wn_status parse_line(wn__tuned *t, const char *at, const char *end, const place *p) {
    wn__tuned_line l = {0};
    char time[32], *stop;
    const bool ways = p->least > 7; // as of format 2
    WN_TRY(take(&at, end, l.device, sizeof l.device, false, p));
    WN_TRY(take(&at, end, l.driver, sizeof l.driver, false, p));
    WN_TRY(take(&at, end, l.op, sizeof l.op, false, p));
    WN_TRY(take(&at, end, l.class, sizeof l.class, false, p));
    WN_TRY(take(&at, end, l.variant, sizeof l.variant, false, p));
    if (ways) WN_TRY(take(&at, end, l.way, sizeof l.way, false, p));
    WN_TRY(take(&at, end, time, sizeof time, false, p));
    const bool last = !ways && memchr(at, '\t', (size_t)(end - at)) == NULL;
    WN_TRY(take(&at, end, l.checked, sizeof l.checked, last, p));
    if (!last) WN_TRY(take(&at, end, l.times, sizeof l.times, true, p));
    clear_nothing(l.way);
    clear_nothing(l.times);
    l.seconds = strtod(time, &stop) / 1e6;
    if (*stop != '\0' || !(l.seconds > 0) || !isfinite(l.seconds))
        return wn__fail(WN_FORMAT, "%s:%ld: '%s' is not a number of microseconds", p->path,
                        p->number, time);
    WN_TRY(check_names(&l, p));
    return wn__tuned_put(t, &l);
}

static bool is_line(const char *at, const char *end, const char *text) {
    return (size_t)(end - at) == strlen(text) && strncmp(at, text, strlen(text)) == 0;
}

wn_status wn__tuned_parse(wn__tuned *t, const char *text, const char *path) {
    place p = {.path = path, .least = 9, .most = 9};
    for (const char *at = text; *at != '\0';) {
        const char *end = at + strcspn(at, "\n");
        const char *line_end = end > at && end[-1] == '\r' ? end - 1 : end;
        p.number++;
        if (p.number == 1 && is_line(at, line_end, HEADER_BEFORE)) {
            p.least = 7;
            p.most = 8;
        } else if (p.number == 1 && !is_line(at, line_end, HEADER)) {
            return wn__fail(WN_FORMAT, "%s:1: a file of choices begins with '%s'", path, HEADER);
        } else if (p.number > 1 && line_end > at && *at != '#') {
            WN_TRY(parse_line(t, at, line_end, &p));
        }
        if (*end == '\0' && p.least > 7) // of what is cut off nothing says how much there was
            return wn__fail(WN_FORMAT,
                            "%s:%ld: the file is cut off: its last line has no end of line", path,
                            p.number);
        at = *end == '\0' ? end : end + 1;
    }
    return p.number > 0 ? WN_OK : wn__fail(WN_FORMAT, "%s: an empty file of choices", path);
}

wn_status wn__tuned_read(wn__tuned *t, const char *path) {
    char *text;
    size_t size;
    WN_TRY(wn__file_read(path, LARGEST, &text, &size));
    wn_status status = strlen(text) == size
                           ? wn__tuned_parse(t, text, path)
                           : wn__fail(WN_FORMAT, "%s: byte %zu is zero", path, strlen(text));
    free(text);
    return status;
}

wn_status wn__tuned_text(const wn__tuned *t, char **out) {
    char *text = NULL;
    size_t size;
    *out = NULL;
    FILE *f = open_memstream(&text, &size);
    if (f == NULL) return wn__fail_errno("cannot write text to memory");
    fprintf(f,
            "%s\n# device, driver, op, class, variant, way, microseconds, checked on, times of "
            "all\n",
            HEADER);
    for (size_t i = 0; i < t->count; i++) {
        const wn__tuned_line *l = &t->line[i];
        fprintf(f, "%s\t%s\t%s\t%s\t%s\t%s\t%.4g\t%s\t%s\n", l->device, l->driver, l->op, l->class,
                l->variant, *l->way != '\0' ? l->way : NOTHING, l->seconds * 1e6, l->checked,
                *l->times != '\0' ? l->times : NOTHING);
    }
    const bool bad = ferror(f) != 0;
    if (fclose(f) != 0 || bad) {
        free(text);
        return wn__fail(WN_NOMEM, "no memory for the text");
    }
    *out = text;
    return WN_OK;
}
