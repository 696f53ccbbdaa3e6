// SPDX-License-Identifier: MIT
// Cases of kron_mul and kron_grad: one factor, chainable pairs of any inner rank, a third and a
// fourth factor around them, butterflies of radix r; each also turned (the transposed factors in
// the other order, as the gradient of the input has them); factors in every layout; batch first and
// last.
// Bound: the sums of all factors, whose terms add up, and one rounding between two of them, to the
// dtype where that has 16 bits.
#include "kernels/check/harness.h"
#include "kernels/declare.h"
#include "kernels/kron_grad.h"
#include "kernels/kron_mul.h"
#include "kernels/kron_pack.h"
#include "kernels/kron_pair_grad.h"

#include <stdio.h>

enum {
    N,
    A,
    B,
    C,
    D,
    S,
    T,
    R,
    COUNT,
    DTYPE,
    DATA,
    BATCH,
    LAYOUT,
    ACCUMULATE,
    FORM,
    PACKED,
    FIELDS
};
_Static_assert((int)FIELDS <= (int)WN__MAX_FIELDS, "a problem has room for its fields");

static const char *const batch_words[] = {"first", "last", "in", "out", NULL};
static const char *const layout_words[] = {"canonical", "groups-bc", "groups-cb", NULL};
enum { LAST = 1, LAST_IN = 2, LAST_OUT = 3 };
static const char *const form_words[] = {"pair", "turned", "butterfly", "butterfly-turned", NULL};
enum { TURNED = 1, BUTTERFLY = 2, FORMS = 3 };
static const char *const packed_words[] = {"no", "16", "32", NULL};

static const wn__field fields[FIELDS] = {
    WN__FIELD_SIZE("n", 0, 512, 70, 500),
    WN__FIELD_SIZE("a", 1, 1, 3, 4),
    WN__FIELD_SIZE("b", 1, 16, 9, 40),
    WN__FIELD_SIZE("c", 1, 16, 9, 40),
    WN__FIELD_SIZE("d", 1, 1, 5, 19),
    WN__FIELD_SIZE("s", 1, 16, 4, 9),
    WN__FIELD_SIZE("t", 1, 16, 4, 20),
    WN__FIELD_SIZE("r", 1, 1, 4, 9),
    WN__FIELD_CHOICE("count", 1, 4, 2),
    WN__FIELD_DTYPE,
    WN__FIELD_DATA(WN__DATA_INFINITE),
    WN__FIELD_WORDS("batch", LAST_OUT, 0, batch_words),
    WN__FIELD_WORDS("layout", 2, 0, layout_words),
    WN__FIELD_FLAG("accumulate", 0),
    WN__FIELD_WORDS("form", FORMS, 0, form_words),
    WN__FIELD_WORDS("packed", 2, 0, packed_words), // beside w, for so many lanes
};

// How many blocks lie side by side where a GPU takes several together.
static const int64_t together[] = {2, 4, 4, 8, 16, 24, 32, 4};

// Wide blocks: a factor or two of sides that are multiples of 64, batch first.
static void settle_wide(int64_t *v, bool single) {
    static const int64_t turns[] = {1, 2, 4, 8, 1, 8, 16};
    static const int64_t sides[] = {64, 128, 192, 256, 512};
    v[A] = 1 + v[A] % 2;
    v[C] = sides[v[C] % 5];
    v[DTYPE] = v[R] % 3 == 0 ? 1 : 2 + (v[T] & 1); // F32, BF16 or F16
    v[BATCH] = v[ACCUMULATE] = 0;
    v[FORM] &= TURNED;
    v[COUNT] = single ? 1 : 2;
    if (single) {
        v[D] = turns[v[N] % 7];
        v[T] = v[C] == 512 ? 128 : 64 * (1 + v[T] % 5);
        v[S] = v[R] = 1;
        v[N] %= v[D] == 1 ? 140 : 12;
        return;
    }
    v[A] = v[D] = 1;
    v[B] = 64 * (1 + v[B] % 3);
    v[R] = v[S] % 3 == 0 ? 64 : v[S] % 3 * 16;
    v[T] = 64 / (v[R] < 64 ? v[R] : 32) * (1 + v[T] % 2);
    v[S] = 64 / v[R] * (1 + v[S] % 2);
    v[N] %= v[N] % 4 == 0 ? 140 : 8;
}

