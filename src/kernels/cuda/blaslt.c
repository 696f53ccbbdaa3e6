// SPDX-License-Identifier: MIT
// cuBLASLt: its functions, products in its words, and its choices kept by shape.
#include "kernels/cuda/blaslt.h"

#include "base/fail.h"
#include "base/log.h"
#include "kernels/cuda/libraries.h"
#include "tensor/cuda_driver.h"
#include <dlfcn.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct wn__blaslt {
    const wn__lt_api *api;
    wn__cuda *device;
    wn__lt_handle handle;
    wn__lt_plan *plans;
};

static wn__lt_api functions;
static char missing[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void find(void) {
    void *handle;
    if (!wn__cuda_library_open("cuBLASLt", &handle, missing, sizeof missing)) return;
#define TAKE(name, result, symbol, arguments)                                                      \
    if (missing[0] == '\0') {                                                                      \
        void *found = dlsym(handle, #symbol);                                                      \
        memcpy(&functions.name, &found, sizeof functions.name);                                    \
        if (found == NULL) (void)snprintf(missing, sizeof missing, "it has no " #symbol);          \
    }
    WN_LT_MAP(TAKE)
#undef TAKE
}

wn_status wn__blaslt_find(const wn__lt_api **out) {
    *out = NULL;
    (void)pthread_once(&once, find);
    if (missing[0] != '\0') return wn__fail(WN_UNSUPPORTED, "no cuBLASLt: %s", missing);
    *out = &functions;
    return WN_OK;
}

bool wn__blaslt_there(void) {
    (void)pthread_once(&once, find);
    return missing[0] == '\0';
}

static wn_status check(const wn__lt_api *api, const char *symbol, wn__lt_status status) {
    if (status == 0) return WN_OK;
    const char *name = api->status_name(status);
    return wn__fail(status == WN_LT_NOT_SUPPORTED ? WN_UNSUPPORTED : WN_DEVICE, "%s: %s (%d)",
                    symbol, name != NULL ? name : "unknown status", status);
}

wn_status wn__blaslt_open(wn__cuda *d, wn__blaslt **out) {
    const wn__lt_api *api;
    *out = NULL;
    WN_TRY(wn__blaslt_find(&api));
    WN_TRY(wn__cuda_not_capturing(d, "opening cuBLASLt"));
    WN_TRY(wn__cuda_enter(d));
    wn__blaslt *b = calloc(1, sizeof *b);
    if (b == NULL) return wn__fail(WN_NOMEM, "no memory for cuBLASLt");
    *b = (wn__blaslt){.api = api, .device = d};
    wn_status status = check(api, "cublasLtCreate", api->create(&b->handle));
    if (status != WN_OK) {
        free(b);
        return status;
    }
    *out = b;
    return WN_OK;
}

static void free_plan(const wn__lt_api *api, wn__lt_plan *p) {
    if (p->matmul != NULL) (void)api->matmul_destroy(p->matmul);
    if (p->a != NULL) (void)api->layout_destroy(p->a);
    if (p->b != NULL) (void)api->layout_destroy(p->b);
    if (p->c != NULL) (void)api->layout_destroy(p->c);
    free(p);
}

void wn__blaslt_close(wn__blaslt *b) {
    if (b == NULL) return;
    while (b->plans != NULL) {
        wn__lt_plan *p = b->plans;
        b->plans = p->next;
        free_plan(b->api, p);
    }
    (void)b->api->destroy(b->handle);
    free(b);
}

static bool type_of(wn_dtype dtype, int *out) {
    switch (dtype) {
    case WN_DTYPE_F32:
        *out = WN_LT_F32;
        return true;
    case WN_DTYPE_BF16:
        *out = WN_LT_BF16;
        return true;
    case WN_DTYPE_F16:
        *out = WN_LT_F16;
        return true;
    case WN_DTYPE_U8:
        *out = WN_LT_E4M3;
        return true;
    default:
        return false;
    }
}

// Row-major is the transpose of column-major, so a matrix that lies row by row is a plain operand.
static bool operand(const wn_tensor *t, int *transposed, int64_t *lead) {
    const bool by_rows = t->stride[1] == 1;
    const int64_t along = t->shape[by_rows ? 1 : 0], across = t->shape[by_rows ? 0 : 1];
    const int64_t stride = t->stride[by_rows ? 0 : 1];
    *transposed = !by_rows;
    *lead = across > 1 ? stride : along;
    return *lead >= along;
}

// More than 16 bytes makes no difference to it.
static uint32_t alignment(const wn_tensor *t) {
    const uintptr_t p = (uintptr_t)t->data;
    uint32_t align = 16;
    while (align > 1 && p % align != 0)
        align /= 2;
    return align;
}

size_t wn__blaslt_workspace_of(const wn__matmul *p, int64_t count) {
    enum { LEAST = 1 << 20, MOST = 32 << 20 };
    const double numbers = (double)count * (double)p->c.shape[0] * (double)p->c.shape[1];
    const double parts = 128 * numbers; // 32 sums of each
    return parts > MOST - LEAST ? (size_t)MOST : (size_t)LEAST + (size_t)parts / 1024 * 1024;
}

size_t wn__blaslt_workspace(const wn__matmul *p) {
    return wn__blaslt_workspace_of(p, 1);
}

// What is aligned and has a step added.
static void lower(uint32_t *align, int64_t step, int type) {
    const uint64_t bytes = (uint64_t)step * (type == WN_LT_F32 ? 4 : type == WN_LT_E4M3 ? 1 : 2);
    while (*align > 1 && bytes % *align != 0)
        *align /= 2;
}

void wn__blaslt_apart(wn__lt_shape *s, const int64_t step[3]) {
    lower(&s->align_a, step[1], s->in);
    lower(&s->align_b, step[0], s->in);
    lower(&s->align_c, step[2], s->out);
}

void wn__blaslt_repeat(wn__lt_shape *s, int count, const int64_t step[3]) {
    if (count < 2) return;
    s->batch = count;
    s->step_a = step[1];
    s->step_b = step[0];
    s->step_c = step[2];
    wn__blaslt_apart(s, step);
}

bool wn__blaslt_shape(const wn__matmul *p, wn__lt_shape *out, char *why, size_t n) {
    wn__lt_shape s;
    const wn__lt_api *api;
    memset(&s, 0, sizeof s);
    s.rows = p->c.shape[1];
    s.columns = p->c.shape[0];
    s.inner = p->a.shape[1];
    s.lead_c = s.columns > 1 ? p->c.stride[0] : s.rows;
    s.bias = wn__given(&p->bias);
    s.align_a = alignment(&p->b);
    s.align_b = alignment(&p->a);
    s.align_c = alignment(&p->c);
    s.align_bias = s.bias ? alignment(&p->bias) : 0;
    s.workspace = wn__blaslt_workspace(p);
    // a sum in parts is added up in float32, never in 16 bits
    s.reductions = WN_LT_REDUCE_SUMS;
    if (!type_of(p->a.dtype, &s.in) || !type_of(p->c.dtype, &s.out))
        (void)snprintf(why, n, "dtype %s is not multiplied there", wn_dtype_name(p->a.dtype));
    else if (s.out != WN_LT_F32 && p->accumulate)
        (void)snprintf(why, n, "cuBLASLt may round a 16-bit product before it adds to it");
    else if (s.inner == 0)
        (void)snprintf(why, n, "k=0 leaves nothing to multiply");
    else if (!operand(&p->b, &s.transposed_a, &s.lead_a) ||
             !operand(&p->a, &s.transposed_b, &s.lead_b))
        (void)snprintf(why, n, "rows of an operand overlap");
    else if (wn__blaslt_find(&api) != WN_OK)
        (void)snprintf(why, n, "%s", wn_last_error());
    else {
        *out = s;
        return true;
    }
    return false;
}

wn_status wn__blaslt_scale(wn__blaslt *b, const wn__lt_plan *plan, const void *of_b,
                           const void *of_a) {
    WN_TRY(check(b->api, "cublasLtMatmulDescSetAttribute",
                 b->api->matmul_set(plan->matmul, WN_LT_SCALE_A, &of_b, sizeof of_b)));
    return check(b->api, "cublasLtMatmulDescSetAttribute",
                 b->api->matmul_set(plan->matmul, WN_LT_SCALE_B, &of_a, sizeof of_a));
}

// What 8-bit numbers need beside. The library is asked about scales at some address; each run says
// where they are.
static wn_status describe8(wn__blaslt *b, wn__lt_plan *p) {
    const int8_t fast = 1;
    const int32_t mode = p->shape.scales;
    WN_TRY(check(b->api, "cublasLtMatmulDescSetAttribute",
                 b->api->matmul_set(p->matmul, WN_LT_FAST_SUMS, &fast, sizeof fast)));
    if (mode == WN_LT_SCALE_ONE) return WN_OK;
    for (int i = WN_LT_SCALE_MODE_A; i <= WN_LT_SCALE_MODE_B; i++)
        WN_TRY(check(b->api, "cublasLtMatmulDescSetAttribute",
                     b->api->matmul_set(p->matmul, i, &mode, sizeof mode)));
    return wn__blaslt_scale(b, p, p, p);
}

// A matrix [rows, columns] as the product takes it.
typedef struct lie {
    int type, transposed;
    uint64_t rows, columns;
    int64_t lead;
    int batch;
    int64_t step;
} lie;

static wn_status lay_out(const wn__lt_api *api, const lie *m, wn__lt_layout *out) {
    const int32_t batch = m->batch;
    WN_TRY(check(api, "cublasLtMatrixLayoutCreate",
                 api->layout_create(out, m->type, m->transposed ? m->columns : m->rows,
                                    m->transposed ? m->rows : m->columns, m->lead)));
    if (batch == 0) return WN_OK;
    WN_TRY(check(api, "cublasLtMatrixLayoutSetAttribute",
                 api->layout_set(*out, WN_LT_BATCH, &batch, sizeof batch)));
    return check(api, "cublasLtMatrixLayoutSetAttribute",
                 api->layout_set(*out, WN_LT_STEP, &m->step, sizeof m->step));
}

static wn_status describe(wn__blaslt *b, wn__lt_plan *p) {
    const wn__lt_api *api = b->api;
    const wn__lt_shape *s = &p->shape;
    const int epilogue = s->bias ? WN_LT_EPILOGUE_BIAS : WN_LT_EPILOGUE_NONE;
    const struct {
        int attribute;
        const int *value;
    } set[] = {{WN_LT_TRANSPOSE_A, &s->transposed_a},
               {WN_LT_TRANSPOSE_B, &s->transposed_b},
               {WN_LT_EPILOGUE, &epilogue},
               {WN_LT_BIAS_TYPE, &s->out}};
    WN_TRY(check(api, "cublasLtMatmulDescCreate",
                 api->matmul_create(&p->matmul, WN_LT_COMPUTE_F32, WN_LT_F32)));
    for (size_t i = 0; i < sizeof set / sizeof *set - (s->bias ? 0 : 1); i++)
        WN_TRY(check(api, "cublasLtMatmulDescSetAttribute",
                     api->matmul_set(p->matmul, set[i].attribute, set[i].value, sizeof(int))));
    if (s->in == WN_LT_E4M3) WN_TRY(describe8(b, p));
    const uint64_t rows = (uint64_t)s->rows, columns = (uint64_t)s->columns,
                   inner = (uint64_t)s->inner;
    const lie first = {s->in, s->transposed_a, rows, inner, s->lead_a, s->batch, s->step_a};
    const lie second = {s->in, s->transposed_b, inner, columns, s->lead_b, s->batch, s->step_b};
    const lie result = {s->out, 0, rows, columns, s->lead_c, s->batch, s->step_c};
    WN_TRY(lay_out(api, &first, &p->a));
    WN_TRY(lay_out(api, &second, &p->b));
    return lay_out(api, &result, &p->c);
}

static wn_status ask(wn__blaslt *b, wn__lt_plan *p, wn__lt_preference wish) {
    const wn__lt_api *api = b->api;
    const wn__lt_shape *s = &p->shape;
    const uint32_t reductions = (uint32_t)s->reductions;
    const struct {
        int attribute;
        const void *value;
        size_t bytes;
    } set[] = {{WN_LT_WORKSPACE, &s->workspace, sizeof s->workspace},
               {WN_LT_REDUCTIONS, &reductions, sizeof reductions},
               {WN_LT_ALIGN_A, &s->align_a, sizeof s->align_a},
               {WN_LT_ALIGN_B, &s->align_b, sizeof s->align_b},
               {WN_LT_ALIGN_C, &s->align_c, sizeof s->align_c},
               {WN_LT_ALIGN_D, &s->align_c, sizeof s->align_c}};
    for (size_t i = 0; i < sizeof set / sizeof *set; i++)
        WN_TRY(check(api, "cublasLtMatmulPreferenceSetAttribute",
                     api->preference_set(wish, set[i].attribute, set[i].value, set[i].bytes)));
    WN_TRY(check(api, "cublasLtMatmulAlgoGetHeuristic",
                 api->heuristic(b->handle, p->matmul, p->a, p->b, p->c, p->c, wish, p->wanted,
                                p->choice, &p->found)));
    if (p->found > 0) return WN_OK;
    return wn__fail(WN_UNSUPPORTED, "cuBLASLt has no way to multiply [%lld, %lld] by [%lld, %lld]",
                    (long long)s->columns, (long long)s->inner, (long long)s->inner,
                    (long long)s->rows);
}

static wn_status make(wn__blaslt *b, wn__lt_plan *p) {
    wn__lt_preference wish = NULL;
    WN_TRY(describe(b, p));
    WN_TRY(check(b->api, "cublasLtMatmulPreferenceCreate", b->api->preference_create(&wish)));
    wn_status status = ask(b, p, wish);
    (void)b->api->preference_destroy(wish);
    return status;
}

wn_status wn__blaslt_plan(wn__blaslt *b, const wn__lt_shape *s, int wanted,
                          const wn__lt_plan **out) {
    *out = NULL;
    for (const wn__lt_plan *p = b->plans; p != NULL; p = p->next)
        if (p->wanted == wanted && memcmp(&p->shape, s, sizeof *s) == 0) {
            *out = p;
            return WN_OK;
        }
    WN_TRY(wn__cuda_not_capturing(b->device, "asking cuBLASLt about a product"));
    WN_TRY(wn__cuda_enter(b->device));
    wn__lt_plan *p = calloc(1, sizeof *p);
    if (p == NULL) return wn__fail(WN_NOMEM, "no memory for a plan");
    memcpy(&p->shape, s, sizeof *s);
    p->wanted = wanted;
    wn_status status = make(b, p);
    if (status != WN_OK) {
        free_plan(b->api, p);
        return status;
    }
    p->next = b->plans;
    b->plans = p;
    *out = p;
    return WN_OK;
}

// FNV-1a of an algorithm's words.
static uint64_t hash_of(const wn__lt_algorithm *a) {
    uint64_t h = UINT64_C(0xCBF29CE484222325);
    for (size_t i = 0; i < sizeof a->data; i++)
        h = (h ^ (a->data[i / 8] >> (i % 8 * 8) & 0xFF)) * UINT64_C(0x100000001B3);
    return h;
}

// What the text of a way says.
typedef struct way_words {
    size_t version;
    int place;
    uint64_t hash;
} way_words;

static void write_way(const way_words *w, char out[WN__WAY_TEXT]) {
    (void)snprintf(out, WN__WAY_TEXT, "cublaslt/%zu/%d/%016" PRIx64, w->version, w->place, w->hash);
}

// True for what write_way writes, and nothing else.
static bool read_way(const char *way, way_words *w) {
    char again[WN__WAY_TEXT];
    if (sscanf(way, "cublaslt/%9zu/%9d/%16" SCNx64, &w->version, &w->place, &w->hash) != 3)
        return false;
    write_way(w, again);
    return w->place >= 0 && strcmp(way, again) == 0;
}

// Which of a plan's ways a text names; -1: none of them.
static int named(const wn__lt_plan *p, const char *way) {
    way_words w;
    if (!read_way(way, &w)) return -1;
    for (int i = 0; i < p->found; i++)
        if (p->choice[i].state == 0 && hash_of(&p->choice[i].algorithm) == w.hash) return i;
    return -1;
}

static void list_ways(const wn__lt_api *api, const wn__lt_plan *p, wn__ways *out) {
    out->count = 0;
    for (int i = 0; i < p->found; i++) {
        if (p->choice[i].state != 0) continue;
        write_way(&(way_words){api->version(), i, hash_of(&p->choice[i].algorithm)},
                  out->text[out->count++]);
    }
}

static bool same_version(const wn__lt_api *api, const char *way) {
    way_words w;
    return read_way(way, &w) && w.version == api->version();
}

bool wn__blaslt_is_way(const char *way) {
    way_words w;
    return read_way(way, &w);
}

bool wn__blaslt_knows(const char *way, char *why, size_t n) {
    const wn__lt_api *api;
    if (wn__blaslt_find(&api) != WN_OK)
        (void)snprintf(why, n, "%s", wn_last_error());
    else if (!same_version(api, way))
        (void)snprintf(why, n, "cuBLASLt is %zu here", api->version());
    else
        return true;
    return false;
}

// What the library chooses, in place of a way that is not there.
static wn_status first_instead(wn__blaslt *b, const wn__lt_shape *s, const char *way,
                               const wn__lt_plan **plan) {
    WN_TRY(wn__blaslt_plan(b, s, 1, plan));
    for (wn__lt_plan *p = b->plans; p != NULL; p = p->next)
        if (p == *plan && !p->said) {
            p->said = true;
            wn__log(WN_LOG_WARN,
                    "cuBLASLt %zu has no way '%s' to multiply [%lld, %lld] by [%lld, %lld]: what "
                    "it chooses itself is taken",
                    b->api->version(), way, (long long)s->columns, (long long)s->inner,
                    (long long)s->inner, (long long)s->rows);
        }
    return WN_OK;
}

wn_status wn__blaslt_way(wn__blaslt *b, const wn__lt_shape *s, const wn__exec *x,
                         const wn__lt_plan **plan, int *i) {
    const bool asks = x->ways != NULL || (x->way != NULL && same_version(b->api, x->way));
    int at = -1;
    *i = 0;
    *plan = NULL;
    if (asks) WN_TRY(wn__blaslt_plan(b, s, WN_LT_CHOICES, plan));
    if (asks && x->way != NULL) at = named(*plan, x->way);
    if (x->ways != NULL) {
        list_ways(b->api, *plan, x->ways);
        x->ways->taken = at;
    }
    if (at >= 0) {
        *i = at;
        return WN_OK;
    }
    return x->way != NULL ? first_instead(b, s, x->way, plan) : wn__blaslt_plan(b, s, 1, plan);
}

wn_status wn__blaslt_run(wn__blaslt *b, const wn__lt_plan *plan, int i, const wn__matmul *p,
                         void *workspace) {
    const float alpha = 1, beta = p->accumulate ? 1 : 0;
    WN_TRY(wn__cuda_enter(b->device));
    if (plan->shape.bias)
        WN_TRY(check(b->api, "cublasLtMatmulDescSetAttribute",
                     b->api->matmul_set(plan->matmul, WN_LT_BIAS, &p->bias.data, sizeof(void *))));
    wn__cuda_queued(b->device);
    return check(b->api, "cublasLtMatmul",
                 b->api->matmul(b->handle, plan->matmul, &alpha, p->b.data, plan->a, p->a.data,
                                plan->b, &beta, p->c.data, plan->c, p->c.data, plan->c,
                                &plan->choice[i].algorithm, workspace, plan->shape.workspace,
                                b->device->stream));
}
