// SPDX-License-Identifier: MIT
/* embed by rows; embed_grad by blocks of columns, each of which sees all tokens in order. */
#include "base/fail.h"
#include "kernels/embed.h"
#include "kernels/op.h"
#include "kernels/simd/rows.h"
#include "kernels/simd/vec.h"

#include <string.h>

static wn_status refuse_token(const wn_tensor *token, int64_t vocabulary) {
    const int32_t *id = token->data;
    for (int64_t n = 0; n < token->shape[0]; n++)
        if (id[n] < 0 || id[n] >= vocabulary)
            return wn__fail(WN_INVALID, "token %d at position %lld is outside 0 to %lld",
                            (int)id[n], (long long)n, (long long)vocabulary - 1);
    return WN_OK;
}

static void embed_rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__embed *p = ctx;
    const int32_t *id = p->token.data;
    int64_t C = p->table.shape[1];
    for (int64_t n = begin; n < end; n++)
        memcpy((float *)p->out.data + n * C, (const float *)p->table.data + id[n] * C,
               (size_t)C * sizeof(float));
}

static wn_status embed(const void *args, wn__exec *x) {
    const wn__embed *p = args;
    WN_TRY(refuse_token(&p->token, p->table.shape[0]));
    if (p->table.shape[1] == 0) return WN_OK;
    wn__parallel_for(x->pool, p->token.shape[0], wn__row_grain(p->table.shape[1]), embed_rows,
                     (void *)args);
    return WN_OK;
}

static void embed_grad_columns(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__embed_grad *p = ctx;
    const int32_t *id = p->token.data;
    int64_t C = p->dtable.shape[1];
    for (int64_t row = 0; row < p->token.shape[0]; row++) {
        const float *from = (const float *)p->dout.data + row * C;
        float *to = (float *)p->dtable.data + id[row] * C;
        for (int64_t c = begin; c < end; c += VF) {
            int64_t n = end - c < VF ? end - c : VF;
            vf_put(to + c, vf_add(vf_get(to + c, n), vf_get(from + c, n)), n);
        }
    }
}

static wn_status embed_grad(const void *args, wn__exec *x) {
    const wn__embed_grad *p = args;
    WN_TRY(refuse_token(&p->token, p->dtable.shape[0]));
    wn__parallel_for(x->pool, p->dtable.shape[1], 4 * VF, embed_grad_columns, (void *)args);
    return WN_OK;
}
