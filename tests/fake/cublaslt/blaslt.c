// SPDX-License-Identifier: MIT
// cuBLASLt without a GPU: products in plain C on the stand-in driver's memory, which go through its
// graphs. It checks what it was promised: alignments, leading dimensions, sizes of memory.
#include "fake_cublaslt.h"

#include "../cuda/fake_cuda.h"
#include "kernels/cuda/blaslt_abi.h"
#include <dlfcn.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { INVALID_VALUE = 7, INTERNAL = 14, ALGORITHM = 0x51 };

fake_cublaslt_state fake_cublaslt = {.found = 8, .version = 130100, .fast = -1, .wrong = -1};

struct wn__lt_context {
    int unused;
};
struct wn__lt_matmul {
    int compute, transposed[2], epilogue, bias_type, mode[2];
    const void *bias, *scale[2];
};
struct wn__lt_layout {
    int type;
    uint64_t rows, columns;
    int64_t lead, step;
    int batch;
};
struct wn__lt_preference {
    size_t workspace;
    uint32_t align[4], reductions;
};

typedef int submit_fn(fake_cuda_work *run, const void *data, size_t bytes);
typedef int holds_fn(const void *p, size_t bytes);
static submit_fn *submit;
static holds_fn *holds;

static int bind_driver(void) {
    void *driver = dlopen(getenv("WN_LIBCUDA"), RTLD_NOW | RTLD_NOLOAD);
    if (driver == NULL) return 0;
    void *s = dlsym(driver, "fake_cuda_submit"), *h = dlsym(driver, "fake_cuda_holds");
    memcpy(&submit, &s, sizeof submit);
    memcpy(&holds, &h, sizeof holds);
    return submit != NULL && holds != NULL;
}

static size_t size_of(int type) {
    return type == WN_LT_F32 ? 4 : type == WN_LT_E4M3 ? 1 : 2;
}

static float half_to_float(uint16_t h) {
    const int exponent = h >> 10 & 31, fraction = h & 1023;
    float f;
    if (exponent == 31)
        f = fraction ? NAN : INFINITY;
    else
        f = ldexpf((float)(exponent > 0 ? 1024 + fraction : fraction),
                   (exponent > 0 ? exponent : 1) - 25);
    return h >> 15 ? -f : f;
}

static uint16_t half_of(float f) {
    const uint16_t sign = signbit(f) ? 0x8000 : 0;
    const float a = fabsf(f);
    if (isnan(f)) return 0x7E00;
    if (a >= 65520) return (uint16_t)(sign | 0x7C00);
    int exponent;
    (void)frexpf(a, &exponent);                          // a = m 2^exponent, m in [0.5, 1)
    if (a == 0 || exponent < -13) exponent = -13;        // subnormal
    const float steps = rintf(ldexpf(a, 11 - exponent)); // of the last place
    // a full step carries into the exponent by itself
    return (uint16_t)(sign | (uint16_t)(((exponent + 13) << 10) + (int)steps));
}

static float eighth_to_float(uint8_t code) {
    const int exponent = code >> 3 & 15, fraction = code & 7;
    float f;
    if ((code & 0x7F) == 0x7F)
        f = NAN;
    else
        f = ldexpf((float)(exponent > 0 ? 8 + fraction : fraction),
                   (exponent > 0 ? exponent : 1) - 10);
    return code >> 7 ? -f : f;
}

