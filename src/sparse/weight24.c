// SPDX-License-Identifier: MIT
// A 2:4 weight: allocation, choice of the mask, packing.
#include "sparse/weight24.h"
#include "base/fail.h"
#include "kernels/elementwise.h"
#include "kernels/pack24.h"
#include "kernels/tile24.h"
#include "sparse/pattern24.h"

static int64_t nearest_multiple(int64_t n) {
    return n < 4 ? 4 : (n + 2) / 4 * 4;
}

static wn_status check_spec(const wn__weight24_spec *s) {
    if (s->method == WN_MASK24_ROW) return WN_OK;
    if (s->r % 4 == 0 && s->c % 4 == 0) return WN_OK;
    return wn__fail(WN_INVALID,
                    "%s masks need multiples of 4, found [%lld, %lld]; the nearest is [%lld, %lld] "
                    "(out_features, in_features); row masks (2:4:row) take any",
                    s->method == WN_MASK24_TILE ? "tile" : "greedy", (long long)s->r,
                    (long long)s->c, (long long)nearest_multiple(s->r),
                    (long long)nearest_multiple(s->c));
}

// The packed form of a matrix of r rows and c columns.
static wn_status alloc_pack(wn__arena *arena, wn_dtype dtype, int64_t r, int64_t c,
                            wn_tensor *values, wn_tensor *index) {
    int64_t g = wn__groups24(c);
    WN_TRY(wn__tensor_alloc2(arena, dtype, r, 2 * g, values));
    return wn__tensor_alloc2(arena, WN_DTYPE_U8, r, (g + 1) / 2, index);
}

wn_status wn__weight24_alloc(wn__arena *arena, const wn__weight24_spec *spec, wn__weight24 *out) {
    *out = (wn__weight24){0};
    wn__weight24 s = {.spec = *spec};
    wn__bytes24 bytes;
    WN_TRY(check_spec(spec));
    WN_TRY(wn__pattern24_bytes(spec->dtype, spec->r, spec->c, &bytes));
    int64_t g = wn__groups24(spec->c);
    WN_TRY(wn__tensor_alloc2(arena, WN_DTYPE_U8, spec->r, g, &s.mask));
    WN_TRY(alloc_pack(arena, spec->dtype, spec->r, spec->c, &s.values, &s.index));
    if (spec->backward && spec->method == WN_MASK24_ROW)
        WN_TRY(wn__lists24_alloc(arena, spec->dtype, spec->r, spec->c, &s.lists));
    else if (spec->backward)
        WN_TRY(alloc_pack(arena, spec->dtype, spec->c, spec->r, &s.values_t, &s.index_t));
    if (spec->renews) {
        WN_TRY(wn__tensor_alloc2(arena, WN_DTYPE_U8, spec->r, g, &s.next));
        WN_TRY(wn__tensor_alloc1(arena, WN_DTYPE_I64, 1, &s.flips));
    }
    *out = s;
    return WN_OK;
}

// packed: the packs too, for masks that packs_at_once() is true of.
static wn_status choose_into(const wn__weight24 *s, wn__exec *x, const wn_tensor *w,
                             const wn_tensor *mask, bool packed) {
    const wn__tile24 both = {.w = *w,
                             .mask = *mask,
                             .values = s->values,
                             .index = s->index,
                             .values_t = s->values_t,
                             .index_t = s->index_t};
    if (packed) return wn__run(x, WN__OP_tile24, &both);
    const wn__mask24 choose = {.w = *w, .mask = *mask, .method = s->spec.method};
    return wn__run(x, WN__OP_mask24, &choose);
}

// The new mask beside the old one, what differs, then the new one in its place.
static wn_status renew(wn__weight24 *s, wn__exec *x, const wn_tensor *w, int64_t *flips,
                       bool packed) {
    WN_TRY(choose_into(s, x, w, &s->next, packed));
    const wn__flips24 compare = {.a = s->mask, .b = s->next, .count = s->flips};
    WN_TRY(wn__run(x, WN__OP_flips24, &compare));
    const wn__copy replace = {.src = s->next, .dst = s->mask};
    WN_TRY(wn__run(x, WN__OP_copy, &replace));
    if (!x->planning) *flips = *(const int64_t *)s->flips.data;
    return WN_OK;
}

// Planning goes through a first choice and, where it may come to one, a renewal.
static wn_status choose(wn__weight24 *s, wn__exec *x, const wn_tensor *w, int64_t *flips,
                        bool packed) {
    *flips = -1;
    if (s->chosen && !wn__given(&s->next))
        return wn__fail(WN_INVALID, "the mask is chosen once; ask for renewals when allocating");
    if (!s->chosen) WN_TRY(choose_into(s, x, w, &s->mask, packed));
    if (s->chosen || (x->planning && wn__given(&s->next))) WN_TRY(renew(s, x, w, flips, packed));
    if (!x->planning) s->chosen = true;
    return WN_OK;
}

wn_status wn__weight24_choose(wn__weight24 *s, wn__exec *x, const wn_tensor *w, int64_t *flips) {
    return choose(s, x, w, flips, false);
}

// Planning goes through a pack too: the mask may rest.
wn_status wn__weight24_make(wn__weight24 *s, wn__exec *x, const wn_tensor *w, int64_t *flips) {
    bool packed = s->spec.method == WN_MASK24_TILE && wn__given(&s->values_t);
    WN_TRY(choose(s, x, w, flips, packed));
    return packed && !x->planning ? WN_OK : wn__weight24_pack(s, x, w);
}

wn_status wn__weight24_adopt(wn__weight24 *s) {
    unsigned rules = s->spec.method == WN_MASK24_ROW ? 0 : WN_PATTERN24_TRANSPOSABLE;
    WN_TRY(wn__pattern24_check_mask(&s->mask, s->spec.c, rules));
    s->chosen = true;
    return WN_OK;
}

wn_status wn__weight24_pack(const wn__weight24 *s, wn__exec *x, const wn_tensor *w) {
    if (!s->chosen && !x->planning)
        return wn__fail(WN_INVALID,
                        "the weight has no mask yet: choose or adopt one before packing");
    const wn__pack24 pack = {.w = *w,
                             .mask = s->mask,
                             .values = s->values,
                             .index = s->index,
                             .values_t = s->values_t,
                             .index_t = s->index_t};
    WN_TRY(wn__run(x, WN__OP_pack24, &pack));
    return wn__weight24_follow(s, x, w);
}

wn_status wn__weight24_follow(const wn__weight24 *s, wn__exec *x, const wn_tensor *w) {
    return wn__given(&s->lists.start) ? wn__lists24_make(&s->lists, x, w, &s->mask) : WN_OK;
}

wn_status wn__weight24_unpack(const wn__weight24 *s, wn__exec *x, const wn_tensor *out) {
    const wn__unpack24 unpack = {.values = s->values, .index = s->index, .w = *out};
    return wn__run(x, WN__OP_unpack24, &unpack);
}