// Float32 blocks that 9.0 takes by tiles of 64 and 256 outputs, and whose sides fill none of them.
static void settle_tiles(int64_t *v) {
    static const int64_t turns[] = {1, 4, 8, 1, 4, 8, 16};
    v[D] = turns[v[N] % 7];
    v[C] = (v[D] == 16 ? 320 : 16) + 4 * v[C];
    v[T] = v[D] == 1 && v[A] < 3 ? 130 + 8 * v[T] : 33 + 5 * v[T];
    if (v[D] == 1 && v[A] > 2) { // four blocks, and four more
        v[A] = v[A] % 2 * 4 + 4;
        v[T] += v[T] % 2;
    }
    v[S] = v[R] = v[COUNT] = v[DTYPE] = 1;
    v[BATCH] = 0;
    v[FORM] &= TURNED;
    v[N] %= v[D] == 1 ? 300 : 40;
}

// Now and then one large factor, one of blocks side by side, a butterfly, or one of the chains that
// run at once on a GPU, with few vectors where it is long.
static void settle_sizes(int64_t *v) {
    const int64_t roll = (v[A] + 3 * v[B] + 5 * v[C] + 7 * v[T]) % 32;
    if (roll > 14) return;
    if (roll == 14) {
        settle_tiles(v);
        return;
    }
    if (roll > 11) {
        settle_wide(v, roll == 12);
        return;
    }
    if (roll == 6) { // one factor whose blocks a task does not take whole
        v[COUNT] = v[S] = v[R] = 1;
        v[A] = 1;
        v[FORM] = 0;
        v[BATCH] = v[N] % 2;
        v[T] += 230;
        v[C] += 190;
        v[D] = 1 + v[D] % 5;
        v[N] %= 80;
        return;
    }
    if (roll == 11) { // small factors that are multiplied with each other first
        v[R] = (int64_t)2 << v[N] % 3;
        v[COUNT] = 3 + (v[S] & 1);
        v[FORM] |= BUTTERFLY;
        v[DTYPE] = 2 + (v[A] & 1);
        v[N] %= 20;
        return;
    }
    if (roll > 5) {
        v[D] = together[(v[N] + v[S]) % 8];
        v[C] = (v[C] + 3) / 4 * 4;
        v[T] = (v[T] + 3) / 4 * 4;
        v[COUNT] = 1;
        v[BATCH] = 0;
        v[DTYPE] = v[R] % 3 == 0 ? 1 : 2 + (v[A] & 1); // F32, BF16 or F16
        v[FORM] &= TURNED;
        return;
    }
    v[N] %= v[N] % 4 == 0 ? 36 : 6;
    v[DTYPE] = 2 + (v[T] & 1); // BF16 or F16
    v[BATCH] = v[ACCUMULATE] = 0;
    const int64_t turned = v[D] & TURNED;
    v[A] = v[D] = 1;
    v[B] = v[C] = 64;
    if (roll > 3) { // block low rank, with few blocks
        v[R] = v[S] % 3 == 0 ? 32 : v[S] % 3 * 8;
        v[S] = 1 + v[N] % 5;
        v[T] = 8 + 8 * (v[N] % 3);
        v[COUNT] = 2;
        v[FORM] = turned;
        v[N] *= roll == 4 ? 1 : 11; // also beyond what a tile takes
        return;
    }
    v[S] = v[T] = 64;
    v[R] = roll < 2 ? 1 : 16;
    v[COUNT] = roll < 2 ? 2 : 3;
    v[FORM] = turned | (roll < 2 ? 0 : BUTTERFLY);
}

