// SPDX-License-Identifier: MIT
// Blocks of a factor that lie side by side, d = 2, 4 or a multiple of 8: products and the gradient.
//
// 16 warps, each with a slot: one of 4, 8 or 16 blocks, and where there are fewer than 16, one of
// several sets of vectors. Features come in pieces of 16 bytes, which hold numbers of RUN blocks
// (2, 4, 8), to shared memory, where every thread sorts what it copied itself into the rows of the
// slots: so copies run ahead without barriers of their own. A number of a block then lies beside
// the block's next one, as mma wants it; results go back the same way.
#include "kernels/cuda/common/kron.cuh"

enum {
    THREADS = WN_KRON_LANES_THREADS,
    SLOTS = 16,
    INPUTS = 32, // of a tile of a slot: rows of 64 bytes
};

// Before 9.0 there is less shared memory, and more registers hold addresses.
#if defined __CUDA_ARCH__ && __CUDA_ARCH__ >= 900
enum { AHEAD = 1, GRAD_STAGES = WN_KRON_GRAD_STAGES };
#else
enum { AHEAD = 0, GRAD_STAGES = 1 };
#endif

// ---- tiles: ROWS vectors of a set, 32 inputs, all slots

// Where RUN blocks begin: which of 16 / RUN runs.
struct run_at {
    int set;      // of vectors
    int64_t from; // its first block's first number, behind that of the first block of all
};
template <int RUN>
static __device__ __forceinline__ run_at run_of(int which, int lanes, int count, int d) {
    const int first = which * RUN % lanes;
    return {which * RUN / lanes, d > 8 ? (int64_t)first : (int64_t)(first / d) * count * d};
}

// This thread's pieces of a tile: rows apart, and where its first is.
template <int RUN> struct pieces {
    enum {
        PAIR = RUN == 8 ? 2 : 1,                   // pieces that are sorted together
        ACROSS = RUN == 2 ? 8 : 16,                // of these, in a row of a run
        ROWS = THREADS / (ACROSS * (SLOTS / RUN)), // between a thread's
        NUMBERS = INPUTS / ACROSS,                 // of a block
    };
    static __device__ __forceinline__ int which() {
        return RUN == 8 ? threadIdx.x & 1 : (int)threadIdx.x / ACROSS % (SLOTS / RUN);
    }
    static __device__ __forceinline__ int k() {
        return (RUN == 8 ? (int)(threadIdx.x >> 1) % ACROSS : (int)threadIdx.x % ACROSS) * NUMBERS;
    }
    static __device__ __forceinline__ int row() {
        return (int)threadIdx.x / (ACROSS * (SLOTS / RUN));
    }
};

// A side of the factor, as one thread copies it: `count` inputs (or outputs) of its blocks.
struct side {
    const uint16_t *x; // its first piece of the first vector
    int64_t vector;
    int count, d, k, row;
};
template <int RUN, int ROWS>
static __device__ __forceinline__ side side_of(const uint16_t *x, int64_t vector, int count, int d,
                                               int lanes) {
    typedef pieces<RUN> mine;
    const run_at at = run_of<RUN>(mine::which(), lanes, count, d);
    return {x + at.from + (int64_t)mine::k() * d, vector, count, d, mine::k(),
            at.set * ROWS + mine::row()};
}

// raw: 16 bytes of each thread for every piece.
template <int RUN, int ROWS>
static __device__ __forceinline__ void bring(const side &s, uint32_t raw, int vector, int end,
                                             int k0) {
    enum { UNROLL = ROWS == 32 && RUN > 2 && AHEAD ? 4 : 1 };
    typedef pieces<RUN> mine;
    const int left = s.count - k0 - s.k;
    int v = vector + s.row;
    const uint16_t *x = s.x + v * s.vector + (int64_t)k0 * s.d;
    raw += threadIdx.x * 16;
#pragma unroll UNROLL
    for (int i = 0; i < ROWS / mine::ROWS; i++) {
#pragma unroll
        for (int e = 0; e < mine::PAIR; e++) {
            const bool in = v < end && e < left;
            copy_async(raw + e * (THREADS * 16), in ? x + e * s.d : s.x, in ? 16 : 0);
        }
        v += mine::ROWS;
        x += mine::ROWS * s.vector;
        raw += mine::PAIR * (THREADS * 16);
    }
}

