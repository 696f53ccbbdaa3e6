// SPDX-License-Identifier: MIT
// AdamW and packing in one pass, against the two one after the other on the same variant, bit for
// bit: at every size of tail, numbers that flush to zero among them, with one thread and with
// three.
#include "base/fail.h"
#include "kernels/adamw24.h"
#include "kernels/mask24.h"
#include "variants.h"

enum { W, M, V, G, MASK, VALUES, INDEX, VALUES_T, INDEX_T, TENSORS };

typedef struct set {
    wn_tensor t[TENSORS];
} set;

static set make_set(int64_t r, int64_t c) {
    int64_t across = (c + 3) / 4, down = (r + 3) / 4;
    set s;
    for (int i = W; i <= G; i++) {
        s.t[i] = make2(WN_DTYPE_F32, r, c);
        fill_normal(&s.t[i], 10 + (uint64_t)i);
    }
    for (int64_t i = 0; i < r * c; i++) {
        float *v = (float *)s.t[V].data + i, *g = (float *)s.t[G].data + i;
        *v = fabsf(*v);
        if (i % 5 == 0) *v = *g = 0x1p-140F;
        if (i % 7 == 0) ((float *)s.t[W].data)[i] = -0.0F;
    }
    s.t[MASK] = make2(WN_DTYPE_U8, r, across);
    s.t[VALUES] = make2(WN_DTYPE_F32, r, 2 * across);
    s.t[INDEX] = make2(WN_DTYPE_U8, r, (across + 1) / 2);
    s.t[VALUES_T] = make2(WN_DTYPE_F32, c, 2 * down);
    s.t[INDEX_T] = make2(WN_DTYPE_U8, c, (down + 1) / 2);
    return s;
}

static void free_set(set *s) {
    for (int i = 0; i < TENSORS; i++)
        free(s->t[i].data);
}

static wn__adamw24 arguments(const set *s, bool both) {
    wn__adamw24 p = {.update = {.w = s->t[W],
                                .m = s->t[M],
                                .v = s->t[V],
                                .g = s->t[G],
                                .lr = 0.01,
                                .beta1 = 0.9,
                                .beta2 = 0.95,
                                .eps = 1e-8,
                                .weight_decay = 0.1,
                                .grad_scale = 0.5,
                                .step = 3},
                     .mask = s->t[MASK],
                     .values = s->t[VALUES],
                     .index = s->t[INDEX]};
    if (!both) return p;
    p.values_t = s->t[VALUES_T];
    p.index_t = s->t[INDEX_T];
    return p;
}

static void run_threads(const wn__kernel *k, const void *args, int threads) {
    wn__pool *pool = NULL;
    if (threads > 1) assert_ok(wn__pool_create(threads, &pool));
    assert_ok(run_row(k, args, pool));
    wn__pool_free(pool);
}

static void check(int64_t r, int64_t c, bool tiles) {
    for (int v = 0, more = 1; more; v++)
        for (int threads = 1; threads < 4; threads += 2) {
            set one = make_set(r, c), two = make_set(r, c);
            for (int i = 0; i < 2; i++) {
                const set *s = i == 0 ? &one : &two;
                const wn__mask24 choose = {.w = s->t[G],
                                           .mask = s->t[MASK],
                                           .method = tiles ? WN_MASK24_TILE : WN_MASK24_ROW};
                assert_ok(run_best(WN__OP_mask24, &choose, NULL));
            }
            const wn__adamw24 fused = arguments(&one, tiles), apart = arguments(&two, tiles);
            const wn__pack24 pack = wn__adamw24_pack(&apart);
            const wn__kernel *k = variant(WN__OP_adamw24, &fused, v);
            more = k != NULL;
            if (more) {
                run_threads(k, &fused, threads);
                run_threads(variant(WN__OP_adamw, &apart.update, v), &apart.update, 1);
                run_threads(variant(WN__OP_pack24, &pack, v), &pack, 1);
            }
            for (int i = 0; more && i < TENSORS; i++)
                if (memcmp(one.t[i].data, two.t[i].data, wn__tensor_bytes(&one.t[i])) != 0)
                    fail_msg("%s, %lld x %lld, %d threads: tensor %d differs", k->name,
                             (long long)r, (long long)c, threads, i);
            free_set(&one);
            free_set(&two);
        }
}

static void same_as_one_after_the_other(void **state) {
    (void)state;
    check(4, 4, true);
    check(36, 20, true);
    check(132, 268, true);
    check(260, 516, true);
    check(3, 5, false);
    check(33, 71, false);
    check(131, 258, false);
}

static void a_bad_mask_changes_nothing(void **state) {
    (void)state;
    set s = make_set(8, 8), before = make_set(8, 8);
    memset(s.t[MASK].data, 3, 16);
    const wn__adamw24 p = arguments(&s, true);
    const wn__kernel *k;
    for (int v = 0; (k = variant(WN__OP_adamw24, &p, v)) != NULL; v++) {
        ((uint8_t *)s.t[MASK].data)[5] = 7;
        assert_refused(run_row(k, &p, NULL), "row 2, group 1 keeps 3 of 4");
        ((uint8_t *)s.t[MASK].data)[5] = 3;
        assert_int_equal(run_row(k, &p, NULL), WN_INVALID); // columns keep four of a block
        for (int i = 0; i < TENSORS; i++)
            if (i != MASK)
                assert_memory_equal(s.t[i].data, before.t[i].data, wn__tensor_bytes(&s.t[i]));
    }
    free_set(&s);
    free_set(&before);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(same_as_one_after_the_other),
                                       cmocka_unit_test(a_bad_mask_changes_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
