// SPDX-License-Identifier: MIT
// The contract checks. The harness declares valid arguments of every op; each operand in turn is
// then spoilt in every way the contracts forbid. What may differ without harm is listed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/act24.h"
#include "kernels/adamw.h"
#include "kernels/attention.h"
#include "kernels/check/harness.h"
#include "kernels/contract.h"
#include "kernels/elementwise.h"
#include "kernels/mask24.h"
#include "kernels/matmul.h"
#include "kernels/pack24.h"
#include "kernels/rope.h"
#include "kernels/soft24.h"

static wn__case *make(wn__op op, const char *problem) {
    const wn__case_type *type = wn__case_type_of(op);
    wn__problem p;
    wn__case *c;
    if (wn__problem_parse(type, problem, &p) != WN_OK) fail_msg("%s", wn_last_error());
    if (wn__case_create(type, &p, 1, false, &c) != WN_OK) fail_msg("%s", wn_last_error());
    return c;
}

static wn_tensor *tensor(wn__case *c, int part) {
    return (wn_tensor *)(void *)((char *)c->args + c->part[part].offset);
}

static wn_tensor *named(wn__case *c, const char *name) {
    return tensor(c, (int)(wn__case_find(c, name) - c->part));
}

static wn_status check(wn__case *c) {
    return wn__op_check(c->type->op)(c->args);
}

// Small, with every optional operand, and with sizes that are all different where they may be.
static const char *problem_of(wn__op op) {
    switch (op) {
    case WN__OP_matmul:
        return "m=3,n=5,k=7,bias=1";
    case WN__OP_spmm24:
        return "T=3,n=5,k=12,bias=1";
    case WN__OP_spmm24_blocks:
        return "T=3,n=5,k=12,bias=1,residual=other,dense=given";
    case WN__OP_spmm24_blocks8:
        return "T=3,n=16,k=12,bias=1,residual=other,scales=rows,dense=given";
    case WN__OP_rows8:
        return "T=3,k=12";
    case WN__OP_block8:
        return "r=16,c=20";
    case WN__OP_block24:
        return "r=16,c=20,outputs=both";
    case WN__OP_spmm24_rows:
        return "n=5,m=3,k=12,order=shuffled,extra=some";
    case WN__OP_sddmm24:
        return "T=3,n=5,k=12";
    case WN__OP_spmm24_columns:
        return "T=3,r=63,c=12";
    case WN__OP_spmm24_blocks_rows:
        return "n=5,m=3,k=12";
    case WN__OP_spmm24_blocks_columns:
    case WN__OP_relu24_blocks:
        return "T=3,n=5,k=12";
    case WN__OP_mvue24_tokens:
        return "r=16,c=20";
    case WN__OP_mvue24_blocks:
        return "r=16,c=20,dtype=bf16";
    case WN__OP_pack24_tokens:
        return "r=16,c=20,order=shuffled,dense=some";
    case WN__OP_columns24:
        return "r=63,c=12";
    case WN__OP_stream:
        return "T=3,n=5,k=12,bias=1";
    case WN__OP_stream_pack:
    case WN__OP_stream_unpack:
        return "n=5,k=12";
    case WN__OP_pack24:
    case WN__OP_adamw24:
        return "r=16,c=20,outputs=both";
    case WN__OP_tile24:
        return "r=16,c=20";
    case WN__OP_mask24:
    case WN__OP_flips24:
    case WN__OP_decay24:
    case WN__OP_unpack24:
    case WN__OP_soft24_dots:
    case WN__OP_mvue24:
        return "r=8,c=12";
    case WN__OP_soft24:
    case WN__OP_apply24:
        return "r=8,c=12,scale=sste";
    case WN__OP_column_zeros:
    case WN__OP_tokens24:
        return "n=6,c=5";
    case WN__OP_densest:
        return "c=6";
    case WN__OP_kron_mul:
        return "n=3,a=2,b=4,c=3,d=2,s=2,t=3,r=2";
    case WN__OP_kron_pack:
        return "a=2,b=4,c=3,d=2,s=2,t=3,r=2";
    case WN__OP_kron_grad:
        return "n=3,a=2,b=4,c=3,d=2";
    case WN__OP_kron_pair_grad:
        return "n=3,b=4,c=3,s=2,t=3,r=2";
    case WN__OP_embed:
    case WN__OP_embed_grad:
        return "N=3,V=11,C=5";
    case WN__OP_squared_error:
        return "n=3,m=5,gradient=apart";
    case WN__OP_gradient_norms:
        return "count=6";
    case WN__OP_rmsnorm:
    case WN__OP_rmsnorm_grad:
    case WN__OP_colsum:
        return "N=3,C=5";
    case WN__OP_rope_table:
        return "P=9,half=4";
    case WN__OP_rope:
        return "B=2,T=5,H=3,half=4";
    case WN__OP_attention:
    case WN__OP_attention_grad:
        return "B=3,T=4,past=2,Hk=2,group=3,D=5";
    case WN__OP_cross_entropy:
        return "N=3,V=7,teacher=1";
    case WN__OP_copy:
        return "a=2,b=3,c=4";
    case WN__OP_adafactor:
        return "a=3,b=5,momentum=1";
    case WN__OP_round16:
    case WN__OP_round8:
    case WN__OP_rescale:
        return "a=3,b=5";
    default:
        return "n=6";
    }
}

