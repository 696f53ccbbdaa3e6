// SPDX-License-Identifier: MIT
// Logits, loss, every gradient and five AdamW updates against PyTorch in float64
// (tools/make_model_fixtures.py): both families, grouped heads, biases, tied heads, the rotary
// scalings, ignored labels, 2:4 weights with masks found by an independent search, and 2:4
// activations.
#include "model_test.h"
#include "sparse/pattern24.h"

typedef struct golden {
    wn__model_config config;
    wn__hf_weights *weights;
    wn__safetensors expected;
    wn_tensor tokens, targets; // aligned copies, I32 [B, T]
    rig rig;
} golden;

static wn_tensor expected(const golden *g, const char *prefix, const char *name) {
    char full[3 * WN_NAME_MAX];
    (void)snprintf(full, sizeof full, "%s%s", prefix, name);
    const wn__st_entry *e = wn__safetensors_find(&g->expected, full);
    if (e == NULL) fail_msg("the fixture has no %s", full);
    return e->view;
}

static wn_tensor aligned_copy(const wn_tensor *t) {
    wn_tensor copy = *t;
    copy.data = malloc(wn__tensor_bytes(t));
    memcpy(copy.data, t->data, wn__tensor_bytes(t));
    return copy;
}

static void golden_open(golden *g, const char *name, wn_dtype dtype) {
    char dir[512], file[600];
    (void)snprintf(dir, sizeof dir, "%s/model/%s", WN_FIXTURES, name);
    (void)snprintf(file, sizeof file, "%s/expected.safetensors", dir);
    OK(wn__hf_config_read(dir, &g->config));
    OK(wn__hf_weights_open(dir, &g->weights));
    OK(wn__safetensors_open(file, &g->expected));
    const wn_tensor tokens = expected(g, "", "tokens"), targets = expected(g, "", "targets");
    g->tokens = aligned_copy(&tokens);
    g->targets = aligned_copy(&targets);
    const char *every = wn__safetensors_meta(&g->expected, "mask_every");
    wn__structure base = default_structure();
    if (every != NULL) base.mask_every = strtoll(every, NULL, 10);
    const char *backward = wn__safetensors_meta(&g->expected, "act_backward");
    if (backward != NULL)
        base.backward = strcmp(backward, "direct") == 0 ? WN_ACT24_DIRECT : WN_ACT24_DENSE;
    const wn__model_spec spec = {.config = g->config,
                                 .dtype = dtype,
                                 .training = true,
                                 .batch = tokens.shape[0],
                                 .seq = tokens.shape[1]};
    rig_open(&g->rig, &spec, wn__safetensors_meta(&g->expected, "pattern"), &base, 2);
    OK(wn__model_load(g->rig.m, g->weights));
    OK(wn__model_prepare(g->rig.m, 0));
    OK(wn__model_feed(g->rig.m, g->tokens.data, g->targets.data, tokens.shape[0], tokens.shape[1]));
}

static void golden_close(golden *g) {
    rig_close(&g->rig);
    wn__hf_weights_close(g->weights);
    wn__safetensors_close(&g->expected);
    free(g->tokens.data);
    free(g->targets.data);
}

static void within(const char *what, double error, double bound) {
    if (!(error <= bound)) fail_msg("%s: relative error %.3g, at most %.3g", what, error, bound);
}

static void check_logits(golden *g, wn_dtype dtype, double bound) {
    const wn_tensor want = expected(g, "", "logits");
    int64_t rows = want.shape[0] * want.shape[1], V = want.shape[2];
    wn_tensor got = wn__tensor2(NULL, dtype, rows, V);
    got.data = malloc(wn__tensor_bytes(&got));
    OK(wn__model_logits(g->rig.m, &got));
    within("logits", relative_error(&got, &want), bound);
    free(got.data);
}

