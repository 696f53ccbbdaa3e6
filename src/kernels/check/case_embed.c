// SPDX-License-Identifier: MIT
// Cases of embed and embed_grad: repeated tokens, tokens outside the table. Both are exact:
// gradients are added in the order of the tokens and rounded each time.
#include "kernels/check/harness.h"
#include "kernels/embed.h"

enum { N, V, C, DTYPE, DATA, TOKENS, FIELDS };

static const char *const token_words[] = {"good", "bad", NULL};

static const wn__field fields[FIELDS] = {
    WN__FIELD_SIZE("N", 0, 2048, 129, 2000), WN__FIELD_SIZE("V", 1, 4096, 129, 2000),
    WN__FIELD_SIZE("C", 0, 512, 129, 1000),  WN__FIELD_DTYPE,
    WN__FIELD_DATA(WN__DATA_INFINITE),       WN__FIELD_WORDS("tokens", 1, 0, token_words),
};

static void fill(wn__case *c) {
    wn__part *token = wn__case_find(c, "token");
    int64_t last = c->problem.value[V] - 1;
    int32_t *id = token->image;
    wn__case_fill(c, (wn__data)c->problem.value[DATA]);
    for (int64_t i = 0; i < token->count; i++)
        id[i] = (int32_t)wn__case_draw(c, 0, last);
    if (c->problem.value[TOKENS] && token->count > 0)
        id[wn__case_draw(c, 0, token->count - 1)] = wn__case_draw(c, 0, 1) ? -1 : (int32_t)last + 1;
}

static void declare(wn__case *c) {
    wn__embed *p = c->args;
    const int64_t *v = c->problem.value;
    wn_dtype dtype = wn__case_dtype(c, DTYPE);
    wn__case_part(c, "token", &p->token, WN__READ, wn__tensor1(NULL, WN_DTYPE_I32, v[N]));
    wn__case_part(c, "table", &p->table, WN__READ, wn__tensor2(NULL, dtype, v[V], v[C]));
    wn__case_part(c, "out", &p->out, WN__WRITE, wn__tensor2(NULL, dtype, v[N], v[C]));
}

const wn__case_type wn__cases_embed = {.op = WN__OP_embed,
                                       .args_size = sizeof(wn__embed),
                                       .fields = fields,
                                       .field_count = FIELDS,
                                       .compare = WN__SAME_BITS,
                                       .declare = declare,
                                       .fill = fill};

static void grad_declare(wn__case *c) {
    wn__embed_grad *p = c->args;
    const int64_t *v = c->problem.value;
    wn_dtype dtype = wn__case_dtype(c, DTYPE);
    wn__case_part(c, "token", &p->token, WN__READ, wn__tensor1(NULL, WN_DTYPE_I32, v[N]));
    wn__case_part(c, "dout", &p->dout, WN__READ, wn__tensor2(NULL, dtype, v[N], v[C]));
    wn__case_part(c, "dtable", &p->dtable, WN__UPDATE, wn__tensor2(NULL, dtype, v[V], v[C]));
}

const wn__case_type wn__cases_embed_grad = {.op = WN__OP_embed_grad,
                                            .args_size = sizeof(wn__embed_grad),
                                            .fields = fields,
                                            .field_count = FIELDS,
                                            .compare = WN__SAME_VALUES,
                                            .declare = grad_declare,
                                            .fill = fill};
