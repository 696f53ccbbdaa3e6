// SPDX-License-Identifier: MIT
// Decoding with a cache gives the logits of the full forward pass: token by token, in chunks, after
// going back, from a training model as from an inference one.
#include "model_test.h"

#define LENGTH 24

typedef struct decoding {
    rig rig;
    int64_t V;
    int32_t tokens[LENGTH];
    double *full; // [LENGTH, V] by one forward pass
} decoding;

static void decoding_open(decoding *d, wn__mlp_kind mlp, const char *rule, wn_dtype dtype,
                          bool training) {
    wn__model_config config = small_config(mlp);
    config.qkv_bias = config.mlp_bias = true;
    const wn__model_spec spec = {
        .config = config, .dtype = dtype, .training = training, .batch = 1, .seq = LENGTH};
    const wn__structure base = default_structure();
    rig_open(&d->rig, &spec, rule, &base, 2);
    d->V = config.vocab_size;
    random_tokens(d->tokens, LENGTH, d->V, 5);
    OK(wn__model_init(d->rig.m, 21));
    OK(wn__model_prepare(d->rig.m, 0));
    OK(wn__model_feed(d->rig.m, d->tokens, NULL, 1, LENGTH));
    wn_tensor logits = wn__tensor2(NULL, dtype, LENGTH, d->V);
    logits.data = malloc(wn__tensor_bytes(&logits));
    OK(wn__model_logits(d->rig.m, &logits));
    d->full = malloc((size_t)(LENGTH * d->V) * sizeof *d->full);
    for (int64_t i = 0; i < LENGTH * d->V; i++)
        d->full[i] = value_at(&logits, i);
    free(logits.data);
}

static void decoding_close(decoding *d) {
    rig_close(&d->rig);
    free(d->full);
}

// Logits after tokens[0 .. end) against row end-1. Each is rounded to float, u; the two passes may
// add in different orders, which costs what the model's own rounding costs (bounded by 1e-5 against
// PyTorch in test_golden).
static void compare(const decoding *d, const float *logits, int64_t end) {
    const wn_tensor got = wn__tensor1((void *)(uintptr_t)logits, WN_DTYPE_F32, d->V);
    const wn_tensor want = wn__tensor1(d->full + (end - 1) * d->V, WN_DTYPE_F64, d->V);
    double error = relative_error(&got, &want);
    if (!(error < 1e-5)) fail_msg("logits of position %lld are off by %g", (long long)end, error);
}

// Runs tokens[begin ..] in the given chunks, comparing after each.
static void run_chunks(decoding *d, wn__kv_cache *c, const int64_t *chunk, size_t count) {
    float *logits = malloc((size_t)d->V * sizeof *logits);
    for (size_t i = 0; i < count; i++) {
        OK(wn__model_decode(d->rig.m, c, d->tokens + c->length, chunk[i], logits));
        compare(d, logits, c->length);
    }
    free(logits);
}

static void check(wn__mlp_kind mlp, const char *rule, wn_dtype dtype, bool training) {
    static const int64_t single[LENGTH] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                           1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    static const int64_t chunks[] = {5, 1, 7, 1, 1, 9}, whole[] = {LENGTH};
    decoding d;
    wn__kv_cache c;
    decoding_open(&d, mlp, rule, dtype, training);
    OK(wn__kv_cache_create(d.rig.m, LENGTH + 3, &c));
    run_chunks(&d, &c, single, LENGTH);
    c.length = 0;
    run_chunks(&d, &c, chunks, sizeof chunks / sizeof chunks[0]);
    c.length = 6; // forget all but the first chunks
    run_chunks(&d, &c, chunks + 2, 3);
    c.length = 0;
    run_chunks(&d, &c, whole, 1);
    wn__kv_cache_free(&c);
    decoding_close(&d);
}

static void dense(void **state) {
    (void)state;
    check(WN_MLP_SWIGLU, NULL, WN_DTYPE_F32, false);
    check(WN_MLP_RELU2, NULL, WN_DTYPE_F64, false);
}

static void sparse(void **state) {
    (void)state;
    check(WN_MLP_SWIGLU, "mlp.*=2:4:tile", WN_DTYPE_F32, false);
    check(WN_MLP_RELU2, "*=2:4:row", WN_DTYPE_F32, false);
    check(WN_MLP_RELU, "mlp.act=act2:4:naive", WN_DTYPE_F32, false);
    check(WN_MLP_RELU2, "mlp.act=act2:4:mvue", WN_DTYPE_F32, true);
}

static void while_training(void **state) {
    (void)state;
    check(WN_MLP_SWIGLU, "mlp.*=2:4:tile", WN_DTYPE_F32, true);
}

static void refuses(void **state) {
    (void)state;
    decoding d;
    wn__kv_cache c;
    float logits[64];
    decoding_open(&d, WN_MLP_RELU2, NULL, WN_DTYPE_F32, false);
    FAILS(wn__kv_cache_create(d.rig.m, 0, &c), WN_INVALID, "0 positions");
    OK(wn__kv_cache_create(d.rig.m, 4, &c));
    FAILS(wn__model_decode(d.rig.m, &c, d.tokens, 0, logits), WN_INVALID, "0 tokens");
    FAILS(wn__model_decode(d.rig.m, &c, d.tokens, LENGTH + 1, logits), WN_INVALID, "25 tokens");
    FAILS(wn__model_decode(d.rig.m, &c, d.tokens, 5, logits), WN_INVALID, "cache of 4");
    OK(wn__model_decode(d.rig.m, &c, d.tokens, 3, logits));
    FAILS(wn__model_decode(d.rig.m, &c, d.tokens, 2, logits), WN_INVALID, "2 tokens after 3");
    const int32_t stranger = (int32_t)d.V;
    FAILS(wn__model_decode(d.rig.m, &c, &stranger, 1, logits), WN_INVALID, "token 48");
    assert_int_equal(c.length, 3);
    int64_t labels;
    double loss; // what was fed before is gone
    FAILS(wn__model_loss(d.rig.m, &loss, &labels), WN_INVALID, "no tokens");
    wn__kv_cache_free(&c);
    decoding_close(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(dense), cmocka_unit_test(sparse),
                                       cmocka_unit_test(while_training), cmocka_unit_test(refuses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
