// SPDX-License-Identifier: MIT
/* Arguments of the device code of embed, squared_error, gradient_norms and fit_update, for its host
 * side too. */
#ifndef WN_KERNELS_CUDA_ARGS_FIT_H
#define WN_KERNELS_CUDA_ARGS_FIT_H

#include <stdint.h>

enum {
    WN_FIT_THREADS = 256,
    WN_FIT_STRIP = 256,    /* columns of a block of threads of squared_error: 8 a lane */
    WN_FIT_CHUNK = 8192,   /* numbers of one of gradient_norms, all of one part */
    WN_FIT_PARTS_MOST = 72 /* as WN__FIT_PARTS */
};

/* Rows of `units` pieces of 16, 8, 4 or 2 bytes. */
typedef struct wn__gpu_embed {
    const int32_t *token;
    const void *table;
    void *out;
    int64_t n, rows, units; /* tokens; rows of the table */
    unsigned int *fault, number;
} wn__gpu_embed;

/* `parts` times `each` rows; each leaves sums of its columns [parts][m] and of squares
 * [parts][strips], which the second function adds in their order. */
typedef struct wn__gpu_squared_error {
    const void *y;
    const float *target, *bias; /* bias or NULL */
    void *gradient;             /* of the dtype of y, or NULL */
    float *columns, *dbias;     /* or NULL */
    double *squares, *sum;
    int64_t y_row, target_row, gradient_row;
    double sum_scale;
    float bias_scale, gradient_scale, dbias_scale;
    int n, m, each, parts, strips;
    int wide; /* 16 bytes at a time */
    int accumulate;
} wn__gpu_squared_error;

/* Chunks first[p] .. first[p + 1] are those of part p. */
typedef struct wn__gpu_gradient_norms {
    const float *g;
    double *squares, *sums, *factor;
    int64_t end[WN_FIT_PARTS_MOST];
    int first[WN_FIT_PARTS_MOST + 1];
    double scale, most;
    int parts;
} wn__gpu_gradient_norms;

typedef struct wn__gpu_fit_update {
    float *w, *m, *v;
    const float *g;
    uint16_t *rounded; /* of wn_fit_update_f32 NULL: w is all there is */
    const double *step, *factor;
    int64_t count;
    double decay, beta1, beta2, eps;
    int rule;
} wn__gpu_fit_update;

#endif
