// SPDX-License-Identifier: MIT
/* sddmm24 of few tokens: nothing is turned round, columns are lanes. A row of x meets the slots of
 * two outputs: a lane of four columns holds what two places of either need, so one permutation
 * picks them, and one FMA multiplies them by the two numbers of dy, which stand side by side there.
 * That is a permutation for each FMA, which share a port, where products of panels have none but a
 * sum across lanes for every chunk of tokens.
 *
 *   lanes   columns 4q .. 4q+3          ->   slot 0 of o, of o+1, slot 1 of o, of o+1
 *   dy      o, o+1 in turn
 *
 * Each element adds its tokens in ascending order. */

#define FEW_PAIRS  3 /* of outputs, in a tile of sums */
#define FEW_ROW    WN_SDDMM24_FEW_ROW
#define FEW_VECS   WN_SDDMM24_FEW_VECS
#define FEW_OUTPUT WN_SDDMM24_FEW_OUTPUTS
_Static_assert(FEW_OUTPUT == 2 * FEW_PAIRS && FEW_OUTPUT <= FEW_ROW && VF >= FEW_ROW, "a tile");

typedef struct few24 {
    const wn__sddmm24 *p;
    wn__sddmm24_few plan;
    char *scratch; /* of the workers */
} few24;

/* A worker's own; its panels of dy [tile][token][FEW_ROW] and of x [token][columns of a slice]
 * follow. */
typedef struct few_worker {
    _Alignas(WN_SDDMM24_HEAD) int64_t block; /* whose dy it has, or -1 */
} few_worker;

/* Columns of a slice, and the panel of them. */
typedef struct few_slice {
    int64_t column, vecs;
    const float *x;
} few_slice;

/* What the index of two rows names, as controls of permute_places: 16 bits of each. */
ALWAYS vi places_of_two(uint64_t first, uint64_t second) {
    const vi shift = _mm512_setr_epi32(0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30);
    return _mm512_srlv_epi32(vi_set((uint32_t)((first & 0xFFFF) | second << 16)), shift);
}
ALWAYS vf permute_places(vf columns, vi places) {
    return _mm512_permutevar_ps(columns, places);
}
ALWAYS vf broadcast_two(const float *two) {
    double both;
    memcpy(&both, two, sizeof both);
    return _mm512_castpd_ps(_mm512_set1_pd(both));
}
/* The slots of one of two outputs, of two vectors of sums. */
ALWAYS vf slots_of_output(vf a, vf b, int output) {
    const vi at = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    return _mm512_permutex2var_ps(a, _mm512_add_epi32(at, vi_set((uint32_t)output)), b);
}

/* The index of row o for a slice; of the last row for rows that do not exist. */
ALWAYS uint64_t few_bits(const wn__sddmm24 *p, int64_t o, int64_t column) {
    int64_t bytes = p->index.shape[1], last = p->v.shape[0] - 1, exist = bytes - column / 8;
    const uint8_t *index =
        (const uint8_t *)p->index.data + (o < last ? o : last) * bytes + column / 8;
    uint64_t bits = 0;
    if (exist >= (int64_t)sizeof bits)
        memcpy(&bits, index, sizeof bits);
    else
        memcpy(&bits, index, (size_t)exist);
    return bits;
}

/* n slots of row o from slot `first` on. */
ALWAYS void few_put(bool half, const wn__sddmm24 *p, int64_t o, int64_t first, int64_t n, vf sum) {
    int64_t k = p->x.shape[1], length = p->v.shape[1], v = o * length + first;
    if (k % 4 != 0 && first + n == length) {
        float slots[VF];
        vf_store(slots, sum);
        drop_padding((const uint8_t *)p->index.data + o * p->index.shape[1], k / 4, k,
                     slots + n - 2);
        sum = vf_load(slots);
    }
    if (p->accumulate) sum = vf_add(half_get_n(p->v.data, half, v, n), sum);
    half_put(p->v.data, half, v, sum, n);
}

ALWAYS void few_put_tile(bool half, int vecs, const wn__sddmm24 *p, int64_t o, int64_t column,
                         vf sum[FEW_PAIRS][FEW_VECS]) {
    UNROLL
    for (int i = 0; i < FEW_OUTPUT; i++) {
        if (o + i >= p->v.shape[0]) return;
        UNROLL
        for (int b = 0; b < vecs; b += 2) {
            int64_t first = column / 2 + b * VF / 2, n = b + 1 < vecs ? VF : VF / 2;
            vf second = b + 1 < vecs ? sum[i / 2][b + 1] : vf_zero();
            few_put(half, p, o + i, first, least(p->v.shape[1] - first, n),
                    slots_of_output(sum[i / 2][b], second, i % 2));
        }
    }
}

