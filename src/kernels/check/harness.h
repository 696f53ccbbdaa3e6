// SPDX-License-Identifier: MIT
/* The kernel harness: one description of an op's cases checks every variant, times it and explains
 * its selection.
 *
 * A problem is a list of named integers ("m=3,n=5,dtype=bf16"). A case is a problem with arguments
 * and data, which are a pure function of (problem, seed). `ref` runs on the same data in double; a
 * variant must lie within the bound that the op's case file derives from the contract, element by
 * element, or agree bit for bit where the contract says so. */
#ifndef WN_KERNELS_CHECK_HARNESS_H
#define WN_KERNELS_CHECK_HARNESS_H

#include "kernels/op.h"

enum { WN__MAX_FIELDS = 16, WN__MAX_PARTS = 9, WN__PROBLEM_TEXT = 320 };

/* One named integer of a problem. With words it is one of them, counted from 0. Sizes (sweep > 0)
 * are drawn up to `sweep`, now and then up to `large`; other fields uniformly, every second time
 * the usual value. */
typedef struct wn__field {
    const char *name;
    int64_t least, most, usual;
    int64_t sweep, large;
    const char *const *words; /* NULL-terminated; NULL: a plain number */
} wn__field;

typedef struct wn__problem {
    int64_t value[WN__MAX_FIELDS];
} wn__problem;

/* What the data of a case look like; not every op takes every kind. */
typedef enum wn__data {
    WN__DATA_NORMAL,   /* N(0,1) */
    WN__DATA_INTEGERS, /* -4 .. 4: sums of products are exact */
    WN__DATA_WILD,     /* magnitudes over 40 binades (16 for F16), either sign */
    WN__DATA_TINY,     /* denormals, both zeros, and a few ordinary values */
    WN__DATA_INFINITE, /* N(0,1), infinities, a few NaN */
    WN__DATA_TIES,     /* of a handful of magnitudes, both signs, both zeros */
    WN__DATA_NAN       /* N(0,1), a few NaN */
} wn__data;
extern const char *const wn__data_words[];
extern const char
    *const wn__dtype_words[]; /* f64 f32 bf16 f16: the value is the wn_dtype less one */

#define WN__FIELD_SIZE(name, least, usual, sweep, large)                                           \
    { name, least, INT64_C(1) << 31, usual, sweep, large, NULL }
#define WN__FIELD_CHOICE(name, least, most, usual)                                                 \
    { name, least, most, usual, 0, 0, NULL }
#define WN__FIELD_FLAG(name, usual)                                                                \
    { name, 0, 1, usual, 0, 0, NULL }
#define WN__FIELD_WORDS(name, most, usual, words)                                                  \
    { name, 0, most, usual, 0, 0, words }
#define WN__FIELD_DTYPE      WN__FIELD_WORDS("dtype", 3, 1, wn__dtype_words)
#define WN__FIELD_DATA(most) WN__FIELD_WORDS("data", most, 0, wn__data_words)

typedef enum wn__role {
    WN__READ,  /* must not change */
    WN__WRITE, /* poisoned before the run */
    WN__UPDATE /* in and out */
} wn__role;

/* One tensor of the arguments. Arrays are packed, in row-major order of the shape, whatever the
 * strides are. */
typedef struct wn__part {
    const char *name;
    size_t offset; /* of its wn_tensor in the argument struct */
    wn__role role;
    int same;       /* the part whose memory this one is; -1: its own */
    bool instead;   /* read in place of another part, so no bytes of its own */
    wn_tensor view; /* data NULL */
    int64_t count;
    void *image;    /* elements before the run; poison if written only */
    double *before; /* the same as double; NULL for integers */
    void *exact;    /* written parts of exact ops, and integers: what ref gives */
    double *want;   /* written parts of other ops: what ref gives in double, */
    double *sum;    /* the sum of the magnitudes of the terms (multilinear ops), */
    double *bound;  /* and the largest error allowed; less than zero: or a NaN */
} wn__part;

typedef enum wn__compare {
    WN__WITHIN_BOUND,
    WN__SAME_VALUES, /* bit for bit, but any NaN equals any NaN */
    WN__SAME_BITS
} wn__compare;

struct wn__case_type;
typedef struct wn__case {
    const struct wn__case_type *type;
    wn__problem problem;
    char text[WN__PROBLEM_TEXT];
    uint64_t seed;      /* as given, for the message */
    uint64_t key, next; /* of the draws */
    wn__compare compare;
    void *args;
    wn__part part[WN__MAX_PARTS];
    int parts;
    int bounded;     /* parts have the bounds of ref's own run (2), of others (1), none (0) */
    bool referenced; /* what ref says: */
    wn_status status;
    char message[256];
} wn__case;

/* Unit round-offs that a bound is made of: of the stored result, of the arithmetic, and the
 * smallest number it does not lose. */
