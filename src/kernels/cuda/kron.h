// SPDX-License-Identifier: MIT
/* What the launches of Kronecker-sparse factors share. */
#ifndef WN_KERNELS_CUDA_KRON_H
#define WN_KERNELS_CUDA_KRON_H

#include "kernels/cuda/gpu.h"
#include "kernels/kron_grad.h"
#include "kernels/kron_mul.h"
#include "kernels/op.h"

/* Dtypes of 16 bits, and no more blocks or vectors than a grid holds; w may be a gradient. */
bool wn__gpu_kron_accepts(const wn_tensor *x, const wn_tensor *w, char *why, size_t n);

/* The same of every factor of a chain. */
bool wn__gpu_kron_accepts16(const wn__kron_mul *p, char *why, size_t n);

/* Parts are for its processors: other GPUs do the same work. */
enum { WN__KRON_H200 = 132 };

/* Whether steps of all blocks of threads, which go beyond the batch, stay below 2^31. */
bool wn__gpu_kron_accepts_batch(int64_t vectors, char *why, size_t n);

/* kron_f32.c: a factor of float32 numbers, no more blocks than a grid holds; the bytes of its
 * tiles; y (+)= its product, packed into `tiles` first. */
bool wn__gpu_kron_accepts_f32(const wn_tensor *w, char *why, size_t n);
size_t wn__gpu_kron_packed_f32(const wn_tensor *w);
WN_NODISCARD wn_status wn__gpu_kron_factor_f32(wn__gpu *gpu, const wn_tensor *w, const wn_tensor *x,
                                               const wn_tensor *y, float *tiles, bool accumulate);

/* What factor t of a chain gives the next, rows of whole 16 bytes, in one of two batches that take
 * turns from `at` on (NULL: its sizes); the bytes of as many of these as the chain needs. */
wn_tensor wn__gpu_kron_between(const wn__kron_mul *p, int t, char *at);
size_t wn__gpu_kron_between_bytes(const wn__kron_mul *p);

/* A chain factor by factor: y (+)= the product of one, with `each` bytes of scratch, which the
 * workspace begins with; the batches between stand behind them. The most of what factors take. */
typedef size_t wn__gpu_kron_bytes(const wn_tensor *w);
typedef wn_status wn__gpu_kron_run(wn__gpu *gpu, const wn_tensor *w, const wn_tensor *x,
                                   const wn_tensor *y, void *scratch, bool accumulate);
size_t wn__gpu_kron_most(const wn__kron_mul *p, wn__gpu_kron_bytes *bytes);
WN_NODISCARD wn_status wn__gpu_kron_chain(const wn__kron_mul *p, wn__exec *x, size_t each,
                                          wn__gpu_kron_run *run);

/* Whether a block of threads may have so many bytes of shared memory: 99 KiB on 8.6, 8.9 and 12.0,
 * more than twice as many on 9.0. */
bool wn__gpu_kron_room(const wn__gpu *gpu, int bytes);

/* Whether 16 bytes of features can be taken at once wherever their number is a multiple of eight.
 */
bool wn__gpu_kron_wide(const wn_tensor *t);

/* How many blocks of a factor lie side by side and are taken together: 16, 8, 4, or 0 where they
 * are taken one by one. `side`: numbers of a block along the features of the tensor. */
int wn__gpu_kron_lanes(const wn__kron_size *s, int64_t side, const wn_tensor *x);

/* Into how many parts `steps` equal steps are cut where each part is a row of `blocks` blocks of
 * threads, so that a GPU that runs `at_once` is busy: never by what GPU there is. A part costs as
 * much as `each` steps more. */
int wn__gpu_kron_parts(int64_t blocks, int64_t steps, int64_t at_once, int64_t each);

/* Of every vector `blocks` matrices [rows, columns], one behind the other, to [columns, rows]: both
 * sides multiples of eight. */
WN_NODISCARD wn_status wn__gpu_kron_turn_blocks(wn__gpu *gpu, const wn_tensor *x,
                                                const wn_tensor *y, int64_t blocks, int64_t rows,
                                                int64_t columns);

struct wn__gpu_kron_grad;
/* dw from the sums of all parts of the batch. */
WN_NODISCARD wn_status wn__gpu_kron_add_up(wn__gpu *gpu, struct wn__gpu_kron_grad *a, bool bf16);

/* kron_grad of float32 numbers (kron_grad_f32.c). */
bool wn__gpu_accepts_kron_grad_f32(const wn__kron_grad *p, char *why, size_t n);
size_t wn__gpu_workspace_kron_grad_f32(const wn__kron_grad *p);
WN_NODISCARD wn_status wn__gpu_run_kron_grad_f32(const wn__kron_grad *p, wn__exec *x);

#endif