// Bytes in a tile of a slot: chunk of eight numbers of a row. Slots that a warp writes at once
// differ in flip, so that they lie in different banks.
static __device__ __forceinline__ uint32_t tile_at(int row, int chunk, int flip) {
    return (uint32_t)((row ^ flip) * 64 + ((chunk ^ (row >> 1 & 3)) << 4));
}

static __device__ __forceinline__ uint32_t lows(uint32_t a, uint32_t b) {
    return __byte_perm(a, b, 0x5410);
}
static __device__ __forceinline__ uint32_t highs(uint32_t a, uint32_t b) {
    return __byte_perm(a, b, 0x7632);
}
static __device__ __forceinline__ void put64(uint32_t to, uint32_t a, uint32_t b) {
    asm volatile("st.shared.v2.u32 [%0], {%1, %2};" ::"r"(to), "r"(a), "r"(b) : "memory");
}
static __device__ __forceinline__ uint32_t get32(uint32_t from) {
    uint32_t v;
    asm volatile("ld.shared.u32 %0, [%1];" : "=r"(v) : "r"(from) : "memory");
    return v;
}

// What bring() of the same thread left at raw, into tiles that lie `slot` bytes apart.
template <int RUN, int ROWS>
static __device__ __forceinline__ void sort(uint32_t raw, uint32_t tiles, int slot) {
    enum { UNROLL = ROWS == 32 && RUN > 2 && AHEAD ? 4 : 1 };
    typedef pieces<RUN> mine;
    const int k = mine::k(), which = mine::which();
    tiles += which * RUN * slot;
#pragma unroll UNROLL
    for (int i = 0; i < ROWS / mine::ROWS; i++) {
        const int row = mine::row() + i * mine::ROWS;
        const uint32_t from = raw + i * mine::PAIR * (THREADS * 16) + threadIdx.x * 16;
        const uint32_t to = tiles + tile_at(row, k / 8, which & 1) + (k & 7) * 2;
        const uint4 a = get128(from);
        if (RUN == 8) {
            const uint4 b = get128(from + THREADS * 16);
            put32(to, lows(a.x, b.x));
            put32(to + slot, highs(a.x, b.x));
            put32(to + 2 * slot, lows(a.y, b.y));
            put32(to + 3 * slot, highs(a.y, b.y));
            put32(to + 4 * slot, lows(a.z, b.z));
            put32(to + 5 * slot, highs(a.z, b.z));
            put32(to + 6 * slot, lows(a.w, b.w));
            put32(to + 7 * slot, highs(a.w, b.w));
        } else if (RUN == 4) {
            put32(to, lows(a.x, a.z));
            put32(to + slot, highs(a.x, a.z));
            put32(to + 2 * slot, lows(a.y, a.w));
            put32(to + 3 * slot, highs(a.y, a.w));
        } else {
            put64(to, lows(a.x, a.y), lows(a.z, a.w));
            put64(to + slot, highs(a.x, a.y), highs(a.z, a.w));
        }
    }
}

// ---- products: 32 vectors of a set, 64 outputs of each block

enum { RAW_BYTES = SLOTS * 32 * INPUTS * 2, SLOT_BYTES = 4096 };
// STAGED: four blocks, whose weights come to shared memory too, for all sets of vectors.
enum { STAGED_LANES = 4, WEIGHTS = 4, WEIGHT_BYTES = STAGED_LANES * 64 * INPUTS * 2 };
template <bool STAGED> struct stages_of {
    enum { RAW = STAGED ? 2 : 3 };
};
static_assert(3 * RAW_BYTES + SLOTS * SLOT_BYTES == WN_KRON_LANES_SHARED, "shared memory");
static_assert(2 * RAW_BYTES + SLOTS * SLOT_BYTES + WEIGHTS * WEIGHT_BYTES == WN_KRON_STAGED_SHARED,
              "shared memory");