// Products of factors, or what lies between, make other infinities of these than the chain does.
static void settle(wn__problem *p) {
    int64_t *v = p->value;
    settle_sizes(v);
    if (v[DATA] > WN__DATA_WILD && v[COUNT] > 1) v[DATA] -= WN__DATA_WILD + 1;
}

static int64_t power(int64_t b, int64_t n) {
    return n > 0 ? b * power(b, n - 1) : 1;
}

// Factor t of a problem before it is turned: the pair (1 alone: its right one), one before it, one
// behind it; of a butterfly of r^count features a shrinks and d grows by r
// from one to the next.
static wn__kron_size straight(const int64_t *v, int t) {
    int first = v[COUNT] > 2; // the pair begins at
    if (v[FORM] & BUTTERFLY)
        return (wn__kron_size){power(v[R], v[COUNT] - 1 - t), v[R], v[R], power(v[R], t)};
    if (t < first) return (wn__kron_size){v[A] * v[S], v[C], v[C], v[D]};
    if (t == first) return (wn__kron_size){v[A] * v[S], v[R] * v[T], v[C], v[D]};
    if (t == first + 1) return (wn__kron_size){v[A], v[B], v[S] * v[R], v[T] * v[D]};
    return (wn__kron_size){v[A], 2, v[B], v[T] * v[D]};
}

static wn__kron_size factor(const int64_t *v, int t) {
    if (!(v[FORM] & TURNED)) return straight(v, t);
    wn__kron_size s = straight(v, (int)v[COUNT] - 1 - t);
    return (wn__kron_size){s.a, s.c, s.b, s.d};
}

// [a,b,c,d] in a layout; blocks that are read the other way round are as good.
static wn_tensor view_of(wn_dtype dtype, wn__kron_size s, int64_t layout) {
    wn_tensor w = wn__tensor4(NULL, dtype, s.a, s.b, s.c, s.d);
    if (layout == 0) return w;
    w.stride[0] = s.d * s.b * s.c;
    w.stride[1] = layout == 1 ? s.c : 1;
    w.stride[2] = layout == 1 ? 1 : s.b;
    w.stride[3] = s.b * s.c;
    return w;
}

// Lines apart where floats fill them, as those of a batch in use begin at lines.
static wn_tensor batch_of(wn_dtype dtype, int64_t n, int64_t features, bool last) {
    const bool lines = dtype == WN_DTYPE_F32 && (last ? n : features) % 16 == 0;
    if (last) return wn__view2_transposed(dtype, n, features, lines ? 16 : 3);
    return wn__view2(dtype, n, features, lines ? 16 : features % 8 == 0 ? 8 : 5);
}

static wn_tensor packed_view(const wn_tensor *w, int count) {
    return wn__tensor1(NULL, WN_DTYPE_U8, wn__kron_packed_bytes(w, count));
}

static void declare_mul(wn__case *c) {
    static const char *const names[] = {"w0", "w1", "w2", "w3"};
    wn__kron_mul *p = c->args;
    const int64_t *v = c->problem.value;
    wn_dtype dtype = wn__case_dtype(c, DTYPE);
    p->count = (int)v[COUNT];
    p->accumulate = v[ACCUMULATE];
    wn__kron_size right = factor(v, 0), left = factor(v, p->count - 1);
    wn__case_part(c, "x", &p->x, WN__READ,
                  batch_of(dtype, v[N], right.a * right.c * right.d,
                           v[BATCH] == LAST || v[BATCH] == LAST_IN));
    for (int t = 0; t < p->count; t++)
        wn__case_part(c, names[t], &p->w[t], WN__READ, view_of(dtype, factor(v, t), v[LAYOUT]));
    if (v[PACKED] && p->count > 1) {
        p->lanes = 16 * v[PACKED];
        wn__case_part(c, "packed", &p->packed, WN__READ, packed_view(p->w, p->count));
    }
    wn__case_part(
        c, "y", &p->y, v[ACCUMULATE] ? WN__UPDATE : WN__WRITE,
        batch_of(dtype, v[N], left.a * left.b * left.d, v[BATCH] == LAST || v[BATCH] == LAST_OUT));
}