// Sizes that may change alone: what is named op.part.dimension.
static bool is_free_size(const wn__case *c, const wn__part *p, int d) {
    static const char *const free_sizes[] = {"soft24_dots.w.0",
                                             "soft24_dots.w.1",
                                             "column_zeros.x.0",
                                             "embed.table.0",
                                             "embed_grad.dtable.0",
                                             "sum.x.0",
                                             "sumsq.x.0",
                                             "nonfinite.x.0",
                                             "fill.x.0",
                                             "normal.x.0",
                                             "rope.x.0",
                                             "rope.x.2",
                                             "colsum.x.0",
                                             "mvue24_blocks.x.0",
                                             "mvue24_blocks.x.1",
                                             "relu24_blocks.x.0",
                                             "relu24_blocks.x.1",
                                             "spmm24_blocks_columns.x.1",
                                             "spmm24_blocks_columns.y.1",
                                             "spmm24_blocks_rows.b.0",
                                             "spmm24_blocks_rows.c.0"};
    char name[64];
    (void)snprintf(name, sizeof name, "%s.%s.%d", wn__op_name(c->type->op), p->name, d);
    for (size_t i = 0; i < sizeof free_sizes / sizeof *free_sizes; i++)
        if (strcmp(name, free_sizes[i]) == 0) return true;
    return false;
}

static void assert_refused(wn__case *c, const wn__part *p, const char *spoilt) {
    wn_status status = check(c);
    if (status != WN_INVALID)
        fail_msg("%s accepts %s with %s", wn__op_name(c->type->op), p->name, spoilt);
    const char *op = wn__op_name(c->type->op), *message = wn_last_error();
    if (strncmp(message, op, strlen(op)) != 0)
        fail_msg("\"%s\" does not begin with %s", message, op);
}

// Spoils tensors one way at a time and puts them back.
static void for_each_operand(void (*spoil)(wn__case *, int)) {
    for (int op = 0; op < WN__OP_COUNT; op++) {
        wn__case *c = make((wn__op)op, problem_of((wn__op)op));
        if (check(c) != WN_OK) fail_msg("%s", wn_last_error());
        for (int i = 0; i < c->parts; i++) {
            wn_tensor whole = *tensor(c, i);
            spoil(c, i);
            *tensor(c, i) = whole;
        }
        if (check(c) != WN_OK) fail_msg("%s", wn_last_error());
        wn__case_free(c);
    }
}