/* A tile: outputs from o on, the columns of a slice. */
ALWAYS void few_tile(int vecs, const few24 *job, const few_slice *slice, int64_t o,
                     const float *dy) {
    const wn__sddmm24 *p = job->p;
    vf sum[FEW_PAIRS][FEW_VECS];
    vi place[FEW_PAIRS][FEW_VECS];
    UNROLL
    for (int a = 0; a < FEW_PAIRS; a++) {
        uint64_t first = few_bits(p, o + 2 * a, slice->column),
                 second = few_bits(p, o + 2 * a + 1, slice->column);
        UNROLL
        for (int b = 0; b < vecs; b++) {
            place[a][b] = places_of_two(first >> (VF * b), second >> (VF * b));
            sum[a][b] = vf_zero();
        }
    }
    const float *x = slice->x;
    for (int64_t t = p->x.shape[0]; t > 0; t--) {
        vf columns[FEW_VECS];
        UNROLL
        for (int b = 0; b < vecs; b++) {
            columns[b] = vf_load(x + b * VF);
            __asm__("" : "+v"(columns[b])); /* or gcc loads them for each permutation again */
        }
        UNROLL
        for (int a = 0; a < FEW_PAIRS; a++) {
            vf two = broadcast_two(dy + 2 * a);
            UNROLL
            for (int b = 0; b < vecs; b++)
                sum[a][b] = vf_fma(two, permute_places(columns[b], place[a][b]), sum[a][b]);
        }
        x += vecs * VF;
        dy += FEW_ROW;
    }
    if (p->v.dtype == WN_DTYPE_BF16)
        few_put_tile(true, vecs, p, o, slice->column, sum);
    else
        few_put_tile(false, vecs, p, o, slice->column, sum);
}

/* A function for each width of a slice, so that sums and places are registers: outputs o to end. */
#define FEW_SLICE(vecs)                                                                            \
    static void few_slice_##vecs(const few24 *job, const few_slice *slice, int64_t o, int64_t end, \
                                 const float *dy) {                                                \
        for (; o < end; o += FEW_OUTPUT, dy += job->p->x.shape[0] * FEW_ROW)                       \
            few_tile(vecs, job, slice, o, dy);                                                     \
    }
FEW_SLICE(1)
FEW_SLICE(2)
FEW_SLICE(3)
FEW_SLICE(4)

/* Rows of x, a slice wide; zeros behind the last column. */
static void few_bring_x(const wn__sddmm24 *p, const few_slice *slice, float *to) {
    bool half = p->x.dtype == WN_DTYPE_BF16;
    for (int64_t t = 0; t < p->x.shape[0]; t++)
        for (int64_t b = 0; b < slice->vecs; b++, to += VF) {
            int64_t c = slice->column + b * VF, exist = p->x.shape[1] - c;
            vf_store(to, half_get(p->x.data, half, t * p->x.stride[0] + c, least(exist, VF)));
        }
}

/* Rows of dy from output o to `end`, tile by tile. */
static void few_bring_dy(const wn__sddmm24 *p, int64_t o, int64_t end, float *to) {
    bool half = p->dy.dtype == WN_DTYPE_BF16;
    for (; o < end; o += FEW_OUTPUT)
        for (int64_t t = 0; t < p->x.shape[0]; t++, to += FEW_ROW) {
            int64_t exist = least(p->dy.shape[1] - o, FEW_OUTPUT);
            vf row = half_get_n(p->dy.data, half, t * p->dy.stride[0] + o, exist);
            vf_put(to, row, FEW_ROW);
        }
}

/* All slices of a block of outputs before the next one. */
static void few_items(void *ctx, int64_t begin, int64_t end, int worker) {
    static void (*const of[])(const few24 *, const few_slice *, int64_t, int64_t,
                              const float *) = {few_slice_1, few_slice_2, few_slice_3, few_slice_4};
    const few24 *job = ctx;
    const wn__sddmm24_few *plan = &job->plan;
    few_worker *own = (void *)(job->scratch + (size_t)worker * plan->worker_bytes);
    float *dy = (float *)(void *)(own + 1), *x = dy + plan->dy_floats;
    for (int64_t i = begin; i < end; i++) {
        int64_t s = i % plan->slices, b = i / plan->slices;
        int64_t first = plan->vecs * s / plan->slices, last = plan->vecs * (s + 1) / plan->slices;
        int64_t o = plan->tiles * b / plan->blocks * FEW_OUTPUT,
                outputs = plan->tiles * (b + 1) / plan->blocks * FEW_OUTPUT;
        const few_slice slice = {.column = first * VF, .vecs = last - first, .x = x};
        if (own->block != b) few_bring_dy(job->p, o, least(outputs, job->p->v.shape[0]), dy);
        own->block = b;
        few_bring_x(job->p, &slice, x);
        of[slice.vecs - 1](job, &slice, o, least(outputs, job->p->v.shape[0]), dy);
    }
}

static wn_status sddmm24_few(const wn__sddmm24 *p, wn__exec *x) {
    const int threads = wn__pool_threads(x->pool);
    few24 job = {.p = p, .plan = wn__sddmm24_few_for(p), .scratch = x->scratch};
    for (int i = 0; i < threads; i++)
        *(few_worker *)(void *)(job.scratch + (size_t)i * job.plan.worker_bytes) =
            (few_worker){.block = -1};
    wn__parallel_for(x->pool, job.plan.slices * job.plan.blocks, 1, few_items, &job);
    return WN_OK;
}
