// SPDX-License-Identifier: MIT
// embed and embed_grad, the specification. Rows are copied as bytes; gradients are added one by one
// in the order of the tokens, rounded to the dtype each time.
#include "kernels/embed.h"
#include "base/fail.h"
#include "kernels/declare.h"
#include "kernels/element.h"

#include <string.h>

static wn_status refuse_token(const wn_tensor *token, int64_t vocabulary) {
    const int32_t *id = token->data;
    for (int64_t n = 0; n < token->shape[0]; n++)
        if (id[n] < 0 || id[n] >= vocabulary)
            return wn__fail(WN_INVALID, "token %d at position %lld is outside 0 to %lld",
                            (int)id[n], (long long)n, (long long)vocabulary - 1);
    return WN_OK;
}

wn_status wn__embed_ref(const void *args, wn__exec *x) {
    (void)x;
    const wn__embed *p = args;
    WN_TRY(refuse_token(&p->token, p->table.shape[0]));
    const int32_t *id = p->token.data;
    size_t row = (size_t)p->table.shape[1] * wn_dtype_size(p->table.dtype);
    if (row == 0) return WN_OK;
    for (int64_t n = 0; n < p->token.shape[0]; n++)
        memcpy((char *)p->out.data + (size_t)n * row,
               (const char *)p->table.data + (size_t)id[n] * row, row);
    return WN_OK;
}

wn_status wn__embed_grad_ref(const void *args, wn__exec *x) {
    (void)x;
    const wn__embed_grad *p = args;
    WN_TRY(refuse_token(&p->token, p->dtable.shape[0]));
    const int32_t *id = p->token.data;
    int64_t columns = p->dtable.shape[1];
    for (int64_t n = 0; n < p->token.shape[0]; n++)
        for (int64_t c = 0; c < columns; c++) {
            int64_t at = id[n] * columns + c;
            wn__set(&p->dtable, at, wn__get(&p->dtable, at) + wn__get(&p->dout, n * columns + c));
        }
    return WN_OK;
}