static void spoil_sizes(wn__case *c, int i) {
    wn_tensor whole = *tensor(c, i);
    for (int d = 0; d < whole.ndim; d++) {
        int64_t shape[WN_MAX_DIMS];
        memcpy(shape, whole.shape, sizeof shape);
        shape[d]++;
        *tensor(c, i) = wn__tensor(NULL, whole.dtype, whole.ndim, shape);
        if (is_free_size(c, c->part + i, d))
            assert_int_equal(check(c), WN_OK);
        else
            assert_refused(c, c->part + i, "another size");
        shape[d] = -1;
        *tensor(c, i) = wn__tensor(NULL, whole.dtype, whole.ndim, shape);
        assert_refused(c, c->part + i, "a negative size");
    }
}

static void sizes_must_agree(void **state) {
    (void)state;
    for_each_operand(spoil_sizes);
}

static void spoil_dtype(wn__case *c, int i) {
    tensor(c, i)->dtype = WN_DTYPE_I16;
    assert_refused(c, c->part + i, "dtype I16");
    bool alone = c->parts == 1 || c->type->op == WN__OP_copy; // nothing to agree with
    if (!c->part[i].view.dtype || alone || !wn__is_float(c->part[i].view.dtype)) return;
    int floats = 0;
    for (int j = 0; j < c->parts; j++)
        floats += c->part[j].view.dtype == c->part[i].view.dtype;
    tensor(c, i)->dtype = WN_DTYPE_F16;
    if (floats > 1) assert_refused(c, c->part + i, "dtype F16 among F32");
}

static void dtypes_must_agree(void **state) {
    (void)state;
    for_each_operand(spoil_dtype);
}

// Factors are views of any strides.
static bool is_factor(wn__case *c, int i) {
    return (c->type->op == WN__OP_kron_mul || c->type->op == WN__OP_kron_grad ||
            c->type->op == WN__OP_kron_pair_grad || c->type->op == WN__OP_kron_pack) &&
           tensor(c, i)->ndim == 4;
}

static void spoil_strides(wn__case *c, int i) {
    wn_tensor *t = tensor(c, i);
    int last = t->ndim - 1;
    wn_tensor whole = *t;
    if (c->type->op != WN__OP_copy && !is_factor(c, i) && t->shape[last] > 1) {
        for (int d = 0; d < t->ndim; d++)
            t->stride[d] *= 2;
        assert_refused(c, c->part + i, "a last stride of 2");
        *t = whole;
    }
    if (t->ndim > 1 && t->shape[0] > 1) {
        t->stride[0] = 1;
        assert_refused(c, c->part + i, "rows that overlap");
        *t = whole;
        t->stride[0] = -t->stride[0];
        assert_refused(c, c->part + i, "a negative stride");
    }
}

static void strides_are_checked(void **state) {
    (void)state;
    for_each_operand(spoil_strides);
}

static void spoil_rank_and_device(wn__case *c, int i) {
    wn_tensor *t = tensor(c, i), whole = *t;
    t->ndim = WN_MAX_DIMS + 1;
    assert_refused(c, c->part + i, "seven dimensions");
    *t = whole;
    t->device.kind = WN_DEVICE_CUDA;
    if (c->parts > 1) assert_refused(c, c->part + i, "another device");
}

static void ranks_and_devices_are_checked(void **state) {
    (void)state;
    for_each_operand(spoil_rank_and_device);
}

