// SPDX-License-Identifier: MIT
// Cutting products with Kronecker-sparse factors, and the workspace that takes.
#include "kernels/simd/kron_plan.h"
#include "base/cpu.h"
#include "kernels/simd/accepts.h"

#include <stdio.h>

#define LINE  16 // floats of a cache line
#define SMALL 64 // inputs or outputs of a task of one factor, at least

static int64_t most(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

// Whether the factors can be read as they lie, so few vectors are there.
static bool are_few(const wn__kron_mul *p) {
    if (p->x.shape[0] > WN_KRON_FEW) return false;
    for (int t = 0; t < p->count; t++) {
        const wn_tensor *w = &p->w[t];
        if (w->stride[1] != 1 && w->stride[2] != 1) return false;
        if (w->shape[1] * w->shape[2] < WN_KRON_BLOCK) return false;
    }
    return true;
}

static wn__kron_plan few_plan(const wn__kron_mul *p) {
    wn__kron_plan plan = {.few = true, .few_width = wn__kron_line(wn__kron_mul_width(p))};
    for (int t = 0; t < p->count; t++) {
        plan.few_inputs = most(plan.few_inputs, wn__kron_line(p->w[t].shape[2]));
        plan.few_outputs = most(plan.few_outputs, wn__kron_line(p->w[t].shape[1]));
    }
    plan.worker = p->x.shape[0] * (plan.few_inputs + plan.few_outputs);
    return plan;
}

static int64_t parts(int64_t n, int64_t each) {
    return (n + each - 1) / each;
}

// What one factor takes of a core with 512 KiB or 2 MiB of L2.
typedef struct near {
    int64_t rows, k, vectors, floats;
} near;
static const near avx2 = {WN_KRON_AVX2_ROWS, 128, 128, (int64_t)80 << 10};
static const near avx512 = {WN_KRON_AVX512_ROWS, 192, 128, (int64_t)320 << 10};

static void cut_outputs(wn__kron_one *one, int64_t b, int64_t rows) {
    one->tiles = parts(b, rows);
    one->parts_j = least(one->parts_j, one->tiles);
    one->rows = least(b, parts(one->tiles, one->parts_j) * rows);
    one->out = one->rows | 1;
}

static wn__kron_one one_plan(const wn__kron_mul *p, int64_t lanes) {
    const near *n = lanes == WN_KRON_AVX512_LANES ? &avx512 : &avx2;
    wn__kron_size s = wn__kron_size_of(&p->w[0]);
    wn__kron_one one = {.parts_j = 1};
    one.l = s.d > LINE && s.d % LINE == 0 ? LINE : s.d;
    if (p->count > 1 || s.c * one.l < SMALL || s.b * one.l < SMALL) return one;
    one.parts_l = s.d / one.l;
    one.slices = parts(s.c, n->k);
    one.k = parts(s.c, one.slices);
    one.in = one.k | 1;
    one.tile = wn__kron_line(one.k * n->rows + LINE);
    one.panels = least(parts(p->x.shape[0], lanes), n->vectors / lanes);
    cut_outputs(&one, s.b, n->rows);
    while (one.l * (one.in + one.out) * lanes * one.panels > n->floats) {
        if (one.tiles > one.parts_j && (one.rows > one.panels * lanes || one.panels == 1))
            one.parts_j *= 2;
        else if (one.panels > 1)
            one.panels = parts(one.panels, 2);
        else
            break;
        cut_outputs(&one, s.b, n->rows);
    }
    while (one.panels > 1 &&
           s.a * one.parts_l * one.parts_j * parts(p->x.shape[0], one.panels * lanes) <
               WN_KRON_ENOUGH)
        one.panels = parts(one.panels, 2);
    one.chunks = parts(p->x.shape[0], one.panels * lanes);
    one.place_x = wn__kron_line(one.l * one.k);
    one.place_y = wn__kron_line(one.l * one.rows);
    return one;
}

static bool features_side_by_side(const wn_tensor *t) {
    return t->stride[1] == 1 || t->shape[1] < 2;
}

// What it takes of a core: a strip of weights stays in L1 (12 to 16 KiB) or, with vectors of 64
// bytes, in L2, as inputs and sums, if any, do. More tokens share weights that every task packs,
// where there are sums anyway. Weights that are packed once may come again for fewer tokens, and
// sums cost more than that: inputs of a block are taken whole where L2 has room for those of a few.
typedef struct beside {
    int64_t k, tokens, strips;
} beside;
static const beside beside_avx2 = {96, 128, 8}, beside_avx2_whole = {128, 64, 8},
                    beside_avx2_4_whole = {128, 128, 8}, beside_avx512_4 = {400, 128, 8},
                    beside_avx512_4_whole = {192, 256, 8};
enum { BESIDE_FLOATS = 150000, BESIDE_LEAST = 24, BESIDE_MOST = 96, BESIDE_OFTEN = 768 };

static beside taken_beside(int64_t c, int64_t vector, int64_t d, bool once) {
    if (vector != 16 && c > beside_avx2_whole.k) return beside_avx2;
    if (vector != 16) return d == 4 ? beside_avx2_4_whole : beside_avx2_whole;
    if (!once) return c > beside_avx512_4_whole.k ? beside_avx512_4 : beside_avx512_4_whole;
    const int64_t whole = BESIDE_FLOATS / (BESIDE_LEAST * d), slices = parts(c, whole);
    const int64_t each = WN_KRON_SIDE_TOKENS(vector);
    const int64_t tokens = BESIDE_FLOATS / (parts(c, slices) * d) / each * each;
    return (beside){whole, least(tokens, BESIDE_MOST), 8};
}

// Vectors of 64 bytes transpose in few cycles, and AMD's cores, which multiply one of them a cycle,
// keep up with the lines of inputs, weights and sums; cores that multiply two do for small blocks.
static bool better_beside(const wn__kron_size *s, int64_t vector, int64_t d) {
    if (vector != 16) return true;
    if (wn__cpu_amd()) return d != 8;
    return d == 4 && least(s->b, s->c) <= SMALL;
}

// Whether weights are read where they lie.
static bool lie_as_read(const wn_tensor *w, int64_t d) {
    return w->dtype == WN_DTYPE_F32 && w->stride[3] == 1 && w->stride[2] == d && w->shape[3] == d;
}

static wn__kron_side side_plan(const wn__kron_mul *p, int64_t vector) {
    const wn__kron_size s = wn__kron_size_of(&p->w[0]);
    wn__kron_side side = {0};
    const int64_t d = s.d % vector == 0 ? vector : s.d;
    if (p->count > 1 || d % 4 != 0 || vector % d != 0) return side;
    if (!better_beside(&s, vector, d)) return side;
    const bool once = vector == 16 && (d != 4 || p->x.shape[0] >= BESIDE_OFTEN);
    const beside n = taken_beside(s.c, vector, d, once);
    if (!features_side_by_side(&p->x) || !features_side_by_side(&p->y)) return side;
    const int64_t batch = p->x.shape[0];
    if (s.c * d < SMALL || s.b * d < SMALL || batch < WN_KRON_SIDE_LEAST(vector)) return side;
    side.d = d;
    side.parts_l = s.d / d;
    side.slices = parts(s.c, n.k);
    side.k = parts(s.c, side.slices);
    side.strips = parts(parts(s.b * d, vector), WN_KRON_SIDE_VECTORS);
    side.chunks = parts(batch, n.tokens);
    side.parts_j = 1;
    while (s.a * side.parts_l * side.chunks * side.parts_j < WN_KRON_ENOUGH &&
           side.strips >= 2 * side.parts_j * n.strips)
        side.parts_j *= 2;
    while (s.a * side.parts_l * side.chunks * side.parts_j < WN_KRON_ENOUGH &&
           batch > SMALL * side.chunks)
        side.chunks *= 2;
    side.tokens = parts(batch, side.chunks);
    const int64_t weights = s.a * side.parts_l * s.c * parts(s.b * d, vector) * vector;
    if (once && side.chunks >= WN_KRON_OFTEN && !lie_as_read(&p->w[0], vector)) side.all = weights;
    side.inner = once && weights < WN_KRON_STAY;
    side.row = wn__kron_line(side.k * d) / LINE % 2 == 0 ? wn__kron_line(side.k * d) + LINE
                                                         : wn__kron_line(side.k * d);
    return side;
}

static bool tokens_side_by_side(const wn_tensor *t) {
    return t->stride[0] == 1 && t->stride[1] >= t->shape[0];
}

// Of a core's L2: inputs of a block that are taken whole, and at a time where there are more (so
// that more tokens share packed weights), tokens, floats of inputs of a task.
typedef struct rows_near {
    int64_t whole, k, tokens, floats;
} rows_near;
static const rows_near rows_avx2 = {128, 96, 256, (int64_t)64 << 10},
                       rows_avx512 = {192, 128, 256, (int64_t)128 << 10};

static wn__kron_last last_plan(const wn__kron_mul *p, int64_t lanes) {
    const rows_near *n = lanes == WN_KRON_AVX512_LANES ? &rows_avx512 : &rows_avx2;
    const int64_t rows = lanes == WN_KRON_AVX512_LANES ? WN_KRON_AVX512_ROWS : WN_KRON_AVX2_ROWS;
    const wn__kron_size s = wn__kron_size_of(&p->w[0]);
    const int64_t batch = p->x.shape[0];
    wn__kron_last last = {.parts_j = 1};
    if (p->count > 1 || !tokens_side_by_side(&p->x) || !tokens_side_by_side(&p->y)) return last;
    if (s.c < LINE || s.b < LINE) return last;
    last.l = s.d % 4 == 0 ? 4 : s.d < 4 ? s.d : 1;
    last.parts_l = s.d / last.l;
    last.slices = s.c > n->whole ? parts(s.c, n->k) : 1;
    last.k = parts(s.c, last.slices);
    last.tiles = parts(s.b, rows);
    last.panels = least(parts(batch, lanes), n->tokens / lanes);
    while (last.panels > 1 && last.k * last.l * last.panels * lanes > n->floats)
        last.panels = parts(last.panels, 2);
    last.chunks = parts(batch, last.panels * lanes);
    while (s.a * last.parts_l * last.chunks * last.parts_j < WN_KRON_ENOUGH &&
           last.tiles >= 4 * last.parts_j)
        last.parts_j *= 2;
    while (last.panels > 1 &&
           s.a * last.parts_l * last.chunks * last.parts_j < WN_KRON_ENOUGH / 2) {
        last.panels = parts(last.panels, 2);
        last.chunks = parts(batch, last.panels * lanes);
    }
    const int64_t quads = parts(rows, 4) * 4, copied = p->x.dtype == WN_DTYPE_F32 ? 1 : last.panels;
    const int64_t kept =
        last.slices > 1 ? parts(last.tiles, last.parts_j) * last.l * last.panels : 1;
    last.weights = wn__kron_line(last.l * quads * last.k);
    last.copies = last.l * copied * last.k * lanes;
    last.worker = last.weights + last.copies + kept * rows * lanes;
    if (last.chunks >= WN_KRON_OFTEN) {
        last.all = s.a * last.parts_l * last.slices * last.tiles * last.weights;
        last.worker -= last.weights;
    }
    return last;
}

// Of a worker: inputs, a strip of weights, a register tile, and sums where slices add to them.
static int64_t side_worker(const wn__kron_side *side, int64_t vector) {
    const int64_t tile = WN_KRON_SIDE_VECTORS * vector;
    const int64_t sums =
        side->slices > 1 ? parts(side->strips, side->parts_j) * side->tokens * tile : 0;
    const int64_t weights = side->all > 0 ? 0 : side->k * tile;
    return side->tokens * side->row + weights + WN_KRON_SIDE_TOKENS(vector) * tile + sums;
}

wn__kron_plan wn__kron_plan_for(const wn__kron_mul *p, int64_t lanes) {
    if (p->x.shape[0] == 0) return (wn__kron_plan){.lanes = lanes};
    if (are_few(p)) return few_plan(p);
    const wn__kron_side side = side_plan(p, lanes / 2);
    if (side.d > 0)
        return (wn__kron_plan){.lanes = lanes,
                               .side = side,
                               .weights = side.all,
                               .worker = side_worker(&side, lanes / 2)};
    const wn__kron_last last = last_plan(p, lanes);
    if (last.parts_l > 0)
        return (wn__kron_plan){
            .lanes = lanes, .last = last, .weights = last.all, .worker = last.worker};
    wn__kron_one one = one_plan(p, lanes);
    if (one.parts_l > 0) {
        wn__kron_size s = wn__kron_size_of(&p->w[0]);
        return (wn__kron_plan){.lanes = lanes,
                               .one = one,
                               .weights = s.a * s.d * one.slices * one.tiles * one.tile,
                               .places = one.place_x + one.place_y,
                               .worker = one.panels * one.l * (one.in + one.out) * lanes};
    }
    wn__kron_plan plan = {.lanes = lanes, .packed = wn__kron_is_packed(p, lanes)};
    const wn__kron_packing *of = &plan.of;
    plan.of = wn__kron_packing_of(p->w, p->count, lanes);
    plan.panels = p->x.shape[0] < WN_KRON_ENOUGH * of->panels * lanes ? 1 : of->panels;
    if (!plan.packed) {
        plan.weights = of->weights;
        plan.places = of->places;
    }
    const int64_t rows = of->pair ? of->in + of->out + of->middle : 2 * of->middle;
    plan.worker = rows * lanes * plan.panels;
    return plan;
}

static size_t workspace(const wn__kron_mul *p, int threads, int64_t lanes) {
    wn__kron_plan plan = wn__kron_plan_for(p, lanes);
    int64_t shared = plan.few ? 2 * p->x.shape[0] * plan.few_width : plan.weights + plan.places;
    return (size_t)(shared + threads * plan.worker) * sizeof(float);
}

size_t wn__workspace_kron_mul_avx2(const void *args, int threads) {
    return workspace(args, threads, WN_KRON_AVX2_LANES);
}

size_t wn__workspace_kron_mul_avx512(const void *args, int threads) {
    return workspace(args, threads, WN_KRON_AVX512_LANES);
}

size_t wn__workspace_kron_mul_ref(const void *args, int threads) {
    return (size_t)threads * 2 * (size_t)wn__kron_mul_width(args) * sizeof(double);
}

// Two tensors of the widest batch, and one more to gather from.
size_t wn__workspace_kron_mul_cblas(const void *args, int threads) {
    (void)threads;
    const wn__kron_mul *p = args;
    int64_t all = 0;
    for (int t = 0; t < p->count; t++) {
        wn__kron_size s = wn__kron_size_of(&p->w[t]);
        all = most(all, s.a * s.b * s.c * s.d);
    }
    int64_t panel = wn__kron_line(p->x.shape[0] * wn__kron_mul_width(p));
    return (size_t)(3 * panel + all) * sizeof(float);
}

static int64_t up(int64_t n, int64_t to) {
    return (n + to - 1) / to * to;
}

// What the gradient of one factor takes of a core's caches at a time, where blocks share vectors
// and where they do not. Sums move once for all tokens that are there, x and dy for every task, so
// sums may fill most of L2; lanes are halved where there would be few tasks.
typedef struct sums {
    int64_t rows, lanes, tokens, rows_apart, lanes_apart, tokens_apart;
} sums;
static const sums sums_avx2 = {96, 512, 32, 64, 64, 32};
static const sums sums_avx512 = {192, 1024, 64, 96, 96, 64};

wn__kron_cut wn__kron_cut_for(const wn__kron_grad *p, int64_t vector) {
    const sums *n = vector == 16 ? &sums_avx512 : &sums_avx2;
    wn__kron_size s = wn__kron_size_of(&p->dw);
    const bool shared = s.d < vector && vector % s.d == 0;
    wn__kron_cut cut = {.shared = shared ? s.d : 1, .blocks = shared ? 1 : least(s.d, vector)};
    int64_t each = vector / cut.shared; // inputs of a vector
    cut.parts_l = shared ? 1 : parts(s.d, cut.blocks);
    cut.parts_j = parts(s.b, shared ? n->rows : n->rows_apart);
    cut.parts_k = parts(s.c * cut.shared, shared ? n->lanes : n->lanes_apart);
    if (shared && vector == 16 && s.a * cut.parts_j * cut.parts_k < WN_KRON_ENOUGH / 2)
        cut.parts_k = parts(s.c * cut.shared, n->lanes / 2);
    cut.r = WN_KRON_GRAD_ROWS(vector, cut.shared);
    cut.rows = up(parts(s.b, cut.parts_j), cut.r);
    cut.inputs = up(parts(s.c, cut.parts_k), each);
    cut.parts_j = parts(s.b, cut.rows);
    cut.parts_k = parts(s.c, cut.inputs);
    cut.vectors_x = cut.inputs / each;
    cut.vectors_dy = parts(cut.rows * cut.shared, vector);
    cut.tokens = least(up(most(p->x.shape[0], 1), vector), shared ? n->tokens : n->tokens_apart);
    cut.step = (cut.tokens + 1) * vector; // an odd number of lines
    cut.tasks = s.a * cut.parts_l * cut.parts_j * cut.parts_k;
    cut.worker = wn__kron_line(cut.blocks * (cut.rows * cut.vectors_x * vector +
                                             (cut.vectors_x + cut.vectors_dy) * cut.step));
    return cut;
}

size_t wn__workspace_kron_grad_avx2(const void *args, int threads) {
    return (size_t)(threads * wn__kron_cut_for(args, 8).worker) * sizeof(float);
}

size_t wn__workspace_kron_grad_avx512(const void *args, int threads) {
    return (size_t)(threads * wn__kron_cut_for(args, 16).worker) * sizeof(float);
}

// Whether both factors have a common pattern whose right one does not interleave: block low rank.
static bool pair_of(const wn__kron_pair_grad *p, wn__kron_pair_cut *cut) {
    const wn__kron_size right = wn__kron_size_of(&p->w0), left = wn__kron_size_of(&p->w1);
    if (right.d != 1 || right.a % left.a != 0 || left.a * left.c % right.a != 0) return false;
    cut->s = right.a / left.a;
    cut->t = left.d;
    cut->r = left.a * left.c / right.a;
    return cut->r * cut->t == right.b;
}

bool wn__accepts_kron_pair_simd(const void *args, char *why, size_t n) {
    const wn__kron_pair_grad *p = args;
    wn__kron_pair_cut cut;
    if (!wn__accepts_f32_16(&p->x, why, n)) return false;
    if (pair_of(p, &cut)) return true;
    (void)snprintf(why, n, "w0 is not (a s, r t, c, 1) where w1 is (a, b, s r, t)");
    return false;
}

// Of what lies between that stays in L2, and outputs t at least that share what comes in.
typedef struct pair_near {
    int64_t floats, outputs, panels;
} pair_near;
static const pair_near pair_avx2 = {(int64_t)64 << 10, 16, 4};
static const pair_near pair_avx512 = {(int64_t)256 << 10, 32, 4};

wn__kron_pair_cut wn__kron_pair_cut_for(const wn__kron_pair_grad *p, int64_t lanes) {
    const pair_near *n = lanes == WN_KRON_AVX512_LANES ? &pair_avx512 : &pair_avx2;
    const wn__kron_size right = wn__kron_size_of(&p->w0), left = wn__kron_size_of(&p->w1);
    const int64_t vector = lanes / 2;
    wn__kron_pair_cut cut = {0};
    (void)pair_of(p, &cut);
    const int64_t row = cut.s * cut.r;
    cut.some = most(parts(cut.t * left.a, WN_KRON_ENOUGH), parts(n->outputs, cut.r));
    cut.some = least(cut.t, cut.some);
    cut.parts = parts(cut.t, cut.some);
    cut.some = parts(cut.t, cut.parts);
    cut.panels = least(parts(most(p->x.shape[0], 1), lanes), n->panels);
    while (cut.panels > 1 && 2 * cut.some * row * cut.panels * lanes > n->floats)
        cut.panels--;
    const int64_t wide = up(right.c, 2 * vector), across = up(row, 2 * vector);
    const int64_t rows = WN_KRON_PAIR_LEAST(vector); // a tile may end behind the last row
    cut.weights0 = wn__kron_line(cut.s * cut.some * cut.r * right.c);
    cut.weights1 = wn__kron_line(cut.some * row * left.b);
    cut.sums0 = cut.s * up(cut.some * cut.r, rows) * wide;
    cut.sums1 = cut.some * up(left.b, rows) * across;
    cut.x = right.c * lanes;
    cut.dy = (cut.some * left.b + rows) * lanes;
    cut.between = (cut.some * row + rows) * lanes;
    cut.turned = most(wide, across) * (cut.panels * lanes + 1);
    cut.places = wn__kron_line(right.c) + wn__kron_line(cut.some) +
                 wn__kron_line(cut.some * cut.r) + wn__kron_line(row);
    cut.worker = wn__kron_line(cut.weights0 + cut.weights1 + cut.sums0 + cut.sums1 + cut.turned +
                               cut.panels * (cut.x + cut.dy + 2 * cut.between));
    return cut;
}

static size_t pair_workspace(const wn__kron_pair_grad *p, int threads, int64_t lanes) {
    const wn__kron_pair_cut cut = wn__kron_pair_cut_for(p, lanes);
    return (size_t)(cut.places + threads * cut.worker) * sizeof(float);
}

size_t wn__workspace_kron_pair_grad_avx2(const void *args, int threads) {
    return pair_workspace(args, threads, WN_KRON_AVX2_LANES);
}

size_t wn__workspace_kron_pair_grad_avx512(const void *args, int threads) {
    return pair_workspace(args, threads, WN_KRON_AVX512_LANES);
}
