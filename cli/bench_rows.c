// SPDX-License-Identifier: MIT
/* See bench_rows.h. */
#include "bench_rows.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void bench_keep_head(void *ctx, const wn_bench_head *head) {
    bench_rows *b = ctx;
    snprintf(b->machine, sizeof b->machine, "%s", head->machine);
    snprintf(b->date, sizeof b->date, "%s", head->date);
    b->threads = head->threads;
    if (strcmp(head->device, "cuda") == 0)
        snprintf(b->where, sizeof b->where, "%.20s", head->protocol);
    else
        snprintf(b->where, sizeof b->where, "%d thread%s", head->threads,
                 head->threads == 1 ? "" : "s");
}

void bench_keep_library(void *ctx, const wn_bench_library *library) {
    bench_rows *b = ctx;
    size_t used = strlen(b->libraries);
    if (*library->why) return;
    snprintf(b->libraries + used, sizeof b->libraries - used, "%s%s %s", used ? ", " : "",
             library->name, library->version);
}

void bench_keep_row(void *ctx, const wn_bench_row *row) {
    bench_rows *b = ctx;
    if ((b->count & (b->count - 1)) == 0) {
        bench_row *grown = realloc(b->row, (b->count ? 2 * b->count : 1) * sizeof *grown);
        if (!grown) {
            b->failed = true;
            return;
        }
        b->row = grown;
    }
    bench_row *k = &b->row[b->count++];
    *k = (bench_row){.r = *row};
    snprintf(k->suite, sizeof k->suite, "%s", row->suite);
    snprintf(k->work, sizeof k->work, "%s", row->work);
    snprintf(k->dtype, sizeof k->dtype, "%s", row->dtype);
    snprintf(k->name, sizeof k->name, "%s", row->name);
    snprintf(k->peer, sizeof k->peer, "%s", row->peer_name);
}

wn_bench_row bench_row_at(const bench_rows *rows, size_t i) {
    const bench_row *k = &rows->row[i];
    wn_bench_row r = k->r;
    r.suite = k->suite;
    r.work = k->work;
    r.dtype = k->dtype;
    r.name = k->name;
    r.peer_name = k->peer;
    return r;
}

void bench_rows_free(bench_rows *rows) {
    free(rows->row);
    *rows = (bench_rows){0};
}