static void spoil_presence(wn__case *c, int i) {
    static const char *const optional[] = {"matmul.bias",
                                           "spmm24.bias",
                                           "rmsnorm.rstd",
                                           "attention.lse",
                                           "cross_entropy.dlogits",
                                           "cross_entropy.teacher",
                                           "soft24.mask",
                                           "soft24.scale",
                                           "apply24.scale",
                                           "tokens24.order",
                                           "tokens24.dense",
                                           "spmm24_rows.order",
                                           "pack24_tokens.order",
                                           "stream.bias",
                                           "spmm24_blocks.bias",
                                           "spmm24_blocks.residual",
                                           "spmm24_blocks.dense",
                                           "block24.blocks",
                                           "block24.blocks_t",
                                           "spmm24_blocks8.bias",
                                           "spmm24_blocks8.residual",
                                           "spmm24_blocks8.dense",
                                           "block8.mask",
                                           "squared_error.bias",
                                           "squared_error.gradient",
                                           "squared_error.dbias",
                                           "fit_update.rounded"};
    char name[64];
    (void)snprintf(name, sizeof name, "%s.%s", wn__op_name(c->type->op), c->part[i].name);
    *tensor(c, i) = (wn_tensor){0};
    for (size_t j = 0; j < sizeof optional / sizeof *optional; j++)
        if (strcmp(name, optional[j]) == 0) {
            assert_int_equal(check(c), WN_OK);
            return;
        }
    assert_refused(c, c->part + i, "no tensor");
}

static void absent_operands_are_refused(void **state) {
    (void)state;
    for_each_operand(spoil_presence);
}

// Pairs that may be one tensor: op.output=input.
static bool may_share(const wn__case *c, const wn__part *out, const wn__part *in) {
    static const char *const pairs[] = {"add.c=a",
                                        "add.c=b",
                                        "swiglu.y=gate",
                                        "swiglu.y=up",
                                        "relu2.y=x",
                                        "squared_error.gradient=y",
                                        "relu2_grad.dx=x",
                                        "relu2_grad.dx=dy",
                                        "swiglu_grad.dgate=gate",
                                        "rmsnorm.y=x",
                                        "swiglu_grad.dup=up",
                                        "swiglu_grad.dgate=dy",
                                        "swiglu_grad.dup=dy",
                                        "rmsnorm_grad.dx=dy",
                                        "soft24.out=w",
                                        "mvue24.y=x",
                                        "apply24.y=x",
                                        "relu.y=x",
                                        "relu_grad.dx=x",
                                        "relu_grad.dx=dy",
                                        "tokens24.y=x",
                                        "adam_direction.d=g",
                                        "round16.y=x",
                                        "round8.y=x",
                                        "rescale.y=x",
                                        "spmm24_blocks.y=residual",
                                        "spmm24_blocks8.y=residual",
                                        "cross_entropy.dlogits=logits"};
    char name[64];
    (void)snprintf(name, sizeof name, "%s.%s=%s", wn__op_name(c->type->op), out->name, in->name);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (strcmp(name, pairs[i]) == 0) return true;
    return false;
}

static _Alignas(16) char memory[1 << 17];

// Every operand in a place of its own, then output i on operand j, exactly and shifted by one
// element.
static void spoil_overlap(wn__case *c, int i) {
    if (c->part[i].role == WN__READ) return;
    for (int j = 0; j < c->parts; j++) {
        for (int part = 0; part < c->parts; part++)
            tensor(c, part)->data = memory + 8192 * part;
        if (check(c) != WN_OK) fail_msg("%s", wn_last_error());
        if (j == i) continue;
        tensor(c, i)->data = tensor(c, j)->data;
        if (may_share(c, c->part + i, c->part + j))
            assert_int_equal(check(c), WN_OK);
        else if (!may_share(c, c->part + j, c->part + i))
            assert_refused(c, c->part + i, "another's memory");
        size_t size = wn_dtype_size(tensor(c, j)->dtype);
        if (wn__tensor_count(tensor(c, j)) < 2) continue;
        tensor(c, i)->data = (char *)tensor(c, j)->data + size;
        assert_refused(c, c->part + i, "part of another's memory");
    }
    for (int part = 0; part < c->parts; part++)
        tensor(c, part)->data = NULL;
}

static void outputs_overlap_nothing(void **state) {
    (void)state;
    for_each_operand(spoil_overlap);
}

