// SPDX-License-Identifier: MIT
/* Rows of winnow bench, kept: what tables and pictures are made of. */
#ifndef WN_CLI_BENCH_ROWS_H
#define WN_CLI_BENCH_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <winnow/bench.h>

/* A row with its texts in it. */
typedef struct bench_row {
    wn_bench_row r;
    char suite[16], work[48], dtype[8], name[96], peer[96];
} bench_row;

typedef struct bench_rows {
    bench_row *row;
    size_t count;
    bool failed; /* out of memory */
    char machine[200], date[16], libraries[400];
    char where[32]; /* "2 threads", "burst" */
    int threads;
} bench_rows;

/* Events that keep head, libraries found and rows; ctx is a bench_rows, zeroed at first. */
void bench_keep_head(void *ctx, const wn_bench_head *head);
void bench_keep_library(void *ctx, const wn_bench_library *library);
void bench_keep_row(void *ctx, const wn_bench_row *row);
void bench_rows_free(bench_rows *rows);
/* The row at i, its texts in place. */
wn_bench_row bench_row_at(const bench_rows *rows, size_t i);

/* Speed-up over the better dense against rows, a panel for each work; of ks against the FLOPs that
 * are saved, a panel for each pass; of work without rows, ranges.
 * False after a message on standard error. */
bool bench_draw(const bench_rows *rows, const char *path);
/* Several results in one picture: for every suite, work and dtype the range over what was measured.
 */
bool bench_draw_summary(const bench_rows *results, size_t count, const char *path);

#endif
