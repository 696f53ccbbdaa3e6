// SPDX-License-Identifier: MIT
/* What the files of a fit share: ks_weight.c finds the matrix, ks_step.c runs the chain and its
 * gradients, ks_als.c solves for factors, ks_head.c finds a head, ks_save.c writes and reads
 * checkpoints, ks_original.c reads those of the original, ks_fit.c puts them in order. */
#ifndef WN_PRUNE_KS_H
#define WN_PRUNE_KS_H

#include "base/arena.h"
#include "base/json.h"
#include "optim/epochs.h"
#include "optim/optimizer.h"
#include "sparse/kron_fit.h"
#include "winnow/ks.h"

struct wn__ks_gpu; /* prune/ks_gpu.h */

/* The matrix, packed F32; malloc'ed. */
WN_NODISCARD wn_status wn__ks_weight(const char *path, const char *tensor, float **w, int64_t *out,
                                     int64_t *in);

/* k->root of the inputs in a file, or of a text that the model at k->path reads, and the crc32 of
 * those inputs or that text, which every processor finds the same; INVALID: not [n, in], no
 * model. */
struct wn__ks;
WN_NODISCARD wn_status wn__ks_calibrate(struct wn__ks *k, const char *path);
/* H = S S^T, the same on both sides of its diagonal. */
WN_NODISCARD wn_status wn__ks_square(const struct wn__ks *k, wn__exec *x, double *h);
/* The vectors of a calibration: columns of S, scaled so that the mean loss is the objective over
 * the outputs, and turned around. */
void wn__ks_columns(const struct wn__ks *k, float *to);

/* Vectors and what W makes of them, row after row; exact: the unit vectors times `scale`,
 * and turned around, with the columns of W. */
typedef struct wn__ks_data {
    bool exact;
    double scale;
    int64_t rows;
    float *input, *target; /* NULL when exact */
} wn__ks_data;

typedef struct wn__ks {
    const wn_ks_options *o;
    const char *path; /* of the weight */
    int64_t out, in;
    float *w;
    wn__kron_chain chain;
    int64_t head_rank;   /* of what is added to the chain; 0: nothing */
    float *head[2];      /* V [rank, in], U [out, rank]; w is what they leave of the weight */
    uint32_t made_of[2]; /* crc32 of the weight, and of what the calibration was read from */
    double norm;         /* ||W||^2 of the whole weight */
    double outputs;      /* with a head, and a calibration: ||W S||^2 of it */
    bool half, brain, batch_last; /* factors are rounded to float16, to bfloat16 */
    bool unit;                    /* --data exact: unit vectors stand for all */
    wn__params
        params; /* "bias", then "weights.N", F32 [a d, c, b], as the original's files have them */
    wn__arena arena;
    wn__optimizer *optimizer;
    wn__optimizer_kind kind;
    wn__epochs schedule;
    wn__pool *pool;
    wn__exec x;
    struct wn__ks_gpu *gpu; /* what gradients run on; NULL: this processor */
    double *root; /* of a calibration: S [in, in] lower triangular, S S^T = H; else NULL */
    wn__ks_data train, val;     /* no rows of val: train stands for it */
    int64_t batch;              /* rows of the buffers */
    float *used[WN__KRON_MAX];  /* weights as products see them: masters, or rounded ones */
    float *h[WN__KRON_MAX + 1]; /* what goes into each factor, and comes out of the last */
    float *g[2], *wanted;       /* gradients on the way back, targets of a batch */
    int64_t *order;
    int64_t updates, first; /* first: epoch of this fit */
    double best;
    int64_t best_epoch;
    wn__json *log;
    wn_ks_fn *fn; /* NULL: nobody listens */
    void *ctx;
    int lock; /* of PREFIX.lock; -1: none */
} wn__ks;

