// SPDX-License-Identifier: MIT
// How the factors of a chain are packed, and the contract check of that.
#include "kernels/kron_pack.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/declare.h"

#include <stdio.h>
#include <string.h>

#define NEAR     ((int64_t)64 << 10)  // floats that stay close: between two factors
#define PANELS   ((int64_t)512 << 10) // floats of all panels that go together
#define TOGETHER 64                   // lanes that share a pass over the weights, at most

// Who reads which form.
static const struct {
    const char *kernel;
    int64_t lanes, rows;
} readers[] = {{"kron_mul_avx2", 16, 6}, {"kron_mul_avx512", 32, 12}};
enum { READERS = sizeof readers / sizeof *readers };

static int64_t rows_of(int64_t lanes) {
    int64_t rows = 0;
    for (int i = 0; i < READERS; i++)
        if (readers[i].lanes == lanes) rows = readers[i].rows;
    return rows;
}

int64_t wn__kron_packed_lanes(const wn__exec *x, const wn__kron_mul *p) {
    const wn__kernel *chosen;
    wn__exec asking = *x;
    asking.strict = false;
    if (p->count < 2 || wn__plan(&asking, WN__OP_kron_mul, p, &chosen) != WN_OK) return 0;
    for (int i = 0; i < READERS; i++)
        if (strcmp(chosen->name, readers[i].kernel) == 0) return readers[i].lanes;
    return 0;
}

static int64_t most(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

// Whether the two factors have a common pattern; then its numbers.
static bool chainable(const wn_tensor *w, int count, wn__kron_packing *out) {
    if (count != 2) return false;
    const wn__kron_size right = wn__kron_size_of(&w[0]), left = wn__kron_size_of(&w[1]);
    if (right.a % left.a != 0 || left.d % right.d != 0 || left.a * left.c % right.a != 0)
        return false;
    out->s = right.a / left.a;
    out->t = left.d / right.d;
    out->r = left.a * left.c / right.a;
    return true;
}

static void count_all(const wn_tensor *w, int count, wn__kron_packing *n) {
    n->middle = n->in;
    for (int t = 0; t < count; t++) {
        const wn__kron_size s = wn__kron_size_of(&w[t]);
        n->out = s.a * s.b * s.d;
        n->middle = most(n->middle, n->out);
        n->weights += wn__kron_line(n->out * s.c);
        n->places += wn__kron_line(n->out);
    }
    n->places += wn__kron_line(n->in) + wn__kron_line(n->out);
}

wn__kron_packing wn__kron_packing_of(const wn_tensor *w, int count, int64_t lanes) {
    const wn__kron_size first = wn__kron_size_of(&w[0]);
    wn__kron_packing n = {.rows = rows_of(lanes), .in = first.a * first.c * first.d};
    count_all(w, count, &n);
    n.pair = chainable(w, count, &n);
    const int64_t all = n.pair ? n.in + n.out : 2 * n.middle;
    n.panels = most(1, least(TOGETHER / lanes, PANELS / (all * lanes)));
    if (n.pair) {
        const int64_t row = n.s * n.r;
        n.chunk = least(n.t, most(1, NEAR / (row * lanes * n.panels)));
        n.middle = row * n.chunk;
    }
    return n;
}

int64_t wn__kron_packed_bytes(const wn_tensor *w, int count) {
    const wn__kron_packing n = wn__kron_packing_of(w, count, readers[0].lanes);
    return (n.weights + n.places) * (int64_t)sizeof(float);
}

// Where input `column` of a factor stands in its panel.
static int32_t input_place(const wn__kron_size *s, int64_t column) {
    int64_t l = column % s->d, k = column / s->d % s->c, i = column / (s->d * s->c);
    return (int32_t)((i * s->d + l) * s->c + k);
}

static void pair_places(const wn_tensor *w, const wn__kron_packing *n, int32_t *place) {
    const wn__kron_size right = wn__kron_size_of(&w[0]), left = wn__kron_size_of(&w[1]);
    for (int64_t o = 0; o < n->chunk * n->r; o++)
        place[o] = (int32_t)(o / n->r * n->s * n->r + o % n->r);
    place += wn__kron_line(right.a * right.b * right.d);
    for (int64_t j = 0; j < left.b; j++)
        place[j] = (int32_t)(j * left.d);
}

static void chain_places(const wn_tensor *w, int count, int32_t *place) {
    for (int t = 0; t < count; t++) {
        const wn__kron_size s = wn__kron_size_of(&w[t]);
        const wn__kron_size next = wn__kron_size_of(&w[t + 1 < count ? t + 1 : t]);
        for (int64_t g = 0, o = 0; g < s.a * s.d; g++)
            for (int64_t j = 0; j < s.b; j++, o++) {
                int64_t row = (g / s.d * s.b + j) * s.d + g % s.d;
                place[o] = t + 1 < count ? input_place(&next, row) : (int32_t)row;
            }
        place += wn__kron_line(s.a * s.b * s.d);
    }
}

void wn__kron_places(const wn_tensor *w, int count, const wn__kron_packing *n, int32_t *place) {
    const wn__kron_size first = wn__kron_size_of(&w[0]);
    for (int64_t c = 0; c < n->in; c++)
        place[c] = input_place(&first, c);
    for (int64_t r = 0; r < n->out; r++)
        place[n->places - wn__kron_line(n->out) + r] = (int32_t)r;
    if (n->pair)
        pair_places(w, n, place + wn__kron_line(n->in));
    else
        chain_places(w, count, place + wn__kron_line(n->in));
}

wn_status wn__check_kron_pack(const void *args) {
    const wn__kron_pack *p = args;
    const char *op = "kron_pack";
    if (p->count < 2 || p->count > WN__KRON_FACTORS)
        return wn__fail(WN_INVALID, "%s: %d factors, 2 to %d expected", op, p->count,
                        WN__KRON_FACTORS);
    if (rows_of(p->lanes) == 0)
        return wn__fail(WN_INVALID, "%s: %lld lanes, 16 or 32 expected", op, (long long)p->lanes);
    wn__operand o[WN__KRON_FACTORS + 1] = {
        {"packed", &p->packed, 1, WN_DTYPE_U8, WN__UNIT | WN__WRITTEN, 0}};
    char name[WN__KRON_FACTORS][16];
    for (int t = 0; t < p->count; t++) {
        (void)snprintf(name[t], sizeof name[t], "w[%d]", t);
        o[t + 1] = (wn__operand){name[t], &p->w[t], 4, WN_DTYPE_NONE, 0, 0};
    }
    WN_TRY(wn__check_operands(op, o, p->count + 1));
    WN_TRY(wn__check_kron_chain(op, p->w, p->count));
    return wn__check_size(op, o, 0, wn__kron_packed_bytes(p->w, p->count), "the packed factors");
}

static bool accepts(const wn__kron_pack *p, int64_t lanes, char *why, size_t n) {
    if (!wn__accepts_f32_16(&p->w[0], why, n)) return false;
    if (p->lanes == lanes) return true;
    (void)snprintf(why, n, "panels have %lld lanes, not %lld", (long long)p->lanes,
                   (long long)lanes);
    return false;
}

bool wn__accepts_kron_pack_avx2(const void *args, char *why, size_t n) {
    return accepts(args, 16, why, n);
}

bool wn__accepts_kron_pack_avx512(const void *args, char *why, size_t n) {
    return accepts(args, 32, why, n);
}
