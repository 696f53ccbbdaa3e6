// SPDX-License-Identifier: MIT
/* Dense libraries that are measured beside ours. They are opened at run time, where they are found;
 * each has one file that knows its functions. Adding one: a file with a wn__peer_type and a line in
 * peer.c's list. */
#ifndef WN_BENCH_PEER_H
#define WN_BENCH_PEER_H

#include "winnow/status.h"
#include "winnow/tensor.h"
#include <stddef.h>

/* c[m,n] = a[m,k] b[k,n], c float32. Element (i,j) of a is a[i*a_row + j*a_column]; of b and c
 * likewise, with one of the strides 1. */
typedef struct wn__gemm {
    wn_dtype dtype; /* of a and b: F32 or BF16 */
    int64_t m, n, k;
    const void *a, *b;
    float *c;
    int64_t a_row, a_column, b_row, b_column;
    bool constant_b; /* b is a weight: a library may bring it into a form of its own beforehand */
} wn__gemm;

struct wn__peer;
typedef struct wn__peer_type {
    const char *name;
    const char *const *file; /* names to open, NULL-terminated */
    /* Looks up functions and the version. UNSUPPORTED says what is missing. */
    wn_status (*open)(struct wn__peer *p);
    /* The threads of the library from here on. NULL: OpenMP's. */
    void (*threads)(const struct wn__peer *p, int threads);
    /* Makes ready to run g again and again; g and its arrays stay. UNSUPPORTED: it cannot. */
    wn_status (*prepare)(const struct wn__peer *p, const wn__gemm *g, void **job);
    wn_status (*run)(void *job);
    void (*release)(void *job);
} wn__peer_type;

#define WN__PEER_TEXT 200
enum { WN__PEERS = 3, WN__PEER_FUNCTIONS = 24 };

typedef void wn__peer_function(void);

typedef struct wn__peer {
    const wn__peer_type *type;
    void *handle;             /* of dlopen; NULL: not found */
    char version[64];         /* "0.3.21 Zen" */
    char path[WN__PEER_TEXT]; /* of the file */
    char why[WN__PEER_TEXT];  /* it was not used */
    int generation;           /* where interfaces differ between versions */
    wn__peer_function *call[WN__PEER_FUNCTIONS];
} wn__peer;

typedef struct wn__peers {
    wn__peer peer[WN__PEERS];
} wn__peers;

/* Opens those that `wanted` names ("openblas,onednn"; "none"; NULL: all); one that is not found
 * says why. INVALID names an unknown one. To be called before the process is pinned. */
WN_NODISCARD wn_status wn__peers_open(wn__peers *peers, const char *wanted);
void wn__peers_close(wn__peers *peers);

/* How many threads the library uses from here on. */
void wn__peer_threads(const wn__peer *p, int threads);

/* Fills p->call[first ..] with functions of the library; UNSUPPORTED names the one it lacks. */
WN_NODISCARD wn_status wn__peer_lookup(wn__peer *p, int first, const char *const *name, int count);
/* One function, NULL when the library lacks it. */
wn__peer_function *wn__peer_find(const wn__peer *p, const char *name);

#endif