// 32 inputs from kt on, 64 outputs, of four blocks: [block][outputs][inputs] of tiles.
static __device__ __forceinline__ void bring_weights(uint32_t to, const uint4 *at, int kt,
                                                     int64_t block, int down, int across) {
#pragma unroll
    for (int e = 0; e < WEIGHT_BYTES / 16 / THREADS; e++) {
        const int i = (int)threadIdx.x + e * THREADS, j = i / 64 % 4, k = kt + i / 32 % 2;
        const bool in = j < down && k < across;
        copy_async(to + i * 16,
                   in ? at + i / 256 * block + ((int64_t)j * across + k) * 32 + i % 32 : at,
                   in ? 16 : 0);
    }
}

// Weights of 16 inputs: those of 64 outputs.
static __device__ __forceinline__ void load_weights(uint4 (&w)[4], const uint4 *at, int kt,
                                                    int down, int across) {
#pragma unroll
    for (int j = 0; j < 4; j++)
        w[j] = j < down && kt < across ? __ldg(at + ((int64_t)j * across + kt) * 32)
                                       : make_uint4(0, 0, 0, 0);
}

static __device__ __forceinline__ void get_weights(uint4 (&w)[4], uint32_t from) {
#pragma unroll
    for (int j = 0; j < 4; j++)
        w[j] = get128(from + j * 1024);
}

template <class T>
static __device__ __forceinline__ void multiply16(float (&d)[2][8][4], uint32_t x, int kt, int flip,
                                                  const uint4 (&w)[4]) {
    const int lane = (int)threadIdx.x & 31;
    uint32_t a[2][4];
#pragma unroll
    for (int m = 0; m < 2; m++)
        load_matrices(a[m], x + tile_at(16 * m + (lane & 15), 2 * kt + (lane >> 4), flip));
#pragma unroll
    for (int j = 0; j < 4; j++)
#pragma unroll
        for (int m = 0; m < 2; m++) {
            mma16(T(), d[m][2 * j], a[m][0], a[m][1], a[m][2], a[m][3], w[j].x, w[j].z);
            mma16(T(), d[m][2 * j + 1], a[m][0], a[m][1], a[m][2], a[m][3], w[j].y, w[j].w);
        }
}

// A slot's results: 32 rows of 64 numbers.
static __device__ __forceinline__ uint32_t result_at(int row, int j, int flip) {
    return chunk_at(row, j / 8 ^ flip << 2) + (j & 7) * 2;
}
template <class T>
static __device__ __forceinline__ void put_results(const float (&d)[2][8][4], uint32_t mine,
                                                   int flip) {
    const int lane = (int)threadIdx.x & 31;
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int t = 0; t < 8; t++)
#pragma unroll
            for (int h = 0; h < 2; h++)
                put32(mine + result_at(16 * m + (lane >> 2) + 8 * h, 8 * t + 2 * (lane & 3), flip),
                      T::pair(d[m][t][2 * h], d[m][t][2 * h + 1]));
}