typedef struct wn__round {
    double out, acc, eta;
} wn__round;

typedef struct wn__case_type {
    wn__op op;
    size_t args_size;
    const wn__field *fields;
    int field_count;
    wn__compare compare;
    bool multilinear;              /* ref on absolute values gives part.sum */
    int align;                     /* bytes that data begin at a multiple of; 0: of an element */
    void (*settle)(wn__problem *); /* makes drawn values agree; may be NULL */
    void (*declare)(wn__case *);   /* arguments and parts, without data */
    void (*fill)(wn__case *);      /* images */
    void (*bound)(wn__case *, const wn__round *);
    double (*flops)(const wn__problem *); /* executed; NULL: the notion does not fit */
    /* The dense op that does the same work, timed beside a sparse one; NULL: none. Writes its
     * problem into text. */
    void (*baseline)(const wn__problem *, wn__op *op, char *text, size_t n);
    const char *alone; /* the field that counts rows of parts which do not look at each other */
} wn__case_type;

/* cases.c: every op has one, wn__cases_<op>, or the library does not link. */
const wn__case_type *wn__case_type_of(wn__op op);

/* ---- problem.c */

/* Case number `index` of a seed. */
void wn__problem_draw(const wn__case_type *type, uint64_t seed, int64_t index, wn__problem *out);
/* Missing fields take their usual value. INVALID names the field, the value and what is legal. */
WN_NODISCARD wn_status wn__problem_parse(const wn__case_type *type, const char *text,
                                         wn__problem *out);
/* The fields that are not usual. */
void wn__problem_format(const wn__case_type *type, const wn__problem *p, char *out, size_t n);

/* ---- case.c */

/* Declares the arguments; with_data: allocates and fills images too. */
WN_NODISCARD wn_status wn__case_create(const wn__case_type *type, const wn__problem *p,
                                       uint64_t seed, bool with_data, wn__case **out);
void wn__case_free(wn__case *c);

/* For declare: a part at `slot` of c->args, seen through `view`. */
wn__part *wn__case_part(wn__case *c, const char *name, wn_tensor *slot, wn__role role,
                        wn_tensor view);
/* [a, b] with rows `pad` elements longer than b; transposed: columns `pad` longer than a, unit
 * stride along a. */
wn_tensor wn__view2(wn_dtype dtype, int64_t a, int64_t b, int64_t pad);
wn_tensor wn__view2_transposed(wn_dtype dtype, int64_t a, int64_t b, int64_t pad);
wn_tensor wn__view4(wn_dtype dtype, const int64_t shape[4], int64_t pad);
/* The part lies on another one's memory. */
void wn__part_share(wn__case *c, wn__part *p, const wn__part *with);
static inline wn_dtype wn__case_dtype(const wn__case *c, int field) {
    return (wn_dtype)(c->problem.value[field] + 1);
}
bool wn__is_float(wn_dtype dtype);

/* For fill: draws in order, and elements of an image. */
int64_t wn__case_draw(wn__case *c, int64_t low, int64_t high); /* uniform, both ends included */
double wn__case_draw_normal(wn__case *c);
void wn__part_set(wn__part *p, int64_t i, double value);
double wn__part_get(const wn__part *p, int64_t i);
/* One value of a kind, for a dtype; and all of an image. */
double wn__case_value(wn__case *c, wn__data kind, wn_dtype dtype);
void wn__part_fill(wn__case *c, wn__part *p, wn__data kind);
/* All float parts that are read. */
void wn__case_fill(wn__case *c, wn__data kind);
/* The part of that name. */
wn__part *wn__case_find(wn__case *c, const char *name);

/* Unit round-offs of a dtype: 2^-p. */
double wn__unit(wn_dtype dtype);
double wn__smallest(wn_dtype dtype);
double wn__largest(wn_dtype dtype);

/* For bound. u_out |y| + eta / 2, the rounding of the stored result. */
static inline double wn__stored(const wn__round *r, double y) {
    return r->out * (y < 0 ? -y : y) + r->eta;
}
/* The written part of a multilinear op with `terms` terms in each sum: u_out|y| + 2 terms u_acc
 * sum|a||b|, and as many of the smallest numbers that are not lost as there are roundings. With
 * integers for data every partial sum is exact, and so must be the result. */
void wn__bound_sum(wn__part *p, const wn__round *r, double terms, bool integers);
/* The rounding of sums that are stored in the dtype of p while operands have another. */
wn__round wn__round_stored(const wn__round *r, const wn__part *p);
/* Vectors of k numbers in the packed image of a part. */
typedef struct wn__vectors {
    const wn__part *part;
    int64_t next, step, k; /* from one vector to the next, and along k */
} wn__vectors;
/* Widens the bound of p[rows,columns], products of vectors of bfloat16 numbers, by what the
 * contract grants where subnormals are taken for zeros: 2^-126 of both sums of magnitudes and of
 * two flushed sums a term. Nothing for ref, which takes them as they are. */