/* [n, features] in a buffer, batch first or last. */
wn_tensor wn__ks_batch(const wn__ks *k, float *data, int64_t n, int64_t features);
/* What goes into factor t (of the count: comes out of the last) in h[t]. */
wn_tensor wn__ks_between(const wn__ks *k, int t, int64_t n);
/* Numbers w of factor t. */
wn_tensor wn__ks_factor(const wn__ks *k, int t, const float *w);
/* n vectors of the data, in this order, into h[0] and `wanted`. */
void wn__ks_bring(wn__ks *k, const wn__ks_data *d, const int64_t *rows, int64_t n);

/* Sums over the batches of an epoch. */
typedef struct wn__ks_sums {
    double loss, norm, factor[WN__KRON_MAX];
    int64_t batches;
} wn__ks_sums;

/* ks_head.c: k->norm, and the head, which is taken out of k->w: that of the checkpoint of --resume,
 * or a new one; after chain, w and root are there. */
WN_NODISCARD wn_status wn__ks_make_head(wn__ks *k);
/* crc32 of V and U as they are saved. */
uint32_t wn__ks_head_crc(const wn__ks *k);
/* Buffers, optimizer states, plans; after chain, w and data are there. */
WN_NODISCARD wn_status wn__ks_build(wn__ks *k);
void wn__ks_free(wn__ks *k);
/* Weights as products see them, after masters changed. */
void wn__ks_round(wn__ks *k);
/* Between two updates: CANCELLED where the caller wants to stop and there is no epoch yet that a
 * checkpoint could be of. */
WN_NODISCARD wn_status wn__ks_go_on(const wn__ks *k, int64_t epoch);
WN_NODISCARD wn_status wn__ks_train_epoch(wn__ks *k, int64_t epoch, wn__ks_sums *out);
/* ks_fit.c: every log_interval batches of an epoch. */
void wn__ks_tell(const wn__ks *k, int64_t epoch, const wn__ks_sums *so_far);
/* Mean of the batches' losses; *squares (may be NULL): the sum of all squared differences. */
WN_NODISCARD wn_status wn__ks_loss(wn__ks *k, const wn__ks_data *data, double *loss,
                                   double *squares);

/* Alternating least squares on the training vectors that are not turned around (exact data, a
 * calibration): at most so many sweeps, fewer where one gains next to nothing; *done says how many.
 * Where they come no nearer the factors stay what they were. */
WN_NODISCARD wn_status wn__ks_als(wn__ks *k, int64_t sweeps, int64_t *done);

/* What is known of an epoch. */
typedef struct wn__ks_state {
    int64_t epoch;
    double train, val;
    const wn__ks_sums *sums;
} wn__ks_state;
/* One more entry of the log. */
WN_NODISCARD wn_status wn__ks_note(wn__ks *k, const wn__ks_state *s);
/* Makes this fit the one that writes files of its prefix, and removes what a killed one left half
 * written; INVALID while another fit does. */
WN_NODISCARD wn_status wn__ks_claim(wn__ks *k);
void wn__ks_unclaim(wn__ks *k);
/* Where its files go and what their names begin with, asked for or not. */
const char *wn__ks_dir(const wn__ks *k);
const char *wn__ks_prefix(const wn__ks *k);
/* output_dir/PREFIX + tail into out[n]. */
WN_NODISCARD wn_status wn__ks_path(const wn__ks *k, const char *tail, char *out, size_t n);
/* PREFIX + name + ".pth", and the log as it is. */
WN_NODISCARD wn_status wn__ks_save(const wn__ks *k, const char *name, const wn__ks_state *s);
/* A tensor of a checkpoint, of exactly that dtype and shape. */
struct wn__pth;
WN_NODISCARD wn_status wn__ks_take(const struct wn__pth *p, const char *name, const wn_tensor *to);
/* Puts back what save kept; *epoch: that are over. The log goes on where it was. */
WN_NODISCARD wn_status wn__ks_resume(wn__ks *k, const char *path, int64_t *epoch);
/* ks_original.c: the same of a checkpoint without our fields, all but the log. */
WN_NODISCARD wn_status wn__ks_take_original(wn__ks *k, const struct wn__pth *p);
/* PREFIX_rank_R_loss_curves.json and .csv, from the log. */
WN_NODISCARD wn_status wn__ks_curves(const wn__ks *k);

#endif
