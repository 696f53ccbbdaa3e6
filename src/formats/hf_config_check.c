// SPDX-License-Identifier: MIT
// What a model configuration may be, and how many parameters it has. Checked once, so that no code
// above needs to fear a product of sizes.
#include "formats/hf_config.h"

#include "base/fail.h"
#include <math.h>
#include <stdlib.h>

#define SIZE_LIMIT ((int64_t)INT32_MAX)

// "field 0: nearest legal is 1".
static wn_status refuse_int(const char *field, int64_t value, const char *rule, int64_t nearest) {
    return wn__fail(WN_INVALID, "%s is %lld, but must be %s; the nearest legal value is %lld",
                    field, (long long)value, rule, (long long)nearest);
}

static wn_status check_size(const char *field, int64_t value) {
    if (value < 1) return refuse_int(field, value, "at least 1", 1);
    if (value > SIZE_LIMIT) return refuse_int(field, value, "below 2^31", SIZE_LIMIT);
    return WN_OK;
}

// The divisor of n nearest to value.
static int64_t nearest_divisor(int64_t n, int64_t value) {
    int64_t best = 1;
    for (int64_t d = 1; d * d <= n; d++) {
        if (n % d != 0) continue;
        const int64_t pair[] = {d, n / d};
        for (int i = 0; i < 2; i++)
            if (llabs(pair[i] - value) < llabs(best - value)) best = pair[i];
    }
    return best;
}

static int64_t nearest_multiple(int64_t n, int64_t value) {
    int64_t down = value / n * n;
    return down > 0 && value - down <= down + n - value ? down : down + n;
}

static wn_status check_sizes(const wn__model_config *c) {
    WN_TRY(check_size("vocab_size", c->vocab_size));
    WN_TRY(check_size("hidden_size", c->hidden_size));
    WN_TRY(check_size("intermediate_size", c->intermediate_size));
    WN_TRY(check_size("num_hidden_layers", c->layers));
    WN_TRY(check_size("num_attention_heads", c->heads));
    WN_TRY(check_size("num_key_value_heads", c->kv_heads));
    WN_TRY(check_size("head_dim", c->head_dim));
    return check_size("max_position_embeddings", c->max_positions);
}

static wn_status check_heads(const wn__model_config *c) {
    if (c->heads % c->kv_heads != 0)
        return refuse_int("num_key_value_heads", c->kv_heads, "a divisor of num_attention_heads",
                          nearest_divisor(c->heads, c->kv_heads));
    if (c->head_dim % 2 != 0) return refuse_int("head_dim", c->head_dim, "even", c->head_dim + 1);
    if (c->hidden_size % c->heads != 0)
        return refuse_int("hidden_size", c->hidden_size, "a multiple of num_attention_heads",
                          nearest_multiple(c->heads, c->hidden_size));
    if (c->heads * c->head_dim > SIZE_LIMIT)
        return refuse_int("head_dim", c->head_dim, "below 2^31 / num_attention_heads",
                          SIZE_LIMIT / c->heads / 2 * 2);
    return WN_OK;
}

static wn_status check_positive(const char *field, double value, double usual) {
    if (isfinite(value) && value > 0) return WN_OK;
    return wn__fail(WN_INVALID, "%s is %g, but must be finite and above 0; usual is %g", field,
                    value, usual);
}

static wn_status check_rope(const wn__model_config *c) {
    WN_TRY(check_positive("rope_theta", c->rope_theta, 10000));
    if (c->rope == WN_ROPE_DEFAULT) return WN_OK;
    if (c->rope != WN_ROPE_LINEAR && c->rope != WN_ROPE_LLAMA3)
        return wn__fail(WN_INVALID, "rope_type is %d, but must be default, linear or llama3",
                        (int)c->rope);
    WN_TRY(check_positive("rope factor", c->rope_factor, 8));
    if (c->rope == WN_ROPE_LINEAR) return WN_OK;
    WN_TRY(check_positive("rope low_freq_factor", c->rope_low_freq, 1));
    WN_TRY(check_positive("rope high_freq_factor", c->rope_high_freq, 4));
    if (c->rope_high_freq <= c->rope_low_freq)
        return wn__fail(WN_INVALID,
                        "rope high_freq_factor is %g, but must be above low_freq_factor, %g",
                        c->rope_high_freq, c->rope_low_freq);
    return check_size("rope original_max_position_embeddings", c->rope_original_positions);
}

