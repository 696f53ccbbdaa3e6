// SPDX-License-Identifier: MIT
// GaLore: a matrix's gradient is seen through its own leading singular vectors, chosen anew every
// galore_gap updates; Adam's moments live in that small space, and the step comes back from it.
#include "base/fail.h"
#include "kernels/matmul.h"
#include "optim/internal.h"
#include <math.h>
#include <string.h>

enum { M, V, LEFT, RIGHT };           // states: P_left [m,r], P_right [r,n]
enum { ON_LEFT = 1, ON_RIGHT, BOTH }; // sides a gradient is projected on
enum { BY_SHAPE = BOTH + 1, AGAINST_SHAPE };

static const struct {
    const char *name;
    int sides;
} types[] = {{"std", BY_SHAPE},
             {"reverse_std", AGAINST_SHAPE},
             {"left", ON_LEFT},
             {"right", ON_RIGHT},
             {"full", BOTH}};

#define TYPES (sizeof types / sizeof types[0])

// TYPES for an unknown one. No type is the first.
static size_t type_of(const char *name) {
    size_t i = 0;
    while (name != NULL && i < TYPES && strcmp(name, types[i].name) != 0)
        i++;
    return i;
}

static wn_status check(const wn__optimizer_options *o) {
    if (type_of(o->galore_type) == TYPES)
        return wn__fail(WN_INVALID,
                        "GaLore's projection '%s' is unknown; legal: std, reverse_std, left, "
                        "right, full",
                        o->galore_type);
    if (o->galore_rank < 1 || o->galore_gap < 1)
        return wn__fail(WN_INVALID, "GaLore's rank is %lld and its gap %lld; both at least 1",
                        (long long)o->galore_rank, (long long)o->galore_gap);
    if (!isfinite(o->galore_scale))
        return wn__fail(WN_INVALID, "GaLore's scale is %g", o->galore_scale);
    return wn__direction_check(o);
}

static void prepare(wn__optimizer *o) {
    size_t type = type_of(o->options.galore_type);
    o->sides = types[type].sides;
    o->options.galore_type = types[type].name; // the caller's text may not live on
}

static bool projected(const wn__param *p) {
    return p->w.ndim == 2 && p->role == WN_PARAM_REGULAR &&
           (strstr(p->name, ".self_attn.") != NULL || strstr(p->name, ".mlp.") != NULL);
}

static int sides_of(const wn__optimizer *o, int64_t m, int64_t n) {
    int small = wn__lowrank_side(m, n) == WN__SIDE_LEFT ? ON_LEFT : ON_RIGHT;
    if (o->sides == BY_SHAPE) return small;
    return o->sides == AGAINST_SHAPE ? BOTH - small : o->sides;
}

// How one matrix [m,n] is seen.
typedef struct view {
    int sides;
    int64_t m, n, r;       // r: at most min(m,n)
    int64_t rows, columns; // of the small gradient
} view;

static view view_of(const wn__optimizer *o, const wn__param *p) {
    view v = {.m = p->g.shape[0], .n = p->g.shape[1], .r = o->options.galore_rank};
    int64_t most = v.m < v.n ? v.m : v.n;
    if (v.r > most) v.r = most;
    v.sides = sides_of(o, v.m, v.n);
    v.rows = v.sides & ON_LEFT ? v.r : v.m;
    v.columns = v.sides & ON_RIGHT ? v.r : v.n;
    return v;
}

// The small gradient, and with two sides what lies between: [r,n].
static wn_tensor small_gradient(const wn__optimizer *o, const view *v, wn_dtype dtype) {
    return wn__tensor2(o->scratch, dtype, v->rows, v->columns);
}

static wn_tensor between(const wn__optimizer *o, const view *v, wn_dtype dtype) {
    size_t used = (size_t)(v->rows * v->columns) * wn_dtype_size(dtype);
    used = (used + WN_ARENA_ALIGN - 1) / WN_ARENA_ALIGN * WN_ARENA_ALIGN;
    char *at = o->scratch != NULL ? (char *)o->scratch + used : NULL;
    return wn__tensor2(at, dtype, v->r, v->n);
}