// What lies between factors of F16 stays in its range.
static wn__data data_of(const wn__case *c) {
    const int64_t *v = c->problem.value;
    const int64_t count = wn__case_dtype(c, DTYPE) == WN_DTYPE_F16 ? v[COUNT] : 1;
    return count > 2 || (count == 2 && v[DATA] == WN__DATA_WILD) ? WN__DATA_NORMAL
                                                                 : (wn__data)v[DATA];
}

// The packed factors hold what w holds, by ref; images are packed, in the order of [a,b,c,d].
static void fill(wn__case *c) {
    const wn__kron_mul *p = c->args;
    wn__kron_pack pack = {.packed = p->packed, .count = p->count, .lanes = p->lanes};
    wn__exec x = {0};
    wn__case_fill(c, data_of(c));
    if (!wn__given(&p->packed)) return;
    for (int t = 0; t < p->count; t++) {
        pack.w[t] = view_of(p->w[t].dtype, factor(c->problem.value, t), 0);
        pack.w[t].data = c->part[t + 1].image;
    }
    pack.packed.data = wn__case_find(c, "packed")->image;
    wn_status ignored = wn__kron_pack_ref(&pack, &x); // refuses nothing
    (void)ignored;
}

// Rounding between factors to a dtype of 16 bits: u S each, and half its smallest number where it
// is subnormal (normal numbers of weights: at most 6). Integers up to 1/u are kept.
static void bound_between(wn__case *c, wn_dtype dtype) {
    const int64_t *v = c->problem.value;
    wn__part *y = wn__case_find(c, "y");
    const double u = wn__unit(dtype), smallest = dtype == WN_DTYPE_F16 ? wn__smallest(dtype) : 0;
    double behind = 0;
    for (int t = (int)v[COUNT] - 1; t > 0; t--)
        behind = 6 * (double)factor(v, t).c * (1 + behind);
    for (int64_t i = 0; i < y->count; i++)
        if (data_of(c) != WN__DATA_INTEGERS || y->sum[i] * u > 1)
            y->bound[i] +=
                1.01 * ((double)(v[COUNT] - 1) * u * y->sum[i] + 0.5 * smallest * behind);
}

static void bound_mul(wn__case *c, const wn__round *r) {
    const int64_t *v = c->problem.value;
    const wn_dtype dtype = wn__case_dtype(c, DTYPE);
    double terms = (double)(v[COUNT] + v[ACCUMULATE]);
    for (int t = 0; t < v[COUNT]; t++)
        terms += (double)factor(v, t).c;
    wn__bound_sum(wn__case_find(c, "y"), r, terms, data_of(c) == WN__DATA_INTEGERS);
    if (wn_dtype_size(dtype) == 2) bound_between(c, dtype);
}

static double flops_mul(const wn__problem *p) {
    double all = 0;
    for (int t = 0; t < p->value[COUNT]; t++) {
        wn__kron_size s = factor(p->value, t);
        all += (double)s.a * (double)s.b * (double)s.c * (double)s.d;
    }
    return 2 * all * (double)p->value[N];
}

static void baseline_mul(const wn__problem *p, wn__op *op, char *text, size_t n) {
    const int64_t *v = p->value;
    wn__kron_size right = factor(v, 0), left = factor(v, (int)v[COUNT] - 1);
    *op = WN__OP_matmul;
    (void)snprintf(text, n, "m=%lld,n=%lld,k=%lld,bt=1,dtype=%s,accumulate=%lld", (long long)v[N],
                   (long long)(left.a * left.b * left.d), (long long)(right.a * right.c * right.d),
                   wn__dtype_words[v[DTYPE]], (long long)v[ACCUMULATE]);
}

