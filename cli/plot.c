// SPDX-License-Identifier: MIT
/* See plot.h. */
#include "plot.h"
#include "chart.h"
#include "command.h"
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <winnow/train.h>

typedef struct lines {
    wn_series *series;
    chart_line *line;
    char (*label)[96];
    size_t count;
} lines;

static const char *last_part(const char *path) {
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    size_t begin = n;
    while (begin && path[begin - 1] != '/')
        begin--;
    return path + begin;
}

static wn_status add(lines *l, const char *run, int colour, const char *kind, const char *x,
                     const char *y, bool many) {
    wn_series *s = &l->series[l->count];
    wn_status status = wn_metrics_series(run, kind, x, y, s);
    if (status != WN_OK || s->count == 0) return status;
    const char *name = strcmp(kind, "eval") == 0 ? "held out" : "training";
    snprintf(l->label[l->count], sizeof *l->label, many ? "%.60s, %s" : "%.0s%s", last_part(run),
             name);
    l->line[l->count] = (chart_line){.label = l->label[l->count],
                                     .x = s->x,
                                     .y = s->y,
                                     .count = s->count,
                                     .points = strcmp(kind, "eval") == 0,
                                     .colour = colour};
    if (!many) l->line[l->count].colour = (int)l->count;
    l->count++;
    return WN_OK;
}

/* The lines of one run. Training and evaluations need not both have the value; INVALID means that
 * one of them lacks it. */
static bool add_run(lines *l, const char *run, int colour, const char *x, const char *y,
                    bool many) {
    static const char *const kinds[] = {"step", "eval"};
    size_t before = l->count;
    for (size_t k = 0; k < 2; k++) {
        wn_status status = add(l, run, colour, kinds[k], x, y, many);
        if (status != WN_OK && status != WN_INVALID) return report(status), false;
    }
    if (l->count == before) fprintf(stderr, "winnow: %s: no '%s' over '%s' to draw\n", run, y, x);
    return l->count > before;
}

static bool write_chart(const chart *c, const char *path) {
    char *text = NULL;
    size_t size = 0;
    if (!path) {
        struct winsize w = {0};
        bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col >= 40;
        chart_text(stdout, c, known ? w.ws_col - 1 : 79, 20);
        return true;
    }
    FILE *f = open_memstream(&text, &size);
    if (f) chart_svg(f, c);
    bool drawn = f && fclose(f) == 0;
    if (!drawn) fputs("winnow: out of memory\n", stderr);
    bool ok = drawn && replace_file(path, text, size);
    free(text);
    return ok;
}

int plot_runs(const char *const *run, size_t count, const char *x, const char *y,
              const char *path) {
    lines l = {calloc(2 * count, sizeof *l.series), calloc(2 * count, sizeof *l.line),
               calloc(2 * count, sizeof *l.label), 0};
    char title[160];
    bool room = l.series && l.line && l.label;
    if (!room) fputs("winnow: out of memory\n", stderr);
    bool ok = room;
    for (size_t i = 0; ok && i < count; i++)
        ok = add_run(&l, run[i], (int)i, x, y, count > 1);
    snprintf(title, sizeof title, "%.60s %s", count == 1 ? last_part(run[0]) : "runs:", y);
    chart c = {title, x, strcmp(y, "loss") == 0 ? "loss, nats a token" : y, l.line, l.count,
               false, 0};
    ok = ok && write_chart(&c, path);
    for (size_t i = 0; l.series && i < 2 * count; i++)
        wn_series_free(&l.series[i]);
    free(l.series);
    free(l.line);
    free(l.label);
    return ok ? EXIT_OK : EXIT_FAILED;
}
