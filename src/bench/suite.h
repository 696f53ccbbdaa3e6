// SPDX-License-Identifier: MIT
/* A run of `winnow bench`, and the cells it is made of: things that are compared with one another,
 * sampled together. */
#ifndef WN_BENCH_SUITE_H
#define WN_BENCH_SUITE_H

#include "base/json.h"
#include "base/pool.h"
#include "base/sample.h"
#include "bench/peer.h"
#include "kernels/op.h"
#include "kernels/read_rate.h"
#include "winnow/bench.h"

enum { WN__ENTRIES = 24, WN__SIZES = 32 };

typedef struct wn__shape {
    int64_t out, in;
} wn__shape;

typedef struct wn__suite {
    const wn_bench_options *o;
    const wn_bench_events *events;
    const char *dtype; /* "f32" */
    const char *force; /* variants that --kernels or WN_KERNEL name; NULL: the best */
    int repeats;
    wn__shape shape[WN__SIZES];
    int64_t rows[WN__SIZES];
    int shapes, row_counts;
    int cpu[1024], cpus; /* that threads are bound to, in order */
    wn__pool *pool;
    wn__peers peers;
    wn__read_rate stream;
    double peak, rate;         /* FLOP/s, bytes/s */
    struct wn__gpu_bench *gpu; /* NULL: the processor is measured (gpu.h) */
    wn__json *list;            /* rows so far */
    wn__json *notes, *merged;
} wn__suite;

/* One thing that is timed in a cell. */
typedef struct wn__entry {
    char name[96];
    wn_bench_role role;
    wn__lane lane;
    double flops, bytes, tokens;
    int copies; /* on a GPU: runs until the first data have their turn again; 0: 1 */
    double megahertz, joules, ran; /* of a GPU while it ran, 0: unknown; of all samples, seconds */
    void (*release)(void *ctx);    /* of lane.ctx; NULL: nothing */
    const wn__peer *peer;
    bool bmm; /* of ks: the permuted and batched products that fused ones are compared with */
} wn__entry;

typedef struct wn__cell {
    wn__suite *suite;
    const char *work;
    wn__shape shape;
    int64_t rows;
    wn__entry entry[WN__ENTRIES];
    int count;
} wn__cell;

/* Takes over ctx, which is released even on failure. The others are compared with the fastest
 * DENSE entry. */
WN_NODISCARD wn_status wn__cell_add(wn__cell *c, const char *name, wn_bench_role role,
                                    wn_status (*run)(void *), void *ctx, void (*release)(void *),
                                    wn__entry **out);
/* Every sample of it begins with empty caches. */
void wn__entry_cold(wn__cell *c, wn__entry *e);
/* Samples all, tells the rows, frees the cell. */
WN_NODISCARD wn_status wn__cell_measure(wn__cell *c);
void wn__cell_free(wn__cell *c);

/* A remark, once each. */
WN_NODISCARD wn_status wn__suite_note(wn__suite *s, const char *fmt, ...) WN_PRINTF(2, 3);
/* Whether --work asks for it. */
bool wn__suite_wants(const wn__suite *s, const char *work);

typedef enum wn__product { WN__NO_PRODUCT, WN__FORWARD, WN__INPUT, WN__WEIGHT } wn__product;

/* works.c: a line of works.def or works_gpu.def, what they have. */
typedef struct wn__work {
    const char *suite, *work;
    wn__product product; /* what peers can do */
    wn_bench_role role;
    const char *dtypes; /* words between blanks */
    const char *ops;    /* of works.def */
    wn__op op;          /* of works_gpu.def */
    const char *problem;
    const char *force; /* variants; NULL: those that are asked for, or the best */
} wn__work;
typedef struct wn__works {
    const wn__work *line;
    size_t count;
} wn__works;
extern const wn__works wn__works_cpu; /* work.c */
extern const wn__works wn__works_gpu; /* gpu_work.c */
/* Whether a line is of that suite, work and (unless NULL) dtype. */
bool wn__work_is(const wn__work *w, const char *suite, const char *work, const char *dtype);
/* Number i of the works of a suite, NULL behind the last; each name once. */
const char *wn__work_name(const wn__works *w, const char *suite, int i);
/* Whether any line of a work is for that dtype. */
bool wn__work_takes(const wn__works *w, const char *suite, const char *work, const char *dtype);
/* The product that a work of a suite is, if peers can do it. */
wn__product wn__work_product(const wn__works *w, const char *suite, const char *work);
/* Whether words between blanks have that one. */
bool wn__has_word(const char *words, const char *word);

/* work.c: entries of our kernels, by works.def. suite: "gemm". Adds those of one work. */
WN_NODISCARD wn_status wn__work_add(wn__cell *c, const char *suite, bool cold);
/* ops and problem as in works.def, sizes put in; force: variants as --kernels names them, NULL: the
 * best. *out NULL, and a note, where nothing runs that. */
WN_NODISCARD wn_status wn__ops_add(wn__cell *c, wn_bench_role role, const char *ops,
                                   const char *problem, const char *force, wn__entry **out);
/* The template of a problem with the cell's sizes put in: "m={T},n={out}". */
void wn__put_sizes(const wn__cell *c, const char *text, char *out, size_t n);
/* product.c: what peers make of a product of a linear layer. */
/* An entry for each peer that can; every run does all of `product`[count], of the cell's shape. */
WN_NODISCARD wn_status wn__product_add(wn__cell *c, const wn__product *product, int count,
                                       bool cold);

/* kernels.c: gemm, decode, prune; layer.c; train.c; kron.c: ks */
WN_NODISCARD wn_status wn__suite_gemm(wn__suite *s);
WN_NODISCARD wn_status wn__suite_decode(wn__suite *s);
WN_NODISCARD wn_status wn__suite_prune(wn__suite *s);
WN_NODISCARD wn_status wn__suite_layer(wn__suite *s);
WN_NODISCARD wn_status wn__suite_train(wn__suite *s);
WN_NODISCARD wn_status wn__suite_ks(wn__suite *s);

/* result.c: rows as JSON and back. */
wn__json *wn__row_json(const wn_bench_row *r);
/* FORMAT names the file and what is wrong. Texts of *out belong to j. */
WN_NODISCARD wn_status wn__row_read(const wn__json *j, const char *path, wn_bench_row *out);
/* The result of a run so far. */
WN_NODISCARD wn_status wn__result_json(const wn__suite *s, const wn_bench_head *head, char **out);
void wn__tell_libraries(const wn__suite *s);
WN_NODISCARD wn_status wn__result_open(const char *path, wn__json **out);

#endif