const wn__case_type wn__cases_kron_mul = {.op = WN__OP_kron_mul,
                                          .args_size = sizeof(wn__kron_mul),
                                          .fields = fields,
                                          .field_count = FIELDS,
                                          .multilinear = true,
                                          .align = 16,
                                          .settle = settle,
                                          .declare = declare_mul,
                                          .fill = fill,
                                          .bound = bound_mul,
                                          .flops = flops_mul,
                                          .baseline = baseline_mul};

// ---- kron_pack: of the chains of kron_mul

enum { KA, KB, KC, KD, KS, KT, KR, KCOUNT, KDTYPE, KDATA, KLAYOUT, KFORM, KLANES, PACK_FIELDS };

static const char *const lanes_words[] = {"16", "32", NULL};

static const wn__field pack_fields[PACK_FIELDS] = {
    WN__FIELD_SIZE("a", 1, 1, 3, 4),
    WN__FIELD_SIZE("b", 1, 64, 17, 60),
    WN__FIELD_SIZE("c", 1, 64, 17, 60),
    WN__FIELD_SIZE("d", 1, 1, 5, 19),
    WN__FIELD_SIZE("s", 1, 64, 4, 9),
    WN__FIELD_SIZE("t", 1, 64, 4, 40),
    WN__FIELD_SIZE("r", 1, 8, 4, 9),
    WN__FIELD_CHOICE("count", 2, 4, 2),
    WN__FIELD_DTYPE,
    WN__FIELD_DATA(WN__DATA_NAN),
    WN__FIELD_WORDS("layout", 2, 0, layout_words),
    WN__FIELD_WORDS("form", FORMS, 0, form_words),
    WN__FIELD_WORDS("lanes", 1, 1, lanes_words),
};

// Now and then what lies between is so wide that a chunk is not all of t, nor divides it.
static void settle_pack(wn__problem *p) {
    int64_t *v = p->value;
    if ((v[KA] + 3 * v[KB] + 5 * v[KC]) % 8 != 0) return;
    v[KCOUNT] = 2;
    v[KFORM] &= TURNED;
    v[KR] = 8 + v[KR] % 5;
    v[KS] += 60;
    v[KT] += 5;
    v[KA] = 1;
}

static void declare_pack(wn__case *c) {
    static const char *const names[] = {"w0", "w1", "w2", "w3"};
    static const int field[] = {A, B, C, D, S, T, R, COUNT};
    wn__kron_pack *p = c->args;
    const int64_t *v = c->problem.value;
    int64_t chain[FIELDS] = {0};
    for (int i = 0; i < (int)(sizeof field / sizeof *field); i++)
        chain[field[i]] = v[KA + i];
    chain[FORM] = v[KFORM];
    p->count = (int)v[KCOUNT];
    p->lanes = 16 * (v[KLANES] + 1);
    for (int t = 0; t < p->count; t++)
        wn__case_part(c, names[t], &p->w[t], WN__READ,
                      view_of(wn__case_dtype(c, KDTYPE), factor(chain, t), v[KLAYOUT]));
    wn__case_part(c, "packed", &p->packed, WN__WRITE, packed_view(p->w, p->count));
}

static void fill_pack(wn__case *c) {
    wn__case_fill(c, (wn__data)c->problem.value[KDATA]);
}

const wn__case_type wn__cases_kron_pack = {.op = WN__OP_kron_pack,
                                           .args_size = sizeof(wn__kron_pack),
                                           .fields = pack_fields,
                                           .field_count = PACK_FIELDS,
                                           .compare = WN__SAME_BITS,
                                           .align = 16,
                                           .settle = settle_pack,
                                           .declare = declare_pack,
                                           .fill = fill_pack};

// ---- kron_grad: of the factor (a, b, c, d)

enum { GN, GA, GB, GC, GD, GDTYPE, GDATA, GBATCH, GLAYOUT, GACCUMULATE, GDW, GFIELDS };

// The dtype of x, or F32 beside one of 16 bits.
static const char *const dw_words[] = {"same", "f32", NULL};

