// SPDX-License-Identifier: MIT
/* Where the time of a step goes: calls, seconds, FLOPs and bytes of every kernel, by part of the
 * step. An executor that carries a profile times each op it runs; one without pays for a look at a
 * pointer. */
#ifndef WN_KERNELS_PROFILE_H
#define WN_KERNELS_PROFILE_H

#include "kernels/op.h"

typedef enum wn__profile_part {
    WN_PROFILE_FORWARD,
    WN_PROFILE_HEAD, /* head and loss, both ways */
    WN_PROFILE_BACKWARD,
    WN_PROFILE_UPDATE, /* everything between the gradients and the next step */
    WN_PROFILE_PARTS
} wn__profile_part;

typedef struct wn__profile_cell {
    wn__profile_part part;
    const wn__kernel *kernel;
    int64_t calls;
    double seconds;
    double flops; /* executed, of products and attention; 0: the notion does not fit */
    double bytes; /* every input read once, every output written once; 0: unknown */
} wn__profile_cell;

typedef struct wn__profile {
    wn__profile_part part;  /* that the next op belongs to */
    wn__profile_cell *cell; /* [WN_PROFILE_PARTS][rows of the table] */
    size_t rows;
} wn__profile;

/* FLOPs that an op executes, of products and attention; 0: the notion does not fit. */
double wn__op_flops(wn__op op, const void *args);

WN_NODISCARD wn_status wn__profile_create(wn__profile **out);
void wn__profile_free(wn__profile *p); /* NULL is fine */
const char *wn__profile_part_name(wn__profile_part part);

/* The part of the step that begins now; nothing without a profile. */
static inline void wn__profile_enter(const wn__exec *x, wn__profile_part part) {
    if (x->profile != NULL) x->profile->part = part;
}

/* One run of row `row` of the table. */
void wn__profile_add(wn__profile *p, size_t row, const void *args, double seconds);
/* Cells with calls, most seconds first: at most n of them into out; returns how many. */
size_t wn__profile_list(const wn__profile *p, const wn__profile_cell **out, size_t n);

#endif