// Back to pieces of 16 bytes of RUN blocks.
template <int RUN>
static __device__ __forceinline__ void store_runs(const wn__gpu_kron_factor &p, uint32_t results,
                                                  int vector, int first, int64_t to) {
    enum { ACROSS = RUN == 2 ? 16 : 32, RUNS = SLOTS / RUN, ROWS = THREADS / (ACROSS * RUNS) };
    const int thread = (int)threadIdx.x;
    const int which = RUN == 8 ? thread & 1 : thread / ACROSS % RUNS;
    const int j = (RUN == 8 ? (thread >> 1) % ACROSS : thread % ACROSS) * (64 / ACROSS);
    const run_at at = run_of<RUN>(which, p.lanes, p.b, p.d);
    results += which * RUN * SLOT_BYTES;
    uint16_t *const y = p.y + to + at.from + (int64_t)(first + j) * p.d;
    const int left = p.b - first - j;
#pragma unroll 1
    for (int row = thread / (ACROSS * RUNS); row < 32; row += ROWS) {
        const uint32_t from = results + result_at(row, j, which & 1);
        const int v = vector + at.set * 32 + row;
        if (v >= p.n || left <= 0) continue;
        uint16_t *const here = y + v * p.y_vector;
        if (RUN == 8) {
            uint32_t r[8];
#pragma unroll
            for (int l = 0; l < 8; l++)
                r[l] = get32(from + l * SLOT_BYTES);
            *(uint4 *)here =
                make_uint4(lows(r[0], r[1]), lows(r[2], r[3]), lows(r[4], r[5]), lows(r[6], r[7]));
            if (left > 1)
                *(uint4 *)(here + p.d) = make_uint4(highs(r[0], r[1]), highs(r[2], r[3]),
                                                    highs(r[4], r[5]), highs(r[6], r[7]));
        } else {
            // numbers j, j + 1 of four blocks; of two blocks also j + 2, j + 3
            const uint32_t a = get32(from), b = get32(from + SLOT_BYTES);
            const uint32_t c = get32(RUN == 4 ? from + 2 * SLOT_BYTES : from + 4);
            const uint32_t e = get32(RUN == 4 ? from + 3 * SLOT_BYTES : from + SLOT_BYTES + 4);
            *(uint4 *)here = RUN == 4
                                 ? make_uint4(lows(a, b), lows(c, e), highs(a, b), highs(c, e))
                                 : make_uint4(lows(a, b), highs(a, b), lows(c, e), highs(c, e));
        }
    }
}

template <class T, int RUN, bool STAGED>
static __device__ __forceinline__ void lanes(const wn__gpu_kron_factor &p) {
    enum { EARLY = AHEAD && RUN > 2 && !STAGED, RAW = stages_of<STAGED>::RAW };
    extern __shared__ __align__(128) uint8_t memory[];
    const uint32_t raw = shared_address(memory), tiles = raw + RAW * RAW_BYTES;
    const int warp = (int)threadIdx.x / 32, flip = warp / RUN & 1;
    const uint32_t mine = tiles + warp * SLOT_BYTES;
    const int parts = (p.b + WN_KRON_OUTPUTS - 1) / WN_KRON_OUTPUTS;
    const int group = (int)blockIdx.x / parts * p.lanes, part = (int)blockIdx.x % parts;
    const int block = group / p.d, l = group % p.d, first = part * WN_KRON_OUTPUTS;
    const int64_t to = (int64_t)block * p.b * p.d + l;
    const side x =
        side_of<RUN, 32>(p.x + (int64_t)block * p.c * p.d + l, p.x_vector, p.c, p.d, p.lanes);
    const int64_t block_tiles = (int64_t)p.down * p.across * 32;
    const uint4 *w = (const uint4 *)p.tiles + group * block_tiles + 4 * part * p.across * 32;
    if (!STAGED) w += warp % p.lanes * block_tiles + (threadIdx.x & 31);
    const uint32_t weights = tiles + SLOTS * SLOT_BYTES;
    const uint32_t my_weights =
        weights + warp % STAGED_LANES * (WEIGHT_BYTES / STAGED_LANES) + (threadIdx.x & 31) * 16;
    const int down = p.down - 4 * part, across = p.across;
    const int vectors = 32 * SLOTS / p.lanes, step = (int)gridDim.y * vectors;
    const int begin = (int)blockIdx.y * vectors;
    int next = begin, next_k = 0, stage = 0, buffer = 0, ahead = 0;
    const auto copy = [&] {
        if (next < p.n) {
            bring<RUN, 32>(x, raw + stage * RAW_BYTES, next, p.n, next_k);
            if (STAGED)
                bring_weights(weights + (ahead & (WEIGHTS - 1)) * WEIGHT_BYTES, w, next_k / 16,
                              block_tiles, down, across);
        }
        copies_commit();
        ahead++;
        if ((next_k += INPUTS) >= p.c) next_k = 0, next += step;
        stage = stage == RAW - 1 ? 0 : stage + 1;
    };
    for (int i = 0; i < RAW; i++)
        copy();
#pragma unroll 1
    for (int v = begin; v < p.n; v += step) {
        float d[2][8][4] = {};
#pragma unroll 1
        for (int kt = 0; kt < across; kt += 2) { // a tile at a time, in two places in turn
            const uint32_t at = buffer * (SLOT_BYTES / 2);
            // copied two tiles before; what is copied now was multiplied by two tiles before
            const uint32_t from = my_weights + ((ahead - RAW) & (WEIGHTS - 1)) * WEIGHT_BYTES;
            uint4 w0[4], w1[4];
            if (EARLY) load_weights(w0, w, kt, down, across);
            copies_wait<RAW - 1>();
            sort<RUN, 32>(raw + stage * RAW_BYTES, tiles + at, SLOT_BYTES);
            copy();
            __syncthreads();
            if (STAGED)
                get_weights(w0, from);
            else if (!EARLY)
                load_weights(w0, w, kt, down, across);
            if (EARLY) load_weights(w1, w, kt + 1, down, across);
            multiply16<T>(d, mine + at, 0, flip, w0);
            if (STAGED)
                get_weights(w1, from + 512);
            else if (!EARLY)
                load_weights(w1, w, kt + 1, down, across);
            if (kt + 1 < across) multiply16<T>(d, mine + at, 1, flip, w1);
            buffer ^= 1;
        }
        __syncwarp();
        if (p.wide_out != 0) {
            put_results<T>(d, mine, flip);
            __syncthreads();
            store_runs<RUN>(p, tiles, v, first, to);
        } else {
            const run_at at = run_of<RUN>(warp / RUN, p.lanes, p.b, p.d);
            store_each<T>(p, mine, d, v + at.set * 32, first,
                          to + at.from + (int64_t)first * p.d + warp % RUN);
        }
        __syncthreads();
    }
}