static wn_status build(wn__optimizer *o, wn__params *p, size_t i, wn__arena *arena) {
    wn__param *t = &p->item[i];
    if (!projected(t)) return wn__moments_build(o, p, i, arena);
    const view v = view_of(o, t);
    wn_dtype dtype = t->g.dtype;
    WN_TRY(wn__tensor_alloc2(arena, dtype, v.rows, v.columns, &t->state[M]));
    WN_TRY(wn__tensor_alloc2(arena, dtype, v.rows, v.columns, &t->state[V]));
    if (v.sides & ON_LEFT) WN_TRY(wn__tensor_alloc2(arena, dtype, v.m, v.r, &t->state[LEFT]));
    if (v.sides & ON_RIGHT) WN_TRY(wn__tensor_alloc2(arena, dtype, v.r, v.n, &t->state[RIGHT]));
    size_t room = (size_t)(v.rows * v.columns + v.r * v.n) * wn_dtype_size(dtype);
    WN_TRY(wn__optimizer_wish(o, t, room + 2 * WN_ARENA_ALIGN));
    return wn__optimizer_wish(o, t, wn__lowrank_projector_scratch(v.m, v.n));
}

static wn_status choose(const wn__optimizer_step *s, const wn__param *p) {
    void *scratch = s->o->scratch;
    if (wn__given(&p->state[LEFT]))
        WN_TRY(wn__lowrank_projector(NULL, s->x, &p->g, WN__SIDE_LEFT, &p->state[LEFT], scratch,
                                     NULL));
    if (!wn__given(&p->state[RIGHT])) return WN_OK;
    return wn__lowrank_projector(NULL, s->x, &p->g, WN__SIDE_RIGHT, &p->state[RIGHT], scratch,
                                 NULL);
}

static wn_status product(wn__exec *x, const wn_tensor *a, const wn_tensor *b, const wn_tensor *c) {
    const wn__matmul args = {.a = *a, .b = *b, .c = *c};
    return wn__run(x, WN__OP_matmul, &args);
}

// small = P_left^T g P_right^T, of the sides there are
static wn_status project(const wn__optimizer_step *s, const wn__param *p, const view *v,
                         const wn_tensor *small) {
    const wn_tensor half = between(s->o, v, p->g.dtype);
    const wn_tensor left = wn__tensor_transpose(&p->state[LEFT]),
                    right = wn__tensor_transpose(&p->state[RIGHT]);
    if (v->sides == ON_LEFT) return product(s->x, &left, &p->g, small);
    if (v->sides == ON_RIGHT) return product(s->x, &p->g, &right, small);
    WN_TRY(product(s->x, &left, &p->g, &half));
    return product(s->x, &half, &right, small);
}

// g = P_left small P_right
static wn_status project_back(const wn__optimizer_step *s, const wn__param *p, const view *v,
                              const wn_tensor *small) {
    const wn_tensor half = between(s->o, v, p->g.dtype);
    if (v->sides == ON_LEFT) return product(s->x, &p->state[LEFT], small, &p->g);
    if (v->sides == ON_RIGHT) return product(s->x, small, &p->state[RIGHT], &p->g);
    WN_TRY(product(s->x, small, &p->state[RIGHT], &half));
    return product(s->x, &p->state[LEFT], &half, &p->g);
}

static wn_status update(wn__optimizer_step *s, size_t i, int64_t t) {
    const wn__param *p = &s->p->item[i];
    if (!projected(p)) return wn__plain_step(s, i, t);
    const view v = view_of(s->o, p);
    const wn_tensor small = small_gradient(s->o, &v, p->g.dtype);
    if (s->x->planning || (t - 1) % s->o->options.galore_gap == 0) WN_TRY(choose(s, p));
    WN_TRY(project(s, p, &v, &small));
    WN_TRY(wn__direction(s, p, &small));
    WN_TRY(project_back(s, p, &v, &small));
    double step = wn__corrected_lr(s, t) * s->o->options.galore_scale;
    return wn__move(s, p, step, &p->g, s->lr * wn__decay_of(s->o, p));
}

const wn__optimizer_rule wn__rule_galore_adamw = {.name = "galore_adamw",
                                                  .state = {"m", "v", "left", "right"},
                                                  .check = check,
                                                  .prepare = prepare,
                                                  .build = build,
                                                  .update = update};
