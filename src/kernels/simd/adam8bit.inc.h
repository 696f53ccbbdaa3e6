// SPDX-License-Identifier: MIT
/* adam8bit for F32: the reference's operations, none of them fused, a block of 256 at a time. A
 * code is found by the upper half of the bits of |x|: the cells of such numbers are so narrow that
 * at most one middle between codes lies inside, and one comparison says on which side x is. */
#include "kernels/op.h"
#include "kernels/simd/vbits.h"
#include "kernels/update.h"

#include <math.h>
#include <string.h>

#define LEAST_CELL (104 << 7) /* of 2^-23: what is below is the code of 0 */
#define CELLS      (23 * 128 + 2)

/* cell: the first code that a number of the cell can have; sign: 1 for negative ones. */
typedef struct codebook {
    const float *value;
    float middle[256]; /* x belongs to the code after this one if it is above: rounded down */
    uint8_t cell[2][CELLS];
    uint8_t pad[4]; /* gathers read 4 bytes */
} codebook;

static float middle_of(const float *value, int code) {
    double exact = ((double)value[code] + (double)value[code + 1]) / 2;
    float rounded = (float)exact;
    return (double)rounded > exact ? nextafterf(rounded, -INFINITY) : rounded;
}

/* The smallest number of a cell, by value: of negative ones that is their largest magnitude. */
static float cell_low(int sign, int cell) {
    if (cell == 0) return sign ? -0x1p-23F : 0.0F;
    uint32_t bits = (uint32_t)(LEAST_CELL + cell - 1 + sign) << 16;
    float low;
    bits -= (uint32_t)sign; /* just below the next cell */
    memcpy(&low, &bits, sizeof low);
    return sign ? -low : low;
}

static void codebook_make(const float *value, codebook *out) {
    *out = (codebook){.value = value};
    for (int i = 0; i < 255; i++)
        out->middle[i] = middle_of(value, i);
    out->middle[255] = INFINITY;
    for (int sign = 0; sign < 2; sign++) {
        int code = sign ? 255 : 0;
        for (int cell = 0; cell < CELLS; cell++) {
            float low = cell_low(sign, cell);
            while (low > out->middle[code])
                code++;
            while (code > 0 && !(low > out->middle[code - 1]))
                code--;
            out->cell[sign][cell] = (uint8_t)code;
        }
    }
}

typedef struct bits8_job {
    const wn__adam8bit *p;
    const codebook *m, *v;
    float scale, beta1, rest1, beta2, rest2, decay, step, inverse_root, eps;
} bits8_job;

ALWAYS vf decode8(const codebook *book, const uint8_t *code, float scale) {
    return vf_mul(vf_gather(book->value, vi_of_bytes(code)), vf_set(scale));
}

ALWAYS void encode8(const codebook *book, vf x, float scale, uint8_t *code) {
    vf q = vf_div(x, vf_set(scale));
    vi bits = vi_bits(q), negative = vi_shift_right(bits, 31);
    vi cell = vi_shift_right(vi_and(bits, vi_set(0x7FFFFFFF)), 16);
    cell = vi_max_signed(vi_add(cell, vi_set((uint32_t)(1 - LEAST_CELL))), vi_set(0));
    cell = vi_min_signed(cell, vi_set(CELLS - 1)); /* NaN too */
    cell = vi_add(cell, vi_times(negative, CELLS));
    vi first = vi_and(vi_gather_bytes(book->cell[0], cell), vi_set(0xFF));
    vm above = vm_lt(vf_gather(book->middle, first), q);
    vi_to_bytes(code, vi_add(first, vi_one_where(above)));
}

/* New moments of a block into m and v, weights moved. Returns their largest magnitudes. */
static void move8(const bits8_job *job, float *w, const float *g, const uint8_t *codes_m,
                  const uint8_t *codes_v, const float scales[2], float *m, float *v,
                  float most[2]) {
    vf most_m = vf_zero(), most_v = vf_zero();
    for (int i = 0; i < WN_BLOCK8; i += VF) {
        vf gradient = vf_mul(vf_set(job->scale), vf_load(g + i));
        vf square = vf_mul(vf_mul(vf_set(job->rest2), gradient), gradient);
        vf old_m = decode8(job->m, codes_m + i, scales[0]);
        vf old_v = decode8(job->v, codes_v + i, scales[1]);
        vf mean = vf_add(vf_mul(vf_set(job->beta1), old_m), vf_mul(vf_set(job->rest1), gradient));
        vf second = vf_add(vf_mul(vf_set(job->beta2), old_v), square);
        vf below = vf_mul(vf_sqrt(second), vf_set(job->inverse_root));
        vf step = vf_div(vf_mul(vf_set(job->step), mean), vf_add(below, vf_set(job->eps)));
        vf_store(w + i, vf_sub(vf_mul(vf_load(w + i), vf_set(job->decay)), step));
        vf_store(m + i, mean);
        vf_store(v + i, second);
        most_m = vf_max(vf_abs(mean), most_m); /* the second operand where one is NaN */
        most_v = vf_max(vf_abs(second), most_v);
    }
    most[0] = vf_largest(most_m);
    most[1] = vf_largest(most_v);
}