static void assert_message(wn__case *c, const char *words) {
    assert_int_equal(check(c), WN_INVALID);
    if (!strstr(wn_last_error(), words)) fail_msg("\"%s\" lacks \"%s\"", wn_last_error(), words);
    wn__case_free(c);
}

static void messages_name_what_is_wrong(void **state) {
    (void)state;
    wn__case *c = make(WN__OP_matmul, "m=3,n=5,k=7");
    named(c, "a")->stride[0] = 30;
    named(c, "a")->stride[1] = 2;
    assert_message(c, "matmul: a has strides 30 and 2; one of them must be 1");
    c = make(WN__OP_mask24, "r=6,c=13,method=tile");
    assert_message(c,
                   "w is 6 x 13, 4x4 tiles need multiples of 4; the nearest are 4 x 12 and 8 x 16");
    c = make(WN__OP_mask24, "r=8,c=8");
    ((wn__mask24 *)c->args)->method = (wn__mask24_method)7;
    assert_message(c, "no method 7");
    c = make(WN__OP_rope, "B=1,T=5,H=1,half=2");
    ((wn__rope *)c->args)->pos0 = 3;
    assert_message(c, "positions 3 to 7 are outside the table of 5 positions");
    c = make(WN__OP_attention, "B=1,T=4,Hk=2,group=3,D=5");
    *named(c, "k") = *named(c, "v") = wn__tensor4(NULL, WN_DTYPE_F32, 1, 4, 4, 5);
    assert_message(c, "6 query heads are no multiple of 4 key and value heads");
    c = make(WN__OP_attention, "B=1,T=4,D=5");
    named(c, "k")->shape[1] = named(c, "v")->shape[1] = 3;
    assert_message(c, "T = 4 queries and S = 3 keys; S >= T >= 1");
    c = make(WN__OP_adamw, "n=4");
    ((wn__adamw *)c->args)->step = 0;
    assert_message(c, "step 0; steps count from 1");
    c = make(WN__OP_adamw, "n=4");
    ((wn__adamw *)c->args)->beta2 = 1;
    assert_message(c, "must be in [0, 1)");
    c = make(WN__OP_copy, "a=1,b=2,c=3");
    named(c, "dst")->dtype = WN_DTYPE_I32;
    assert_message(c, "copy: F32 to I32; only float types convert");
    c = make(WN__OP_pack24, "r=4,c=4");
    *named(c, "index") = (wn_tensor){0};
    assert_message(c, "values and index must both be given or both absent");
    c = make(WN__OP_mvue24, "r=4,c=4");
    ((wn__mvue24 *)c->args)->axis = 2;
    assert_message(c, "axis 2 must be 0 (rows) or 1 (columns)");
    c = make(WN__OP_mvue24, "r=4,c=4");
    ((wn__mvue24 *)c->args)->group = 3;
    assert_message(c, "groups of 3; must be 4 or 2");
    c = make(WN__OP_mvue24, "r=4,c=4");
    ((wn__mvue24 *)c->args)->method = (wn__mvue24_method)2;
    assert_message(c, "no method 2");
    c = make(WN__OP_mvue24, "r=4,c=4");
    ((wn__mvue24 *)c->args)->counter = UINT64_C(1) << 32;
    assert_message(c, "counter 4294967296 must be below 2^32");
    c = make(WN__OP_mvue24, "r=524288,c=131076,axis=1"); // 2^34 + 2^19 groups
    assert_message(c, "17180393472 groups are more than 2^34 / 1");
    c = make(WN__OP_densest, "c=6");
    ((wn__densest *)c->args)->count = 7;
    assert_message(c, "count 7 must be 0 to 6");
    c = make(WN__OP_rope, "B=1,T=5,H=1,half=2");
    named(c, "x")->shape[3] = 3;
    assert_message(c, "head size 3 is odd; the nearest are 2 and 4");
}

