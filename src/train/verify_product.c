// SPDX-License-Identifier: MIT
// Checks of products: sparse against dense on the same weights, and the kernels against the
// reference on shapes of real models.
#include "base/fail.h"
#include "base/philox.h"
#include "kernels/elementwise.h"
#include "kernels/matmul.h"
#include "kernels/pack24.h"
#include "kernels/spmm24.h"
#include "sparse/weight24.h"
#include "train/verify.h"
#include "winnow/kernels.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#define TOKENS INT64_C(48)
#define OUT    INT64_C(320)
#define IN     INT64_C(256)

static wn_status normal(wn__verify *v, int64_t r, int64_t c, uint64_t stream, wn_tensor *out) {
    WN_TRY(wn__tensor_alloc2(&v->arena, WN_DTYPE_F32, r, c, out));
    const wn__normal draw = {.x = *out, .seed = 11, .stream = WN_STREAM_TEST + stream, .std = 1};
    return wn__verify_op(v, WN__OP_normal, &draw);
}

// Both results are within 2 k u sum|x||w| of the exact one, so within twice that of each other.
static double worst_ratio(const float *x, const float *w, const float *sparse, const float *dense) {
    double worst = 0;
    for (int64_t t = 0; t < TOKENS; t++)
        for (int64_t o = 0; o < OUT; o++) {
            double sum = 0;
            for (int64_t i = 0; i < IN; i++)
                sum += fabs((double)x[t * IN + i] * (double)w[o * IN + i]);
            double bound =
                4 * (double)IN * 0x1p-24 * sum + 0x1p-23 * fabs((double)dense[t * OUT + o]);
            double ratio = fabs((double)sparse[t * OUT + o] - (double)dense[t * OUT + o]) / bound;
            if (!(ratio <= worst)) worst = ratio;
        }
    return worst;
}

static wn_status products(wn__verify *v, const wn_tensor *x, const wn_tensor *w,
                          const wn__pack24 *pack, const wn_tensor *plain, const wn_tensor *sparse,
                          const wn_tensor *dense) {
    const wn__mask24 choose = {.w = *w, .mask = pack->mask, .method = WN_MASK24_ROW};
    const wn__unpack24 unpack = {.values = pack->values, .index = pack->index, .w = *plain};
    const wn__spmm24 multiply = {
        .x = *x, .values = pack->values, .index = pack->index, .y = *sparse};
    const wn__matmul compare = {.a = *x, .b = wn__tensor_transpose(plain), .c = *dense};
    WN_TRY(wn__verify_op(v, WN__OP_mask24, &choose));
    WN_TRY(wn__verify_op(v, WN__OP_pack24, pack));
    WN_TRY(wn__verify_op(v, WN__OP_unpack24, &unpack));
    WN_TRY(wn__verify_op(v, WN__OP_spmm24, &multiply));
    return wn__verify_op(v, WN__OP_matmul, &compare);
}

wn_status wn__verify_product(wn__verify *v) {
    wn_tensor x, w, plain, sparse, dense;
    wn__pack24 pack = {0};
    WN_TRY(normal(v, TOKENS, IN, 20, &x));
    WN_TRY(normal(v, OUT, IN, 21, &w));
    WN_TRY(wn__tensor_alloc2(&v->arena, WN_DTYPE_F32, OUT, IN, &plain));
    WN_TRY(wn__tensor_alloc2(&v->arena, WN_DTYPE_F32, TOKENS, OUT, &sparse));
    WN_TRY(wn__tensor_alloc2(&v->arena, WN_DTYPE_F32, TOKENS, OUT, &dense));
    WN_TRY(wn__tensor_alloc2(&v->arena, WN_DTYPE_U8, OUT, IN / 4, &pack.mask));
    WN_TRY(wn__tensor_alloc2(&v->arena, WN_DTYPE_F32, OUT, IN / 2, &pack.values));
    WN_TRY(wn__tensor_alloc2(&v->arena, WN_DTYPE_U8, OUT, IN / 8, &pack.index));
    pack.w = w;
    if (products(v, &x, &w, &pack, &plain, &sparse, &dense) != WN_OK) {
        wn__verify_say(v, "sparse product", false, "%s", wn_last_error());
        return WN_OK;
    }
    double worst = worst_ratio(x.data, plain.data, sparse.data, dense.data);
    wn__verify_say(v, "sparse product", worst <= 1,
                   "differs from the dense one by %.3f of the rounding bound at most", worst);
    return WN_OK;
}

typedef struct first_failure {
    char message[400];
} first_failure;

static void keep_first(void *ctx, const wn_check_result *r) {
    first_failure *f = ctx;
    if (!r->passed && f->message[0] == '\0')
        (void)snprintf(f->message, sizeof f->message, "%s", r->message);
}

// An MLP of LLaMA 130M at a few tokens, both ways round.
wn_status wn__verify_shapes(wn__verify *v) {
    static const struct {
        const char *op, *problem;
    } shapes[] = {{"matmul", "m=48,n=2048,k=768"}, {"spmm24", "T=48,n=2048,k=768"},
                  {"spmm24", "T=48,n=768,k=2048"}, {"mask24", "r=768,c=2048"},
                  {"pack24", "r=768,c=2048"},      {"unpack24", "r=768,c=2048"}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        first_failure f = {""};
        char line[96];
        int64_t cases = 0, failed = 0;
        const wn_check_options o = {
            .op = shapes[i].op, .seed = 1, .threads = v->threads, .problem = shapes[i].problem};
        wn_status status = wn_kernels_check(&o, keep_first, &f, &cases, &failed);
        (void)snprintf(line, sizeof line, "%s, %s", shapes[i].op, shapes[i].problem);
        wn__verify_say(v, line, status == WN_OK && failed == 0 && cases > 0,
                       "%" PRId64 " variants, %s%s", cases,
                       failed == 0 ? "all agree with the reference" : f.message,
                       status == WN_OK ? "" : wn_last_error());
    }
    return WN_OK;
}
