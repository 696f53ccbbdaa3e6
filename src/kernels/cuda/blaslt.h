// SPDX-License-Identifier: MIT
/* Dense products by NVIDIA's cuBLASLt, which is opened at run time where it is found. */
#ifndef WN_KERNELS_CUDA_BLASLT_H
#define WN_KERNELS_CUDA_BLASLT_H

#include "kernels/cuda/blaslt_abi.h"
#include "kernels/matmul.h"
#include "kernels/op.h"

enum { WN_LT_CHOICES = WN__MOST_WAYS };

/* The functions of the library, opened once a process. UNSUPPORTED says why there are none. */
WN_NODISCARD wn_status wn__blaslt_find(const wn__lt_api **out);

/* Whether there are; the last error stays what it was. */
bool wn__blaslt_there(void);

/* The library on one device, and what it said about the products it was asked for. */
typedef struct wn__blaslt wn__blaslt;
WN_NODISCARD wn_status wn__blaslt_open(wn__cuda *d, wn__blaslt **out);
void wn__blaslt_close(wn__blaslt *b); /* NULL is fine */

/* A product in the library's words: column-major, so the transposes of c = a b, and with its
 * alignments. Zeroed before it is filled, for it is compared byte by byte. */
typedef struct wn__lt_shape {
    int64_t rows, columns, inner;                   /* n, m, k of matmul */
    int64_t lead_a, lead_b, lead_c;                 /* c: the result, and what it is added to */
    int in, out;                                    /* types of data */
    int transposed_a, transposed_b;                 /* a is matmul's b and b its a */
    int bias, reductions;                           /* which reductions may be made */
    int scales;                                     /* of 8 bits: WN_LT_SCALE_ONE or _ROWS */
    int batch;                                      /* equal products; 0: one */
    int64_t step_a, step_b, step_c;                 /* from one to the next, in elements */
    uint32_t align_a, align_b, align_c, align_bias; /* the last: 0 without */
    size_t workspace;
} wn__lt_shape;

/* False and why[n]: what cuBLASLt cannot do, or is not asked to. U8 is codes of E4M3. */
bool wn__blaslt_shape(const wn__matmul *p, wn__lt_shape *out, char *why, size_t n);
/* Bytes of workspace worth having; and for so many products at once. */
size_t wn__blaslt_workspace(const wn__matmul *p);
size_t wn__blaslt_workspace_of(const wn__matmul *p, int64_t count);
/* `count` such products, whose operands lie these steps apart (in elements: of a, b, c of matmul);
 * and that others lie so far apart from them that are asked for with the same words. */
void wn__blaslt_repeat(wn__lt_shape *s, int count, const int64_t step[3]);
void wn__blaslt_apart(wn__lt_shape *s, const int64_t step[3]);

typedef struct wn__lt_plan {
    wn__lt_shape shape;
    int wanted, found;
    wn__lt_choice choice[WN_LT_CHOICES]; /* the library's first choice first */
    wn__lt_matmul matmul;
    wn__lt_layout a, b, c;
    bool said; /* that it is taken in place of a way that is not there */
    struct wn__lt_plan *next;
} wn__lt_plan;

/* Up to `wanted` ways to do it, asked of the library once and kept; never while a graph is
 * captured. UNSUPPORTED: it has none. */
WN_NODISCARD wn_status wn__blaslt_plan(wn__blaslt *b, const wn__lt_shape *s, int wanted,
                                       const wn__lt_plan **out);
/* Way *i of *plan: the one that x->way names, one of the first WN_LT_CHOICES that the library
 * proposes for the product, as "cublaslt/130200/3/9f3ac17be0d24c11": its version, the place among
 * them, and a hash of the algorithm's words, which NVIDIA lets programs keep for the version. One
 * of another version, or that is not among them, is said once, and what the library chooses is
 * taken, as without x->way. Lists them in x->ways. */
WN_NODISCARD wn_status wn__blaslt_way(wn__blaslt *b, const wn__lt_shape *s, const wn__exec *x,
                                      const wn__lt_plan **plan, int *i);
/* Whether a text is one that names a way, of whichever version. */
bool wn__blaslt_is_way(const char *way);
/* Whether a way is of this library's version; if not, says why in why[n]. That it is among what the
 * library proposes for a product is seen when that runs. */
bool wn__blaslt_knows(const char *way, char *why, size_t n);
/* The scales of a plan of 8-bit numbers, for the runs that follow: of matmul's b and a. */
WN_NODISCARD wn_status wn__blaslt_scale(wn__blaslt *b, const wn__lt_plan *plan, const void *of_b,
                                        const void *of_a);
/* Queues way i of a plan. */
WN_NODISCARD wn_status wn__blaslt_run(wn__blaslt *b, const wn__lt_plan *plan, int i,
                                      const wn__matmul *p, void *workspace);

#endif
