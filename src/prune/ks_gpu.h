// SPDX-License-Identifier: MIT
/* A fit's gradients on a GPU: vectors, targets, factors, moments and everything between stay there;
 * the host sends each update its rows and its learning rate, and reads sums once an epoch. Factors
 * have float32 masters; factors, vectors and what lies between are in products as --dtype says,
 * sums are float32.
 *
 * With 16 bits vectors are scaled by a power of two to a deviation of about 1, and so are
 * differences, so that float16 reaches both; gradients are scaled back where they are used. */
#ifndef WN_PRUNE_KS_GPU_H
#define WN_PRUNE_KS_GPU_H

#include "prune/ks.h"

/* After the options are known: what --device asks for. k->gpu stays NULL where the fit takes the
 * processor, and the log says why. INVALID: no such device, what a GPU has not. */
WN_NODISCARD wn_status wn__ks_gpu_choose(wn__ks *k, bool closed);
void wn__ks_gpu_free(wn__ks *k);

/* The functions below are for k->gpu alone. */

/* Vectors that were drawn or measured become numbers that the GPU has: rounded to 16 bits. */
void wn__ks_gpu_vectors(wn__ks *k, float *x, int64_t count);
/* A unit vector's number likewise: a vector of k->in numbers of which it is the only one. */
double wn__ks_gpu_unit(wn__ks *k, double scale);
/* target = input W^T in float32 by cuBLASLt; *done false: there is none. */
WN_NODISCARD wn_status wn__ks_gpu_aim(wn__ks *k, const wn__ks_data *d, bool *done);
/* After wn__ks_build: memory, data, plans. */
WN_NODISCARD wn_status wn__ks_gpu_build(wn__ks *k);
/* Parameters and moments of the host to the GPU, and back. */
WN_NODISCARD wn_status wn__ks_gpu_push(wn__ks *k);
WN_NODISCARD wn_status wn__ks_gpu_pull(const wn__ks *k);
/* As wn__ks_train_epoch after k->order is made, and wn__ks_loss without squares. */
WN_NODISCARD wn_status wn__ks_gpu_epoch(wn__ks *k, int64_t epoch, wn__ks_sums *out);
WN_NODISCARD wn_status wn__ks_gpu_loss(wn__ks *k, const wn__ks_data *data, double *loss);

/* ---- what its two files share */

enum { WN__KS_EVAL = 4096 }; /* vectors together where only the loss is wanted */

/* Vectors and targets on the GPU: [rows, in] of the dtype, [rows, out]. */
typedef struct wn__ks_gpu_data {
    wn_tensor x, target;
} wn__ks_gpu_data;

/* An update of n vectors: run once, then captured, then replayed. */
typedef struct wn__ks_gpu_graph {
    int64_t n;
    bool ran;
    wn__cuda_graph *graph;
} wn__ks_gpu_graph;

typedef struct wn__ks_gpu {
    wn__gpu *gpu;
    wn__exec x;
    wn_dtype dtype;
    bool batched; /* permuted and batched products in place of the fused kernels */
    bool scaled;
    double scale;      /* of vectors and targets there; 1 of float32 */
    double difference; /* of differences, besides; likewise */
    wn__arena memory, pinned;
    wn__ks_gpu_data train, val;
    /* all parameters one behind the other, each from a multiple of 512 bytes on */
    int64_t at[WN__KRON_MAX + 2];    /* bias, factors, and the end */
    wn_tensor w, g, m, v, rounded;   /* of float32 rounded is w */
    wn_tensor rows, step;            /* of an update: I32 [batch], F64 [3] */
    wn_tensor loss, norms, factor;   /* sums of an epoch, [1] and [1 + parameters]; a factor */
    wn_tensor h[WN__KRON_MAX + 1];   /* [batch, width], as the host's */
    wn_tensor back[2], wanted, seen; /* gradients, targets, results of an evaluation */
    char *record;                    /* pinned: step and rows of every update of an epoch */
    size_t record_bytes;
    double *sums; /* pinned */
    wn__ks_gpu_graph whole, left;
} wn__ks_gpu;

/* Plans an epoch of updates and evaluations: g->x.need. */
WN_NODISCARD wn_status wn__ks_gpu_plan(wn__ks *k);

#endif