static void check_gradients(golden *g, double bound) {
    wn__params *p = wn__model_params(g->rig.m);
    const wn_tensor want = expected(g, "", "loss");
    double loss, again;
    int64_t labels;
    OK(wn__model_zero_gradients(g->rig.m));
    OK(wn__model_loss_backward(g->rig.m, 1, &loss, &labels));
    within("loss", fabs(loss / value_at(&want, 0) - 1), bound);
    for (size_t i = 0; i < p->count; i++) {
        const wn_tensor grad = expected(g, "grad.", p->item[i].name);
        assert_true(wn__tensor_same_shape(&grad, &p->item[i].g));
        within(p->item[i].name, relative_error(&p->item[i].g, &grad), bound);
    }
    // A pass without gradients sees the same loss.
    OK(wn__model_loss(g->rig.m, &again, &labels));
    assert_true(again == loss);
}

// Nibbles of a byte mask.
static void collapse(const wn_tensor *bytes, uint8_t *mask) {
    const uint8_t *kept = bytes->data;
    int64_t columns = bytes->shape[1], groups = (columns + 3) / 4;
    memset(mask, 0, (size_t)(bytes->shape[0] * groups));
    for (int64_t i = 0; i < bytes->shape[0]; i++)
        for (int64_t j = 0; j < columns; j++)
            mask[i * groups + j / 4] |= (uint8_t)((kept[i * columns + j] != 0) << (j % 4));
}

static void check_masks(golden *g) {
    for (size_t i = 0; i < wn__model_linear_count(g->rig.m); i++) {
        const wn__linear *l = wn__model_linear(g->rig.m, i);
        if (l->structure.kind == WN_STRUCTURE_DENSE) continue;
        char name[2 * WN_NAME_MAX];
        (void)snprintf(name, sizeof name, "%s.weight", l->name);
        const wn_tensor want = expected(g, "mask.", name);
        const wn_tensor *mask = &l->state[0].view;
        uint8_t *bits = malloc(wn__tensor_bytes(mask));
        collapse(&want, bits);
        assert_memory_equal(bits, mask->data, wn__tensor_bytes(mask));
        free(bits);
    }
}

static void check_updates(golden *g, double bound) {
    const step_options o = {.lr = 0.01, .max_norm = 1.0};
    if (wn__safetensors_find(&g->expected, "adamw.loss") == NULL) return;
    const wn_tensor losses = expected(g, "", "adamw.loss"), norms = expected(g, "", "adamw.norm");
    for (int64_t step = 0; step < losses.shape[0]; step++) {
        double loss, norm;
        train_step(g->rig.m, &o, step, &loss, &norm);
        within("loss of an update", fabs(loss / value_at(&losses, step) - 1), bound);
        within("norm of an update", fabs(norm / value_at(&norms, step) - 1), bound);
    }
}

static void check_case(const char *name, wn_dtype dtype, double bound) {
    golden g;
    golden_open(&g, name, dtype);
    check_masks(&g);
    check_logits(&g, dtype, bound);
    check_gradients(&g, bound);
    check_updates(&g, bound);
    golden_close(&g);
}

#define GOLDEN(name)                                                                               \
    static void name##_f32(void **state) {                                                         \
        (void)state;                                                                               \
        check_case(#name, WN_DTYPE_F32, 1e-5);                                                     \
    }                                                                                              \
    static void name##_f64(void **state) {                                                         \
        (void)state;                                                                               \
        check_case(#name, WN_DTYPE_F64, 1e-10);                                                    \
    }
GOLDEN(llama)
GOLDEN(llama_tied_bias)
GOLDEN(llama_rope3)
GOLDEN(arcee)
GOLDEN(arcee_tied_bias)
GOLDEN(llama_tile)
GOLDEN(llama_row)
GOLDEN(arcee_greedy)
GOLDEN(arcee_relu)
GOLDEN(arcee_act)
GOLDEN(arcee_act_dense)

#define BOTH(name) cmocka_unit_test(name##_f32), cmocka_unit_test(name##_f64)

int main(void) {
    const struct CMUnitTest tests[] = {
        BOTH(llama),           BOTH(llama_tied_bias), BOTH(llama_rope3),     BOTH(arcee),
        BOTH(arcee_tied_bias), BOTH(llama_tile),      BOTH(llama_row),       BOTH(arcee_greedy),
        BOTH(arcee_relu),      BOTH(arcee_act),       BOTH(arcee_act_dense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