static const wn__field grad_fields[GFIELDS] = {
    WN__FIELD_SIZE("n", 0, 512, 70, 500),
    WN__FIELD_SIZE("a", 1, 16, 4, 9),
    WN__FIELD_SIZE("b", 1, 16, 9, 70),
    WN__FIELD_SIZE("c", 1, 16, 9, 70),
    WN__FIELD_SIZE("d", 1, 16, 9, 40),
    WN__FIELD_DTYPE,
    WN__FIELD_DATA(WN__DATA_INFINITE),
    WN__FIELD_WORDS("batch", LAST_OUT, 0, batch_words),
    WN__FIELD_WORDS("layout", 2, 0, layout_words),
    WN__FIELD_FLAG("accumulate", 0),
    WN__FIELD_WORDS("dw", 1, 0, dw_words),
};

static wn__kron_size grad_size(const int64_t *v) {
    return (wn__kron_size){v[GA], v[GB], v[GC], v[GD]};
}

// Now and then blocks that a task does not take whole, or blocks that are taken together.
static void settle_grad(wn__problem *p) {
    int64_t *v = p->value;
    const int64_t roll = (v[GA] + 3 * v[GB] + 5 * v[GC]) % 16;
    if (roll == 0) {
        v[GA] = 1;
        v[GB] += 190;
        v[GC] += 120;
        v[GD] = 1 + v[GD] % 18;
        v[GN] %= 90;
    } else if (roll == 1) { // wide ones; interleaved, as wide as is worth putting them in order
        static const int64_t turns[] = {1, 1, 4, 1, 8, 2};
        v[GD] = turns[v[GN] % 6];
        v[GA] = 1 + v[GA] % 2;
        v[GB] = v[GD] > 1 ? 512 : 64 * (1 + v[GB] % 5);
        v[GC] = v[GD] > 1 ? 512 : 64 * (1 + v[GC] % 4);
        v[GN] %= v[GD] > 1 ? 4 : 140;
        v[GBATCH] = 0;
        v[GDTYPE] = 1 + (v[GA] + v[GB] / 64) % 3; // F32, BF16 or F16
    } else if (roll == 2) {                       // blocks that a thread may have for itself
        v[GB] = 1 + v[GB] % 8;
        v[GC] = 1 + v[GC] % 8;
        v[GDTYPE] = 1; // F32
    } else if (roll % 4 == 0) {
        v[GD] = together[(v[GN] + v[GB]) % 8];
        v[GB] = (v[GB] + 3) / 4 * 4;
        v[GC] = (v[GC] + 3) / 4 * 4;
        v[GBATCH] = 0;
        v[GDTYPE] = 1 + v[GA] % 3; // F32, BF16 or F16
    }
}

static void declare_grad(wn__case *c) {
    wn__kron_grad *p = c->args;
    const int64_t *v = c->problem.value;
    wn_dtype dtype = wn__case_dtype(c, GDTYPE);
    wn__kron_size s = grad_size(v);
    p->accumulate = v[GACCUMULATE];
    wn__case_part(
        c, "x", &p->x, WN__READ,
        batch_of(dtype, v[GN], s.a * s.c * s.d, v[GBATCH] == LAST || v[GBATCH] == LAST_IN));
    wn__case_part(
        c, "dy", &p->dy, WN__READ,
        batch_of(dtype, v[GN], s.a * s.b * s.d, v[GBATCH] == LAST || v[GBATCH] == LAST_OUT));
    wn__case_part(
        c, "dw", &p->dw, v[GACCUMULATE] ? WN__UPDATE : WN__WRITE,
        view_of(v[GDW] && wn_dtype_size(dtype) == 2 ? WN_DTYPE_F32 : dtype, s, v[GLAYOUT]));
}

static void fill_grad(wn__case *c) {
    wn__case_fill(c, (wn__data)c->problem.value[GDATA]);
}

static void bound_grad(wn__case *c, const wn__round *r) {
    const int64_t *v = c->problem.value;
    wn__part *dw = wn__case_find(c, "dw");
    const wn__round stored = wn__round_stored(r, dw);
    wn__bound_sum(dw, &stored, (double)(v[GN] + v[GACCUMULATE]), v[GDATA] == WN__DATA_INTEGERS);
}