static void encode_all(const codebook *book, const float *x, float scale, uint8_t *code) {
    for (int i = 0; i < WN_BLOCK8; i += VF)
        encode8(book, scale > 0 ? vf_load(x + i) : vf_zero(), scale > 0 ? scale : 1, code + i);
}

static void update8(const bits8_job *job, float *w, const float *g, uint8_t *code_m,
                    uint8_t *code_v, int64_t block) {
    float *m_scale = (float *)job->p->m_scale.data + block;
    float *v_scale = (float *)job->p->v_scale.data + block;
    float m[WN_BLOCK8], v[WN_BLOCK8], most[2];
    const float scales[2] = {*m_scale, *v_scale};
    move8(job, w, g, code_m, code_v, scales, m, v, most);
    encode_all(job->m, m, most[0], code_m);
    encode_all(job->v, v, most[1], code_v);
    *m_scale = most[0];
    *v_scale = most[1];
}

/* The last block, in copies that end in zeros. */
static void update8_part(const bits8_job *job, int64_t block, int64_t n) {
    float *w = (float *)job->p->w.data + block * WN_BLOCK8, whole_w[WN_BLOCK8] = {0};
    const float *g = (const float *)job->p->g.data + block * WN_BLOCK8;
    uint8_t *m = (uint8_t *)job->p->m.data + block * WN_BLOCK8, whole_m[WN_BLOCK8];
    uint8_t *v = (uint8_t *)job->p->v.data + block * WN_BLOCK8, whole_v[WN_BLOCK8] = {0};
    float whole_g[WN_BLOCK8] = {0};
    memset(whole_m, 127, sizeof whole_m); /* the code of 0 */
    memcpy(whole_w, w, (size_t)n * sizeof *w);
    memcpy(whole_g, g, (size_t)n * sizeof *g);
    memcpy(whole_m, m, (size_t)n);
    memcpy(whole_v, v, (size_t)n);
    update8(job, whole_w, whole_g, whole_m, whole_v, block);
    memcpy(w, whole_w, (size_t)n * sizeof *w);
    memcpy(m, whole_m, (size_t)n);
    memcpy(v, whole_v, (size_t)n);
}

static void update8_blocks(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const bits8_job *job = ctx;
    const wn__adam8bit *p = job->p;
    int64_t count = wn__tensor_count(&p->w);
    for (int64_t b = begin; b < end; b++) {
        int64_t at = b * WN_BLOCK8;
        if (count - at < WN_BLOCK8)
            update8_part(job, b, count - at);
        else
            update8(job, (float *)p->w.data + at, (const float *)p->g.data + at,
                    (uint8_t *)p->m.data + at, (uint8_t *)p->v.data + at, b);
    }
}

static wn_status adam8bit(const void *args, wn__exec *x) {
    const wn__adam8bit *p = args;
    codebook m, v;
    codebook_make(wn__dynamic8_signed, &m);
    codebook_make(wn__dynamic8_unsigned, &v);
    bits8_job job = {
        .p = p,
        .m = &m,
        .v = &v,
        .scale = (float)p->grad_scale,
        .beta1 = (float)p->beta1,
        .rest1 = (float)(1 - p->beta1),
        .beta2 = (float)p->beta2,
        .rest2 = (float)(1 - p->beta2),
        .decay = (float)(1 - p->lr * p->weight_decay),
        .step = (float)(p->lr / (1 - pow(p->beta1, (double)p->step))),
        .inverse_root = (float)(1 / sqrt(1 - pow(p->beta2, (double)p->step))),
        .eps = (float)p->eps,
    };
    wn__parallel_for(x->pool, wn__tensor_count(&p->m_scale), 32, update8_blocks, &job);
    return WN_OK;
}