// ---- the gradient: 32 outputs times 64 inputs of each block, 16 vectors of a set at a time

enum {
    TILE_BYTES = 16 * INPUTS * 2, // of a slot: one of dy, two of x
    GRAD_SLOT = 3 * TILE_BYTES,
    GRAD_RAW = SLOTS * TILE_BYTES, // of one of the three
};
static_assert(WN_KRON_GRAD_LANES_SHARED(GRAD_STAGES) == (GRAD_STAGES + 2) * SLOTS * GRAD_SLOT,
              "memory");

template <int RUN>
static __device__ __forceinline__ void bring3(const side &dy, const side &x, uint32_t raw,
                                              int vector, int end, int j0, int k0) {
    bring<RUN, 16>(dy, raw, vector, end, j0);
    bring<RUN, 16>(x, raw + GRAD_RAW, vector, end, k0);
    bring<RUN, 16>(x, raw + 2 * GRAD_RAW, vector, end, k0 + INPUTS);
}

template <class T>
static __device__ __forceinline__ void gradient16(float (&sum)[2][8][4], uint32_t mine, int flip) {
    const int lane = (int)threadIdx.x & 31;
    uint32_t a[2][4];
    // matrices of vectors 0, 8 by outputs j, j + 8: read as rows of outputs
#pragma unroll
    for (int m = 0; m < 2; m++)
        load_transposed(
            a[m], mine + tile_at((lane & 7) + 8 * (lane >> 4), 2 * m + (lane >> 3 & 1), flip));
#pragma unroll
    for (int h = 0; h < 4; h++) { // 16 inputs
        uint32_t b[4];
        load_transposed(b, mine + (1 + h / 2) * TILE_BYTES +
                               tile_at(lane & 15, h % 2 * 2 + (lane >> 4), flip));
#pragma unroll
        for (int m = 0; m < 2; m++) {
            mma16(T(), sum[m][2 * h], a[m][0], a[m][1], a[m][2], a[m][3], b[0], b[1]);
            mma16(T(), sum[m][2 * h + 1], a[m][0], a[m][1], a[m][2], a[m][3], b[2], b[3]);
        }
    }
}