static wn_status check_token(const char *field, int64_t id, int64_t vocab) {
    if (id < 0) return refuse_int(field, id, "a token id", 0);
    if (id >= vocab) return refuse_int(field, id, "below vocab_size", vocab - 1);
    return WN_OK;
}

static wn_status check_tokens(const wn__model_config *c) {
    if (c->bos != -1) WN_TRY(check_token("bos_token_id", c->bos, c->vocab_size));
    if (c->eos_count < 0 || c->eos_count > WN_MAX_EOS)
        return refuse_int("the number of eos ids", c->eos_count, "0 to 8",
                          c->eos_count < 0 ? 0 : WN_MAX_EOS);
    for (int32_t i = 0; i < c->eos_count; i++)
        WN_TRY(check_token("eos_token_id", c->eos[i], c->vocab_size));
    return WN_OK;
}

wn_status wn__model_config_check(const wn__model_config *c) {
    WN_TRY(check_sizes(c));
    WN_TRY(check_heads(c));
    WN_TRY(check_positive("rms_norm_eps", c->rms_eps, 1e-6));
    WN_TRY(check_rope(c));
    if (!(c->init_std >= 0 && c->init_std <= 1))
        return wn__fail(WN_INVALID, "initializer_range is %g, but must be 0 to 1; usual is 0.02",
                        c->init_std);
    if (c->mlp != WN_MLP_SWIGLU && c->mlp != WN_MLP_RELU2 && c->mlp != WN_MLP_RELU)
        return wn__fail(WN_INVALID,
                        "the kind of MLP is %d, but must be SwiGLU, squared ReLU or ReLU",
                        (int)c->mlp);
    WN_TRY(check_tokens(c));
    if (wn__model_config_params(c) == INT64_MAX)
        return wn__fail(WN_INVALID, "num_hidden_layers is %lld: the parameters pass 2^63",
                        (long long)c->layers);
    return WN_OK;
}

// ---- parameters ----

// *sum += a * b for what is not negative; *sum stays at INT64_MAX once it is too much.
static void add_product(int64_t *sum, int64_t a, int64_t b) {
    int64_t product;
    if (__builtin_mul_overflow(a, b, &product) || __builtin_add_overflow(*sum, product, sum))
        *sum = INT64_MAX;
}

// One Linear of in x out.
static void add_linear(int64_t *sum, int64_t in, int64_t out, bool bias) {
    add_product(sum, in, out);
    if (bias) add_product(sum, out, 1);
}

int64_t wn__model_config_params(const wn__model_config *c) {
    int64_t q = 0, kv = 0, layer = 0, total = 0;
    add_product(&q, c->heads, c->head_dim);
    add_product(&kv, c->kv_heads, c->head_dim);
    add_linear(&layer, c->hidden_size, q, c->qkv_bias);
    add_linear(&layer, c->hidden_size, kv, c->qkv_bias);
    add_linear(&layer, c->hidden_size, kv, c->qkv_bias);
    add_linear(&layer, q, c->hidden_size, c->o_bias);
    if (c->mlp == WN_MLP_SWIGLU) // gate
        add_linear(&layer, c->hidden_size, c->intermediate_size, c->mlp_bias);
    add_linear(&layer, c->hidden_size, c->intermediate_size, c->mlp_bias);
    add_linear(&layer, c->intermediate_size, c->hidden_size, c->mlp_bias);
    add_product(&layer, c->hidden_size, 2); // the two norms
    add_product(&total, layer, c->layers);
    add_product(&total, c->vocab_size, c->hidden_size);
    if (!c->tied) add_product(&total, c->vocab_size, c->hidden_size);
    add_product(&total, c->hidden_size, 1); // the last norm
    return total;
}