static double flops_grad(const wn__problem *p) {
    const int64_t *v = p->value;
    return 2.0 * (double)v[GN] * (double)v[GA] * (double)v[GB] * (double)v[GC] * (double)v[GD];
}

static void baseline_grad(const wn__problem *p, wn__op *op, char *text, size_t n) {
    const int64_t *v = p->value;
    *op = WN__OP_matmul;
    (void)snprintf(text, n, "m=%lld,n=%lld,k=%lld,at=1,dtype=%s,accumulate=%lld",
                   (long long)(v[GA] * v[GB] * v[GD]), (long long)(v[GA] * v[GC] * v[GD]),
                   (long long)v[GN], wn__dtype_words[v[GDTYPE]], (long long)v[GACCUMULATE]);
}

const wn__case_type wn__cases_kron_grad = {.op = WN__OP_kron_grad,
                                           .args_size = sizeof(wn__kron_grad),
                                           .fields = grad_fields,
                                           .field_count = GFIELDS,
                                           .multilinear = true,
                                           .align = 16,
                                           .settle = settle_grad,
                                           .declare = declare_grad,
                                           .fill = fill_grad,
                                           .bound = bound_grad,
                                           .flops = flops_grad,
                                           .baseline = baseline_grad};

// ---- kron_pair_grad: of the chainable pair (s, r t, c, 1), (1, b, s r, t)

enum { PN, PB, PC, PS, PT, PR, PDTYPE, PDATA, PBATCH, PLAYOUT, PACCUMULATE, PDW, PFIELDS };

static const wn__field pair_fields[PFIELDS] = {
    WN__FIELD_SIZE("n", 0, 512, 40, 300),
    WN__FIELD_SIZE("b", 1, 16, 9, 40),
    WN__FIELD_SIZE("c", 1, 16, 9, 40),
    WN__FIELD_SIZE("s", 1, 16, 4, 9),
    WN__FIELD_SIZE("t", 1, 16, 4, 17),
    WN__FIELD_SIZE("r", 1, 2, 3, 9),
    WN__FIELD_DTYPE,
    WN__FIELD_DATA(WN__DATA_WILD),
    WN__FIELD_WORDS("batch", LAST_OUT, 0, batch_words),
    WN__FIELD_WORDS("layout", 2, 0, layout_words),
    WN__FIELD_FLAG("accumulate", 0),
    WN__FIELD_WORDS("dw", 1, 0, dw_words),
};

// Now and then blocks that are wide.
static void settle_pair(wn__problem *p) {
    int64_t *v = p->value;
    if ((v[PB] + 3 * v[PC] + 5 * v[PS]) % 16 != 0) return;
    v[PT] = v[PT] % 4 == 0 ? 4 : 1;
    v[PB] = v[PC] = v[PT] > 1 ? 256 : 64 * (1 + v[PC] % 2);
    v[PS] = 2;
    v[PR] = 64;
    v[PN] %= v[PT] == 1 ? 140 : 4;
    v[PBATCH] = 0;
    v[PDTYPE] = 1 + v[PN] % 3; // F32, BF16 or F16
}

static wn__kron_size pair_size(const int64_t *v, int t) {
    return t ? (wn__kron_size){1, v[PB], v[PS] * v[PR], v[PT]}
             : (wn__kron_size){v[PS], v[PR] * v[PT], v[PC], 1};
}

// What lies between factors of F16 stays in its range.
static wn__data pair_data(const wn__case *c) {
    const int64_t kind = c->problem.value[PDATA];
    return wn__case_dtype(c, PDTYPE) == WN_DTYPE_F16 && kind == WN__DATA_WILD ? WN__DATA_NORMAL
                                                                              : (wn__data)kind;
}