void wn__bound_flushed(wn__part *p, const wn__round *r, const wn__vectors *rows,
                       const wn__vectors *columns, double terms);
/* Makes bfloat16 numbers of what a float part was filled with. */
void wn__part_round16(wn__part *p);

/* ---- stage.c: a case in memory, run once */

typedef struct wn__stage {
    const wn__case *c;
    void *args;
    struct {
        unsigned char *block, *before; /* the whole allocation, and a copy of it */
        size_t size;
        char *on_gpu;
    } memory[WN__MAX_PARTS];
    char *scratch;
    wn__gpu *gpu;      /* set by the caller, for kernels that run on it, */
    const char *way;   /* the way that one of them takes, or NULL, */
    wn__ways *ways;    /* and where it lists what it has, or NULL */
    wn__arena on_gpu;  /* copies of every allocation while it is there */
    wn__exec gpu_exec; /* runs them */
} wn__stage;

/* Places every part: misaligned by `shift` elements, guards around it, poison in gaps and outputs.
 */
WN_NODISCARD wn_status wn__stage_create(const wn__case *c, int shift, wn__stage *out);
void wn__stage_free(wn__stage *s); /* safe on a zeroed struct */
/* Moves every allocation, guards included, to s->gpu and back; in between s->args lie there and
 * s->gpu_exec has the workspace that k asks for. */
WN_NODISCARD wn_status wn__stage_to_gpu(wn__stage *s, const wn__kernel *k);
WN_NODISCARD wn_status wn__stage_from_gpu(wn__stage *s);
/* Runs k with exactly the workspace it asks for, poisoned; on s->gpu if that is where k runs. */
WN_NODISCARD wn_status wn__stage_run(wn__stage *s, const wn__kernel *k, wn__pool *pool);
/* Whether nothing but the elements of written parts changed; if not, says where in why[n]. */
bool wn__stage_intact(wn__stage *s, char *why, size_t n);
/* The elements of a part, packed. */
void wn__stage_gather(const wn__stage *s, int part, void *out);
wn_tensor *wn__stage_tensor(const wn__stage *s, int part);

/* ---- reference.c */

/* Runs ref once: fills part.exact, or want and sum; or status and message when ref refuses the
 * data. */
WN_NODISCARD wn_status wn__case_reference(wn__case *c);

/* ---- compare.c */

/* Outputs of one run: packed elements of each written part, NULL for others. */
typedef struct wn__outputs {
    void *part[WN__MAX_PARTS];
} wn__outputs;
WN_NODISCARD wn_status wn__outputs_take(const wn__stage *s, wn__outputs *out);
void wn__outputs_free(wn__outputs *o);
/* Whether both runs gave the same bits; if not, names the element. */
bool wn__outputs_same(const wn__case *c, const wn__outputs *a, const wn__outputs *b, char *why,
                      size_t n);
/* Whether a run agrees with ref as the case demands. is_ref: the outputs are those of ref itself,
 * which computes in double. *worst: the largest |error| / bound. */
bool wn__outputs_right(wn__case *c, const wn__outputs *o, bool is_ref, double *worst, char *why,
                       size_t n);

/* ---- harness.c, rows.c */

/* Pools of the runs that must agree bit for bit: none, two threads, N; the GPU of rows that run on
 * one. */
typedef struct wn__check_pools {
    wn__pool *two, *many;
    wn__gpu *gpu;
} wn__check_pools;

/* The way that a kernel takes, or NULL, and where it lists what it has, or NULL. */
typedef struct wn__check_way {
    const char *way;
    wn__ways *ways;
} wn__check_way;

/* Nothing that runs here was selected by the globs (NULL: all), as `what` says: INVALID, or
 * UNSUPPORTED with what this machine lacks if they name rows and all of those need it. */
wn_status wn__fail_selection(const char *op, const char *variant, const char *what);

/* Every check of one kernel on one case. *fits: it accepts the arguments (nothing is checked if
 * not). why[n] is "" when it passed. */
WN_NODISCARD wn_status wn__check_kernel(wn__case *c, const wn__kernel *k,
                                        const wn__check_pools *pools, bool *fits, double *worst,
                                        char *why, size_t n);
/* As many rows of a case as ref does in that many FLOPs, with the same numbers; NULL where it has
 * none that go alone, or one is too much. */
WN_NODISCARD wn_status wn__case_rows(const wn__case *all, double flops, wn__case **out);
/* Runs all of a case, in some way, and compares those rows with ref. why[n] is "" when they agree.
 */
WN_NODISCARD wn_status wn__check_rows(wn__case *few, const wn__case *all, const wn__kernel *k,
                                      wn__check_way way, const wn__check_pools *pools, char *why,
                                      size_t n);

#endif