template <class T, int RUN>
static __device__ __forceinline__ void grad_lanes(const wn__gpu_kron_grad &p) {
    extern __shared__ __align__(128) uint8_t memory[];
    const uint32_t raw = shared_address(memory), tiles = raw + GRAD_STAGES * 3 * GRAD_RAW;
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x & 31, flip = warp / RUN & 1;
    const uint32_t mine = tiles + warp * GRAD_SLOT;
    const int down = (p.b + 31) / 32, across = (p.c + 63) / 64;
    const int piece = (int)blockIdx.x % (down * across);
    const int group = (int)blockIdx.x / (down * across) * p.lanes;
    const int j0 = piece / across * 32, k0 = piece % across * 64;
    const int block = group / p.d, l = group % p.d;
    const side dy =
        side_of<RUN, 16>(p.dy + (int64_t)block * p.b * p.d + l, p.dy_vector, p.b, p.d, p.lanes);
    const side x =
        side_of<RUN, 16>(p.x + (int64_t)block * p.c * p.d + l, p.x_vector, p.c, p.d, p.lanes);
    const int vectors = 16 * SLOTS / p.lanes, begin = (int)blockIdx.y * p.vectors;
    const int end = min(p.n, begin + p.vectors);
    float sum[2][8][4] = {};
    int next = begin, stage = 0, to_tile = 0, tile = 0;
    const auto copy = [&] {
        if (next < end) bring3<RUN>(dy, x, raw + stage * 3 * GRAD_RAW, next, end, j0, k0);
        copies_commit();
        next += vectors;
        stage = stage == GRAD_STAGES - 1 ? 0 : stage + 1;
    };
    const auto make_tiles = [&] {
        copies_wait<GRAD_STAGES - 1>();
#pragma unroll 1
        for (int t = 0; t < 3; t++)
            sort<RUN, 16>(raw + (3 * stage + t) * GRAD_RAW,
                          tiles + to_tile * (SLOTS * GRAD_SLOT) + t * TILE_BYTES, GRAD_SLOT);
        copy();
        to_tile ^= 1;
    };
    for (int i = 0; i < GRAD_STAGES; i++)
        copy();
    make_tiles();
    __syncthreads();
#pragma unroll 1
    for (int v = begin; v < end; v += vectors) {
#pragma unroll 1
        for (int half = 0; half < 2; half++)
            if (half == (warp >> 2 & 1))
                gradient16<T>(sum, mine + tile * (SLOTS * GRAD_SLOT), flip);
            else if (v + vectors < end)
                make_tiles();
        tile ^= 1;
        __syncthreads();
    }
    // every set of vectors is a part of its own
    const int part = (int)blockIdx.y * (SLOTS / p.lanes) + warp / p.lanes;
    float *to = p.sums + (int64_t)part * p.a * p.d * p.b * p.c +
                (int64_t)(group + warp % p.lanes) * p.b * p.c;
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int h = 0; h < 8; h++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const int j = j0 + 16 * m + (lane >> 2) + 8 * (e >> 1);
                const int k = k0 + 8 * h + 2 * (lane & 3) + (e & 1);
                if (j < p.b && k < p.c) to[(int64_t)j * p.c + k] = sum[m][h][e];
            }
}

#define KERNELS(type, run)                                                                         \
    extern "C" __global__ void __launch_bounds__(WN_KRON_LANES_THREADS, 1)                         \
        wn_kron_lanes##run##_##type(const __grid_constant__ wn__gpu_kron_factor p) {               \
        lanes<type_##type, run, false>(p);                                                         \
    }                                                                                              \
    extern "C" __global__ void __launch_bounds__(WN_KRON_LANES_THREADS, 1)                         \
        wn_kron_grad_lanes##run##_##type(const __grid_constant__ wn__gpu_kron_grad p) {            \
        grad_lanes<type_##type, run>(p);                                                           \
    }
#define STAGED(type, run)                                                                          \
    extern "C" __global__ void __launch_bounds__(WN_KRON_LANES_THREADS, 1)                         \
        wn_kron_staged##run##_##type(const __grid_constant__ wn__gpu_kron_factor p) {              \
        lanes<type_##type, run, true>(p);                                                          \
    }
KERNELS(bf16, 8)
KERNELS(bf16, 4)
KERNELS(bf16, 2)
KERNELS(f16, 8)
KERNELS(f16, 4)
KERNELS(f16, 2)
STAGED(bf16, 4)
STAGED(bf16, 2)
STAGED(f16, 4)
STAGED(f16, 2)