static wn_tensor part_of(void *data, int64_t rows, int64_t row, int64_t first, int64_t columns) {
    wn_tensor t = wn__tensor2(data, WN_DTYPE_F32, rows, row);
    return wn__tensor_slice(&t, 1, first, columns);
}

static void interleaved_views_do_not_overlap(void **state) {
    (void)state;
    wn_tensor a = part_of(memory, 4, 10, 0, 5), b = part_of(memory, 4, 10, 5, 5);
    assert_false(wn__overlap(&a, &b));
    assert_false(wn__overlap(&b, &a));
    b = part_of(memory, 4, 10, 4, 5);
    assert_true(wn__overlap(&a, &b));
    b = part_of(memory + 40, 3, 10, 8, 2); // rows 1 to 3, columns 8 and 9
    assert_false(wn__overlap(&a, &b));
    wn_tensor t = wn__tensor_transpose(&a);
    assert_true(wn__overlap(&t, &a));
    b = part_of(memory, 4, 10, 5, 5);
    assert_false(wn__overlap(&t, &b));
    wn_tensor whole = wn__tensor1(memory, WN_DTYPE_F32, 40);
    assert_true(wn__overlap(&whole, &a));
    wn_tensor after = wn__tensor1(memory + 160, WN_DTYPE_F32, 4);
    assert_false(wn__overlap(&whole, &after));
    wn_tensor empty = wn__tensor2(memory, WN_DTYPE_F32, 0, 4), none = a;
    assert_false(wn__overlap(&empty, &a));
    none.data = NULL;
    assert_false(wn__overlap(&none, &a));
}

// q, k and v of one projection: heads of a slice of each row.
static void slices_of_heads_do_not_overlap(void **state) {
    (void)state;
    const int64_t heads[] = {2, 3, 6, 4}; // B T H D
    wn_tensor qkv = wn__tensor(memory, WN_DTYPE_F32, 4, heads);
    wn_tensor q = wn__tensor_slice(&qkv, 2, 0, 2), k = wn__tensor_slice(&qkv, 2, 2, 2);
    wn_tensor v = wn__tensor_slice(&qkv, 2, 4, 2), most = wn__tensor_slice(&qkv, 2, 1, 4);
    assert_false(wn__overlap(&q, &k) || wn__overlap(&k, &v) || wn__overlap(&v, &q));
    assert_true(wn__overlap(&most, &q) && wn__overlap(&most, &k) && wn__overlap(&most, &v));
    wn_tensor first = wn__tensor_slice(&qkv, 1, 0, 1), last = wn__tensor_slice(&qkv, 1, 2, 1);
    assert_false(wn__overlap(&first, &last));
}

static void views_that_fold_are_told(void **state) {
    (void)state;
    wn_tensor t = wn__tensor2(NULL, WN_DTYPE_F32, 3, 4);
    assert_true(wn__injective(&t));
    t.stride[0] = 3;
    assert_false(wn__injective(&t));
    t.stride[0] = 0;
    assert_false(wn__injective(&t));
    t.shape[0] = 1; // the stride of one row means nothing
    assert_true(wn__injective(&t));
    t = wn__tensor2(NULL, WN_DTYPE_F32, 3, 4);
    t.stride[0] = INT64_MAX / 2;
    assert_false(wn__injective(&t)); // nor does one that no memory has
    t = wn__tensor_transpose(&t);
    t.shape[1] = 0;
    assert_true(wn__injective(&t));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_must_agree),
        cmocka_unit_test(dtypes_must_agree),
        cmocka_unit_test(strides_are_checked),
        cmocka_unit_test(ranks_and_devices_are_checked),
        cmocka_unit_test(absent_operands_are_refused),
        cmocka_unit_test(outputs_overlap_nothing),
        cmocka_unit_test(messages_name_what_is_wrong),
        cmocka_unit_test(interleaved_views_do_not_overlap),
        cmocka_unit_test(slices_of_heads_do_not_overlap),
        cmocka_unit_test(views_that_fold_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