static void declare_pair(wn__case *c) {
    wn__kron_pair_grad *p = c->args;
    const int64_t *v = c->problem.value, last = v[PBATCH];
    const wn_dtype dtype = wn__case_dtype(c, PDTYPE);
    const wn_dtype sums = v[PDW] && wn_dtype_size(dtype) == 2 ? WN_DTYPE_F32 : dtype;
    const wn__role role = v[PACCUMULATE] ? WN__UPDATE : WN__WRITE;
    const wn__kron_size right = pair_size(v, 0), left = pair_size(v, 1);
    p->accumulate = v[PACCUMULATE];
    wn__case_part(c, "x", &p->x, WN__READ,
                  batch_of(dtype, v[PN], v[PS] * v[PC], last == LAST || last == LAST_IN));
    wn__case_part(c, "dy", &p->dy, WN__READ,
                  batch_of(dtype, v[PN], v[PT] * v[PB], last == LAST || last == LAST_OUT));
    wn__case_part(c, "w0", &p->w0, WN__READ, view_of(dtype, right, v[PLAYOUT]));
    wn__case_part(c, "w1", &p->w1, WN__READ, view_of(dtype, left, v[PLAYOUT]));
    wn__case_part(c, "dw0", &p->dw0, role, view_of(sums, right, v[PLAYOUT]));
    wn__case_part(c, "dw1", &p->dw1, role, view_of(sums, left, v[PLAYOUT]));
}

static void fill_pair(wn__case *c) {
    wn__case_fill(c, pair_data(c));
}

// One rounding between factors, to the dtype where that has 16 bits: u S, and half its smallest
// number where it is subnormal, times n numbers of at most 6.
static void bound_pair(wn__case *c, const wn__round *r) {
    const int64_t *v = c->problem.value;
    const wn_dtype dtype = wn__case_dtype(c, PDTYPE);
    const double smallest = dtype == WN_DTYPE_F16 ? wn__smallest(dtype) : 0;
    const double terms = (double)(v[PN] + v[PC] + v[PB] + 2 + v[PACCUMULATE]);
    const bool integers = pair_data(c) == WN__DATA_INTEGERS;
    static const char *const names[] = {"dw0", "dw1"};
    for (int f = 0; f < 2; f++) {
        wn__part *dw = wn__case_find(c, names[f]);
        const wn__round stored = wn__round_stored(r, dw);
        wn__bound_sum(dw, &stored, terms, integers);
        for (int64_t i = 0; wn_dtype_size(dtype) == 2 && i < dw->count; i++)
            if (!integers || dw->sum[i] * wn__unit(dtype) > 1)
                dw->bound[i] +=
                    1.01 * (wn__unit(dtype) * dw->sum[i] + 0.5 * smallest * 6 * (double)v[PN]);
    }
}

static double flops_pair(const wn__problem *p) {
    const int64_t *v = p->value;
    return 8.0 * (double)v[PN] * (double)v[PS] * (double)v[PT] * (double)v[PR] *
           (double)(v[PB] + v[PC]) / 2;
}

static void baseline_pair(const wn__problem *p, wn__op *op, char *text, size_t n) {
    const int64_t *v = p->value;
    *op = WN__OP_matmul;
    (void)snprintf(text, n, "m=%lld,n=%lld,k=%lld,at=1,dtype=%s,accumulate=%lld",
                   (long long)(v[PT] * v[PB]), (long long)(v[PS] * v[PC]), (long long)v[PN],
                   wn__dtype_words[v[PDTYPE]], (long long)v[PACCUMULATE]);
}

const wn__case_type wn__cases_kron_pair_grad = {.op = WN__OP_kron_pair_grad,
                                                .args_size = sizeof(wn__kron_pair_grad),
                                                .fields = pair_fields,
                                                .field_count = PFIELDS,
                                                .multilinear = true,
                                                .align = 16,
                                                .settle = settle_pair,
                                                .declare = declare_pair,
                                                .fill = fill_pair,
                                                .bound = bound_pair,
                                                .flops = flops_pair,
                                                .baseline = baseline_pair};