static float get(const void *p, int64_t i, int type) {
    uint32_t bits = 0;
    float f;
    memcpy(&bits, (const char *)p + (size_t)i * size_of(type), size_of(type));
    if (type == WN_LT_F16) return half_to_float((uint16_t)bits);
    if (type == WN_LT_E4M3) return eighth_to_float((uint8_t)bits);
    if (type == WN_LT_BF16) bits <<= 16;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static void put(void *p, int64_t i, int type, float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    if (type == WN_LT_F16)
        bits = half_of(f);
    else if (type == WN_LT_BF16)
        bits = isnan(f) ? 0x7FC0 : (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
    memcpy((char *)p + (size_t)i * size_of(type), &bits, size_of(type));
}

typedef struct product {
    struct wn__lt_matmul m;
    struct wn__lt_layout a, b, c, d;
    const void *at, *bt, *ct;
    void *dt;
    float beta;
    int choice;
    char *workspace;
    size_t workspace_bytes;
} product;

// What an algorithm leaves in its workspace, at both ends: nothing that a product is made of.
static void scribble(const product *p) {
    enum { MOST = 4096 };
    const size_t n = p->workspace_bytes < MOST ? p->workspace_bytes : MOST;
    if (n == 0) return;
    memset(p->workspace, 0xFF, n);
    memset(p->workspace + p->workspace_bytes - n, 0xFF, n);
}

// A number of the environment, for a program that is no test itself, else what the test said.
static int asked(const char *variable, int said) {
    const char *text = getenv(variable);
    return text != NULL ? atoi(text) : said;
}

static uint64_t inner_of(const product *p) {
    return p->m.transposed[0] ? p->a.rows : p->a.columns;
}

// Row i of the left operand (and column j of the right one) as floats, whichever way it lies.
static void line(float *out, const void *p, const struct wn__lt_layout *l, int64_t i, int across,
                 int64_t inner) {
    for (int64_t k = 0; k < inner; k++)
        out[k] = get(p, across ? i + k * l->lead : k + i * l->lead, l->type);
}

// Of row i of the left operand or column i of the right one.
static float scale_of(const product *p, int operand, int64_t i) {
    const float *scale = p->m.scale[operand];
    if (scale == NULL) return 1;
    return scale[p->m.mode[operand] == WN_LT_SCALE_ROWS ? i : 0];
}

static void multiply_one(const product *p) {
    const int64_t inner = (int64_t)inner_of(p), columns = (int64_t)p->d.columns;
    float *b = calloc((size_t)((columns + 1) * inner), sizeof *b), *a = b + columns * inner;
    if (b == NULL) abort();
    const bool bad = getenv("FAKE_CUBLASLT_WRONG") != NULL || p->choice == fake_cublaslt.wrong;
    const float wrong = bad ? 1 : 0; // of every element
    const int fast = asked("FAKE_CUBLASLT_FAST", fake_cublaslt.fast);
    if (fast >= 0 && p->choice != fast) (void)usleep(3000); // more than a busy machine takes away
    for (int64_t j = 0; j < columns; j++)
        line(b + j * inner, p->bt, &p->b, j, p->m.transposed[1], inner);
    for (int64_t i = 0; i < (int64_t)p->d.rows; i++) {
        line(a, p->at, &p->a, i, !p->m.transposed[0], inner);
        for (int64_t j = 0; j < columns; j++) {
            float sum = wrong;
            for (int64_t k = 0; k < inner; k++)
                sum += a[k] * b[j * inner + k];
            sum *= scale_of(p, 0, i) * scale_of(p, 1, j);
            if (p->beta != 0) sum += p->beta * get(p->ct, i + j * p->c.lead, p->c.type);
            if (p->m.epilogue == WN_LT_EPILOGUE_BIAS) sum += get(p->m.bias, i, p->m.bias_type);
            put(p->dt, i + j * p->d.lead, p->d.type, sum);
        }
    }
    free(b);
}

static const void *moved(const void *p, const struct wn__lt_layout *l, int64_t i) {
    return (const char *)p + i * l->step * (int64_t)size_of(l->type);
}

static void multiply(const void *data) {
    const product *p = data;
    scribble(p);
    for (int64_t i = 0; i < p->d.batch; i++) {
        product one = *p;
        one.at = moved(p->at, &p->a, i);
        one.bt = moved(p->bt, &p->b, i);
        one.ct = moved(p->ct, &p->c, i);
        one.dt = (char *)p->dt + i * p->d.step * (int64_t)size_of(p->d.type);
        multiply_one(&one);
    }
}

// 8-bit numbers: the left operand transposed, the other not, both of whole 16 bytes, scales of the
// same kind in the device's memory.
static int legal8(const product *p) {
    const size_t left = p->m.mode[0] == WN_LT_SCALE_ROWS ? (size_t)p->d.rows : 1;
    const size_t right = p->m.mode[1] == WN_LT_SCALE_ROWS ? (size_t)p->d.columns : 1;
    if (p->a.type != WN_LT_E4M3) return 1;
    if (!p->m.transposed[0] || p->m.transposed[1] || p->m.mode[0] != p->m.mode[1]) return 0;
    if (inner_of(p) % 16 != 0 || p->d.rows % 8 != 0 || p->a.lead % 16 != 0 || p->b.lead % 16 != 0 ||
        p->d.lead % 8 != 0)
        return 0;
    return (p->m.scale[0] == NULL || holds(p->m.scale[0], 4 * left)) &&
           (p->m.scale[1] == NULL || holds(p->m.scale[1], 4 * right));
}

static int within(const void *p, const struct wn__lt_layout *l) {
    const int64_t behind = (l->batch - 1) * l->step;
    if (behind < 0) return 0;
    const uint64_t last = (l->columns - 1) * (uint64_t)l->lead + l->rows + (uint64_t)behind;
    return holds(p, (size_t)last * size_of(l->type));
}

#define ENTRY(name, result, symbol, arguments) result symbol arguments;
WN_LT_MAP(ENTRY)
#undef ENTRY

size_t cublasLtGetVersion(void) {
    return (size_t)asked("FAKE_CUBLASLT_VERSION", (int)fake_cublaslt.version);
}
const char *cublasLtGetStatusName(wn__lt_status status) {
    return status == WN_LT_NOT_SUPPORTED ? "CUBLAS_STATUS_NOT_SUPPORTED"
           : status == INVALID_VALUE     ? "CUBLAS_STATUS_INVALID_VALUE"
           : status == INTERNAL          ? "CUBLAS_STATUS_INTERNAL_ERROR"
                                         : NULL;
}
wn__lt_status cublasLtCreate(wn__lt_handle *handle) {
    if (!bind_driver()) return 1;
    *handle = calloc(1, sizeof **handle);
    fake_cublaslt.alive++;
    return *handle == NULL;
}
wn__lt_status cublasLtDestroy(wn__lt_handle handle) {
    free(handle);
    fake_cublaslt.alive--;
    return 0;
}
wn__lt_status cublasLtMatmulDescCreate(wn__lt_matmul *out, int compute, int scale) {
    if (compute != WN_LT_COMPUTE_F32 || scale != WN_LT_F32) return WN_LT_NOT_SUPPORTED;
    *out = calloc(1, sizeof **out);
    if (*out == NULL) return INTERNAL;
    (*out)->epilogue = WN_LT_EPILOGUE_NONE;
    fake_cublaslt.alive++;
    return 0;
}
wn__lt_status cublasLtMatmulDescSetAttribute(wn__lt_matmul m, int attribute, const void *value,
                                             size_t bytes) {
    int number = 0;
    if (attribute == WN_LT_SCALE_A || attribute == WN_LT_SCALE_B) {
        memcpy(&m->scale[attribute - WN_LT_SCALE_A], value, sizeof m->scale[0]);
        return bytes == sizeof m->scale[0] ? 0 : INVALID_VALUE;
    }
    if (attribute == WN_LT_FAST_SUMS) return bytes == 1 ? 0 : INVALID_VALUE;
    if (attribute == WN_LT_BIAS) {
        memcpy(&m->bias, value, sizeof m->bias);
        return bytes == sizeof m->bias ? 0 : INVALID_VALUE;
    }
    if (bytes != sizeof number) return INVALID_VALUE;
    memcpy(&number, value, sizeof number);
    if (attribute == WN_LT_TRANSPOSE_A || attribute == WN_LT_TRANSPOSE_B)
        m->transposed[attribute - WN_LT_TRANSPOSE_A] = number;
    else if (attribute == WN_LT_EPILOGUE)
        m->epilogue = number;
    else if (attribute == WN_LT_BIAS_TYPE)
        m->bias_type = number;
    else if (attribute == WN_LT_SCALE_MODE_A || attribute == WN_LT_SCALE_MODE_B)
        m->mode[attribute - WN_LT_SCALE_MODE_A] = number;
    else
        return INVALID_VALUE;
    return 0;
}
wn__lt_status cublasLtMatmulDescDestroy(wn__lt_matmul m) {
    free(m);
    fake_cublaslt.alive--;
    return 0;
}
wn__lt_status cublasLtMatrixLayoutCreate(wn__lt_layout *out, int type, uint64_t rows,
                                         uint64_t columns, int64_t leading) {
    if (rows == 0 || columns == 0 || leading < (int64_t)rows) return INVALID_VALUE;
    *out = calloc(1, sizeof **out);
    if (*out == NULL) return INTERNAL;
    **out = (struct wn__lt_layout){type, rows, columns, leading, 0, 1};
    fake_cublaslt.alive++;
    return 0;
}
wn__lt_status cublasLtMatrixLayoutSetAttribute(wn__lt_layout l, int attribute, const void *value,
                                               size_t bytes) {
    int32_t batch = 0;
    if (attribute == WN_LT_STEP && bytes == sizeof l->step) {
        memcpy(&l->step, value, bytes);
        return 0;
    }
    if (attribute != WN_LT_BATCH || bytes != sizeof batch) return INVALID_VALUE;
    memcpy(&batch, value, bytes);
    l->batch = batch;
    return batch > 0 ? 0 : INVALID_VALUE;
}
wn__lt_status cublasLtMatrixLayoutDestroy(wn__lt_layout l) {
    free(l);
    fake_cublaslt.alive--;
    return 0;
}
wn__lt_status cublasLtMatmulPreferenceCreate(wn__lt_preference *out) {
    *out = calloc(1, sizeof **out);
    fake_cublaslt.alive++;
    return *out == NULL ? INTERNAL : 0;
}
wn__lt_status cublasLtMatmulPreferenceSetAttribute(wn__lt_preference p, int attribute,
                                                   const void *value, size_t bytes) {
    if (attribute == WN_LT_WORKSPACE && bytes == sizeof p->workspace)
        memcpy(&p->workspace, value, bytes);
    else if (attribute == WN_LT_REDUCTIONS && bytes == sizeof p->reductions)
        memcpy(&p->reductions, value, bytes);
    else if (attribute >= WN_LT_ALIGN_A && attribute <= WN_LT_ALIGN_D && bytes == sizeof(uint32_t))
        memcpy(&p->align[attribute - WN_LT_ALIGN_A], value, bytes);
    else
        return INVALID_VALUE;
    return 0;
}
wn__lt_status cublasLtMatmulPreferenceDestroy(wn__lt_preference p) {
    free(p);
    fake_cublaslt.alive--;
    return 0;
}
// A choice remembers what it was made for.
wn__lt_status cublasLtMatmulAlgoGetHeuristic(wn__lt_handle handle, wn__lt_matmul m, wn__lt_layout a,
                                             wn__lt_layout b, wn__lt_layout c, wn__lt_layout d,
                                             wn__lt_preference p, int wanted, wn__lt_choice *out,
                                             int *found) {
    const uint64_t inner = m->transposed[0] ? a->rows : a->columns;
    fake_cublaslt.asked++;
    if (handle == NULL || c->type != d->type || a->type != b->type || wanted < 1)
        return INVALID_VALUE;
    if ((m->transposed[0] ? a->columns : a->rows) != d->rows ||
        (m->transposed[1] ? b->rows : b->columns) != d->columns ||
        (m->transposed[1] ? b->columns : b->rows) != inner)
        return INVALID_VALUE;
    if (a->batch != d->batch || b->batch != d->batch || c->batch != d->batch || c->step != d->step)
        return INVALID_VALUE;
    const int most = asked("FAKE_CUBLASLT_CHOICES", fake_cublaslt.found);
    *found = wanted < most ? wanted : most;
    for (int i = 0; i < *found; i++)
        out[i] = (wn__lt_choice){.algorithm = {{ALGORITHM, p->align[0], p->align[1], p->align[2],
                                                p->align[3], p->workspace, (uint64_t)i}},
                                 .workspace = p->workspace};
    return 0;
}
wn__lt_status cublasLtMatmul(wn__lt_handle handle, wn__lt_matmul m, const void *alpha,
                             const void *a, wn__lt_layout la, const void *b, wn__lt_layout lb,
                             const void *beta, const void *c, wn__lt_layout lc, void *d,
                             wn__lt_layout ld, const wn__lt_algorithm *algorithm, void *workspace,
                             size_t workspace_bytes, wn__cu_stream stream) {
    const uint64_t *made = algorithm->data;
    const int code = fake_cublaslt.fail_product;
    fake_cublaslt.fail_product = 0;
    if (code != 0) return code;
    if (handle == NULL || stream == NULL || *(const float *)alpha != 1) return INVALID_VALUE;
    if (made[0] != ALGORITHM || (uintptr_t)a % made[1] != 0 || (uintptr_t)b % made[2] != 0 ||
        (uintptr_t)c % made[3] != 0 || (uintptr_t)d % made[4] != 0 || workspace_bytes < made[5] ||
        !holds(workspace, workspace_bytes))
        return INVALID_VALUE;
    const product p = {*m,
                       *la,
                       *lb,
                       *lc,
                       *ld,
                       a,
                       b,
                       c,
                       d,
                       *(const float *)beta,
                       (int)made[6],
                       workspace,
                       workspace_bytes};
    if (!legal8(&p) || !within(a, la) || !within(b, lb) || !within(c, lc) || !within(d, ld) ||
        (m->epilogue == WN_LT_EPILOGUE_BIAS &&
         !holds(m->bias, (size_t)ld->rows * size_of(m->bias_type))))
        return INVALID_VALUE;
    fake_cublaslt.run++;
    fake_cublaslt.ran = p.choice;
    return submit(multiply, &p, sizeof p) == 0 ? 0 : INTERNAL;
}
