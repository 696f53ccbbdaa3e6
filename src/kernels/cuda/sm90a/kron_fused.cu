// SPDX-License-Identifier: MIT
// Whole chains of 4096 features by clusters of eight blocks of threads. Every block has an eighth
// of each factor's weights in registers for as long as it runs, and an eighth of the features;
// vectors go by in groups of 32. What a factor gives goes into the shared memory of the block that
// has the next factor's weights for it, so nothing between factors is ever in the device's memory.
//
// Three groups are under way: one is being brought, one meets the last factor, then one the first.
//
// In shared memory a feature's 32 vectors are 64 bytes: chunk q of 16 bytes holds what thread q of
// four has of a product's columns. Columns of a product are vectors in an order that so changes
// from factor to factor; vector_of says which.
#include "kernels/cuda/args_kron.h"
#include "kernels/cuda/common/ahead.cuh"
#include "kernels/cuda/common/mma16.cuh"

enum {
    BLOCKS = WN_KRON_FUSED_CLUSTER,
    VECTORS = WN_KRON_FUSED_VECTORS,
    THREADS = WN_KRON_FUSED_THREADS,
    FEATURES = WN_KRON_FUSED_FEATURES / BLOCKS, // of a block
    X_BYTES = VECTORS * FEATURES * 2
};

static __device__ __forceinline__ uint32_t there(uint32_t address, uint32_t rank) {
    uint32_t r;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(r) : "r"(address), "r"(rank));
    return r;
}
// 16 bytes to a block of the cluster, whose barrier counts them: no fence, and nobody waits.
static __device__ __forceinline__ void send16(uint32_t to, uint32_t barrier, uint32_t rank,
                                              const uint32_t (&v)[4]) {
    asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.b32 "
                 "[%0], {%1, %2, %3, %4}, [%5];" ::"r"(there(to, rank)),
                 "r"(v[0]), "r"(v[1]), "r"(v[2]), "r"(v[3]), "r"(there(barrier, rank))
                 : "memory");
}

// One group of vectors of this block's features; row v is 1024 bytes, chunk c at c ^ (v mod 8).
static __device__ __forceinline__ uint32_t x_at(int vector, int chunk) {
    return (uint32_t)(vector * FEATURES * 2 + ((chunk ^ (vector & 7)) << 4));
}
template <class C>
static __device__ __forceinline__ void bring(const wn__gpu_kron_fused &p, uint32_t to, int step,
                                             int rank) {
    if (step < p.steps)
#pragma unroll 1
        for (int i = 0; i < X_BYTES / 16 / THREADS; i++) {
            const int at = i * THREADS + (int)threadIdx.x, v = at / (FEATURES / 8);
            const int chunk = at % (FEATURES / 8);
            const bool in = step * VECTORS + v < p.n;
            const uint16_t *x =
                p.x + (in ? (step * VECTORS + v) * p.x_vector + C::input(chunk, rank) : 0);
            copy_async(to + x_at(v, C::mixed(chunk)), x, in ? 16 : 0);
        }
    copies_commit();
}

// d += tile times 32 columns of 16 numbers in rows of vectors (x) ...
template <class T>
static __device__ __forceinline__ void times_x(float (&d)[4][4], const uint4 &w, uint32_t x,
                                               int chunk) {
    const int lane = (int)threadIdx.x & 31;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        uint32_t b[4];
        load_matrices(b, x + x_at(16 * h + (lane & 7) + 8 * (lane >> 4), chunk + (lane >> 3 & 1)));
        mma16(T(), d[2 * h], w.x, w.y, w.z, w.w, b[0], b[1]);
        mma16(T(), d[2 * h + 1], w.x, w.y, w.z, w.w, b[2], b[3]);
    }
}
// ... and in rows of features: `row` is that of this lane's feature, of 16, `turn` mixes its
// chunks.
template <class T>
static __device__ __forceinline__ void times_rows(float (&d)[4][4], const uint4 &w, uint32_t row,
                                                  int turn) {
    const int lane = (int)threadIdx.x & 31;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        uint32_t b[4];
        load_transposed(b, row + (((2 * h + (lane >> 4)) ^ turn) << 4));
        mma16(T(), d[2 * h], w.x, w.y, w.z, w.w, b[0], b[1]);
        mma16(T(), d[2 * h + 1], w.x, w.y, w.z, w.w, b[2], b[3]);
    }
}

// Rows 8 HALF + lane / 4 of a product: this thread's 16 bytes.
template <class T, int HALF>
static __device__ __forceinline__ void packed(uint32_t (&v)[4], const float (&d)[4][4]) {
#pragma unroll
    for (int t = 0; t < 4; t++)
        v[t] = T::pair(d[t][2 * HALF], d[t][2 * HALF + 1]);
}

// A tile of 16 x 16 numbers of block g of factor F, whose d is D, as mma's first operand.
template <int F, int D>
static __device__ __forceinline__ uint4 load_tile(const wn__gpu_kron_fused &p, int g, int down,
                                                  int across) {
    const int lane = (int)threadIdx.x & 31;
    const int64_t *stride = p.stride[F];
    const uint16_t *w = p.w[F] + g / D * stride[0] + g % D * stride[3] +
                        (16 * down + lane / 4) * stride[1] +
                        (16 * across + lane % 4 * 2) * stride[2];
    uint32_t word[4];
#pragma unroll
    for (int r = 0; r < 4; r++) {
        const uint16_t *from = w + 8 * (r & 1) * stride[1] + 8 * (r >> 1) * stride[2];
        word[r] = __ldg(from) | (uint32_t)__ldg(from + stride[2]) << 16;
    }
    return make_uint4(word[0], word[1], word[2], word[3]);
}

static __device__ __forceinline__ void put128(uint32_t to, const uint32_t (&v)[4]) {
    asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(v[0]), "r"(v[1]),
                 "r"(v[2]), "r"(v[3])
                 : "memory");
}
static __device__ __forceinline__ uint2 get64(uint32_t from) {
    uint2 v;
    asm volatile("ld.shared.v2.u32 {%0, %1}, [%2];" : "=r"(v.x), "=r"(v.y) : "r"(from) : "memory");
    return v;
}

// threadIdx.x, read again: what is made of it is not kept in registers through the loop.
static __device__ __forceinline__ int thread_again() {
    int t;
    asm volatile("mov.u32 %0, %%tid.x;" : "=r"(t));
    return t;
}

// Turned chains: eight blocks' inputs come side by side, 16 bytes of every k; here those of a block
// move together. A thread has 8 k of four blocks; C::raw says where 16 bytes of input i of its k
// are (of eight), C::placed where those of block g (of eight) belong.
template <class C> static __device__ __forceinline__ void sort(uint32_t x) {
    const int thread = thread_again(), v = thread / 16, part = thread / 2 & 7, half = thread & 1;
    uint2 row[8];
#pragma unroll
    for (int i = 0; i < 8; i++)
        row[i] = get64(x + x_at(v, C::mixed(C::raw(part, i))) + 8 * half);
    __syncwarp();
#pragma unroll
    for (int e = 0; e < 4; e++) {
        uint32_t word[4];
#pragma unroll
        for (int h = 0; h < 4; h++)
            word[h] = __byte_perm(e / 2 == 0 ? row[2 * h].x : row[2 * h].y,
                                  e / 2 == 0 ? row[2 * h + 1].x : row[2 * h + 1].y,
                                  e % 2 == 0 ? 0x5410 : 0x7632);
        put128(x + x_at(v, C::home(C::placed(part, 4 * half + e))), word);
    }
}

// Sums of 16 outputs and 32 columns to rows of vectors; column i of eight is that of row
// to(columns, i), whose chunk c is at c ^ (v / 8 * 2 + v % 2) where columns are mixed (C::spread),
// else at c ^ v, all mod 8.
template <class C> static __device__ __forceinline__ uint32_t y_at(int v, int chunk) {
    const int turn = C::SPREAD ? (v >> 3) * 2 + (v & 1) : v & 7;
    return (uint32_t)(v * FEATURES * 2 + ((chunk ^ turn) << 4));
}
template <class C, class T>
static __device__ __forceinline__ void put_vectors(uint32_t y, const float (&d)[4][4], int chunk) {
    const int lane = thread_again() & 31, i = lane & 7;
#pragma unroll
    for (int t = 0; t < 4; t += 2) {
        const int column = t + (lane >> 4);
        const int v = C::SPREAD ? (i >> 1) * 8 + 2 * column + (i & 1) : 8 * column + i;
        asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(
                         y + y_at<C>(v, chunk + (lane >> 3 & 1))),
                     "r"(T::pair(d[t][0], d[t][1])), "r"(T::pair(d[t][2], d[t][3])),
                     "r"(T::pair(d[t + 1][0], d[t + 1][1])), "r"(T::pair(d[t + 1][2], d[t + 1][3]))
                     : "memory");
    }
}
// All of a block's features of a vector lie side by side.
template <class C>
static __device__ __forceinline__ void store_vectors(const wn__gpu_kron_fused &p, uint32_t y,
                                                     int step, int rank) {
    const int thread = thread_again();
#pragma unroll 2
    for (int i = 0; i < X_BYTES / 16 / THREADS; i++) {
        const int at = i * THREADS + thread, v = at / 64, vector = step * VECTORS + v;
        if (vector < p.n)
            *(uint4 *)(p.y + vector * p.y_vector + rank * FEATURES + at % 64 * 8) =
                get128(y + y_at<C>(v, at % 64));
    }
}

// Four words whose places were mixed by x.
static __device__ __forceinline__ uint4 sorted(uint4 v, int x) {
    if ((x & 1) != 0) v = make_uint4(v.y, v.x, v.w, v.z);
    if ((x & 2) != 0) v = make_uint4(v.z, v.w, v.x, v.y);
    return v;
}

// ---- two factors of 64 blocks of 64 x 64: (64,64,64,1), then (1,64,64,64); or turned, the other
// way round

template <bool TURNED> struct pair64 {
    enum {
        H_PITCH = 64 * 64 + 64, // of a block of the second factor, to the next: other banks
        H_BYTES = 8 * H_PITCH,
        F_BYTES = TURNED ? 0 : X_BYTES / 2, // results of half the vectors, from the block beside
        EXTRA_BYTES = 2 * F_BYTES,
        SORTED = TURNED,
        SPREAD = 1,
        FIRST_D = TURNED ? 64 : 1,
        SECOND_D = TURNED ? 1 : 64,
        SHARED = 3 * X_BYTES + 2 * H_BYTES + X_BYTES + EXTRA_BYTES + 32
    };
    uint4 first[2][4], second[2][4];

    // Where 16 bytes of x come from, and which 16 they are here.
    static __device__ __forceinline__ int input(int chunk, int rank) {
        return TURNED ? chunk * 64 + rank * 8 : rank * FEATURES + 8 * chunk;
    }
    static __device__ __forceinline__ int mixed(int chunk) {
        return TURNED ? chunk ^ (chunk >> 3) : chunk;
    }
    // Where one of those that belong there is.
    static __device__ __forceinline__ int home(int chunk) {
        return TURNED ? chunk ^ (chunk >> 3 & 4) : chunk;
    }
    static __device__ __forceinline__ int raw(int part, int i) { return 8 * part + i; }
    static __device__ __forceinline__ int placed(int part, int block) { return 8 * block + part; }

    __device__ __forceinline__ void load(const wn__gpu_kron_fused &p, int rank) {
        const int warp = (int)threadIdx.x / 32;
#pragma unroll
        for (int m = 0; m < 2; m++)
#pragma unroll
            for (int k = 0; k < 4; k++) {
                first[m][k] = load_tile<0, FIRST_D>(p, rank * 8 + warp / 2, warp % 2 * 2 + m, k);
                second[m][k] = load_tile<1, SECOND_D>(p, rank * 8 + warp / 4 * 2 + m, warp % 4, k);
            }
    }

    // Outputs 32 (warp mod 2) ... of block warp / 2: each eight are inputs of one block of threads.
    template <class T>
    __device__ __forceinline__ void begin(uint32_t x, uint32_t, uint32_t h, uint32_t full,
                                          int rank) const {
        const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x & 31;
        const int s = rank * 8 + warp / 2;
        const uint32_t row =
            h + (lane >> 2) * H_PITCH + s * 64 + (((lane & 3) ^ (s >> 1 & 3)) << 4);
#pragma unroll
        for (int m = 0; m < 2; m++) {
            float d[4][4] = {};
            uint32_t v[4];
#pragma unroll
            for (int k = 0; k < 4; k++)
                times_x<T>(d, first[m][k], x, home(warp / 2 * 8 + 2 * k));
            packed<T, 0>(v, d);
            send16(row, full, warp % 2 * 4 + 2 * m, v);
            packed<T, 1>(v, d);
            send16(row, full, warp % 2 * 4 + 2 * m + 1, v);
        }
    }

    // Outputs 16 (warp mod 4) ... of blocks 2 (warp / 4) and the next, which lie side by side.
    template <class T> __device__ __forceinline__ void end(uint32_t h, uint32_t, uint32_t y) const {
        const int thread = TURNED ? thread_again() : (int)threadIdx.x;
        const int warp = thread / 32, lane = thread & 31;
        float d[2][4][4] = {};
#pragma unroll
        for (int k = 0; k < 4; k++)
#pragma unroll
            for (int m = 0; m < 2; m++)
                times_rows<T>(d[m], second[m][k],
                              h + (warp / 4 * 2 + m) * H_PITCH + (16 * k + (lane & 15)) * 64,
                              lane >> 1 & 3);
#pragma unroll
        for (int t = 0; t < 4; t++)
            if constexpr (TURNED) {
                if (t < 2) put_vectors<pair64, T>(y, d[t], (warp / 4 * 2 + t) * 8 + warp % 4 * 2);
            } else {
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    const int v = 8 * (lane & 3) + 2 * t + (e & 1);
                    const int j = warp % 4 * 16 + (lane >> 2) + 8 * (e >> 1);
                    put32(y + v * FEATURES * 2 + j * 16 + ((warp / 4) ^ (lane & 3)) * 4,
                          T::pair(d[0][t][e], d[1][t][e]));
                }
            }
    }

    // Of each output this block has eight t, its neighbour the next eight: 16 vectors each go to
    // the other, so that 32 bytes are stored at once. f: of this turn, and its barrier.
    static __device__ __forceinline__ void expect(uint32_t barrier) {
        if (!TURNED) barrier_expect(barrier, F_BYTES);
    }
    static __device__ __forceinline__ void exchange(uint32_t y, uint32_t f, uint32_t barrier,
                                                    int rank) {
#pragma unroll
        for (int i = 0; i < F_BYTES / 16 / THREADS; i++) {
            const int at = i * THREADS + (int)threadIdx.x;
            const uint4 v = get128(y + ((rank & 1) ^ 1) * F_BYTES + at * 16);
            send16(f + at * 16, barrier, rank ^ 1, {v.x, v.y, v.z, v.w});
        }
    }
    static __device__ __forceinline__ void store(const wn__gpu_kron_fused &p, uint32_t y,
                                                 uint32_t f, uint32_t barrier, uint32_t phase,
                                                 int step, int rank) {
        const int odd = rank & 1;
        if constexpr (TURNED) {
            store_vectors<pair64>(p, y, step, rank);
        } else {
            barrier_wait(barrier, phase);
#pragma unroll 2
            for (int i = 0; i < X_BYTES / 16 / THREADS; i++) {
                const int at = i * THREADS + (int)threadIdx.x, other = at & 1, j = at / 2 % 64;
                const int v = at / 128, vector = step * VECTORS + 16 * odd + v;
                const uint32_t from = other == odd ? y + odd * F_BYTES : f;
                if (vector < p.n)
                    *(uint4 *)(p.y + vector * p.y_vector + j * 64 + (rank ^ odd) * 8 + other * 8) =
                        sorted(get128(from + v * FEATURES * 2 + j * 16), 2 * odd + (v >> 3));
            }
        }
    }
};

// ---- three factors of 256 blocks of 16 x 16: (256,16,16,1), (16,16,16,16), (1,16,16,256);
// or turned

template <bool TURNED> struct radix16 {
    enum {
        U_BYTES = FEATURES * 64 + 32 * 64, // between the first two: 16 features, then a gap
        H_PITCH = 16 * 64,
        H_BYTES = 32 * H_PITCH,
        F_BYTES = 0,
        EXTRA_BYTES = U_BYTES,
        SORTED = TURNED,
        SPREAD = 0,
        FIRST_D = TURNED ? 256 : 1,
        THIRD_D = TURNED ? 1 : 256,
        SHARED = 3 * X_BYTES + 2 * H_BYTES + X_BYTES + EXTRA_BYTES + 32
    };
    uint4 first[2], second[2], third[2];

    static __device__ __forceinline__ int input(int chunk, int rank) {
        return TURNED ? chunk / 4 * 256 + rank * 32 + chunk % 4 * 8 : rank * FEATURES + 8 * chunk;
    }
    static __device__ __forceinline__ int mixed(int chunk) {
        return TURNED ? chunk ^ (chunk >> 3 & 4) : chunk;
    }
    static __device__ __forceinline__ int home(int chunk) {
        return TURNED ? chunk ^ (chunk >> 2 & 6) : chunk;
    }
    static __device__ __forceinline__ int raw(int part, int i) {
        return ((part & 1) * 8 + i) * 4 + part / 2;
    }
    static __device__ __forceinline__ int placed(int part, int block) {
        return (part / 2 * 8 + block) * 2 + (part & 1);
    }

    __device__ __forceinline__ void load(const wn__gpu_kron_fused &p, int rank) {
        const int warp = (int)threadIdx.x / 32;
#pragma unroll
        for (int m = 0; m < 2; m++) {
            first[m] = load_tile<0, FIRST_D>(p, rank * 32 + 2 * warp + m, 0, 0);
            second[m] = load_tile<1, 16>(p, rank * 32 + 2 * warp + m, 0, 0);
            third[m] = load_tile<2, THIRD_D>(p, rank * 32 + 2 * warp + m, 0, 0);
        }
    }

    static __device__ __forceinline__ uint32_t u_at(int feature, int chunk) {
        const int turn = feature >> (TURNED ? 1 : 5) & 3;
        return (uint32_t)(feature * 64 + (feature >> 4) * 64 + ((chunk ^ turn) << 4));
    }
    // To the 256 features `to` of the last exchange, blocks l of 16, in the block that has them.
    template <class T>
    static __device__ __forceinline__ void give(const float (&d)[4][4], uint32_t h, uint32_t full,
                                                int to, int l) {
        const int lane = (int)threadIdx.x & 31, j = lane >> 2;
        const uint32_t row =
            h + ((j & 1) * 16 + l) * H_PITCH + to * 64 + (((lane & 3) ^ (to >> 1 & 3)) << 4);
        uint32_t v[4];
        packed<T, 0>(v, d);
        send16(row, full, j >> 1, v);
        packed<T, 1>(v, d);
        send16(row, full, 4 + (j >> 1), v);
    }
    // Rows `feature` and every `apart` behind it, between two factors of this block.
    template <class T>
    static __device__ __forceinline__ void keep(const float (&d)[4][4], uint32_t u, int feature,
                                                int apart) {
        const int lane = (int)threadIdx.x & 31, f = feature + (lane >> 2) * apart;
        uint32_t v[4];
        packed<T, 0>(v, d);
        put128(u + u_at(f, lane & 3), v);
        packed<T, 1>(v, d);
        put128(u + u_at(f + 8 * apart, lane & 3), v);
    }

    template <class T>
    __device__ __forceinline__ void begin(uint32_t x, uint32_t u, uint32_t h, uint32_t full,
                                          int rank) const {
        const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x & 31;
        const int i = warp >> 3, to = rank * 2 + i; // which 256 features
#pragma unroll
        for (int m = 0; m < 2; m++) {
            float d[4][4] = {};
            times_x<T>(d, first[m], x, home((2 * warp + m) * 2));
            if (TURNED) // output j is input `to` of block 16 j + l of the next factor
                give<T>(d, h, full, to, 2 * (warp & 7) + m);
            else
                keep<T>(d, u, (2 * warp + m) * 16, 1);
        }
        if constexpr (!TURNED) {
            __syncthreads();
#pragma unroll
            for (int m = 0; m < 2; m++) {
                float d[4][4] = {};
                const int l = 2 * (warp & 7) + m, f = i * 256 + (lane & 15) * 16 + l;
                times_rows<T>(d, second[m], u + u_at(f, 0) - ((f >> 5 & 3) << 4), f >> 5 & 3);
                give<T>(d, h, full, to, l); // as above, of the last factor
            }
        }
    }

    template <class T>
    __device__ __forceinline__ void end(uint32_t h, uint32_t u, uint32_t y) const {
        const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x & 31;
        float d[2][4][4] = {};
#pragma unroll
        for (int m = 0; m < 2; m++)
            times_rows<T>(d[m], TURNED ? second[m] : third[m],
                          h + (2 * warp + m) * H_PITCH + (lane & 15) * 64, lane >> 1 & 3);
        if constexpr (TURNED) {
            end_turned<T>(d, u, y);
        } else {
#pragma unroll
            for (int t = 0; t < 4; t++)
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    const int v = 8 * t + 2 * (lane & 3) + (e & 1), j = (lane >> 2) + 8 * (e >> 1);
                    const int mixed = warp ^ ((j >> 1 & 3) | (v >> 1 & 3) << 2);
                    put32(y + v * FEATURES * 2 + j * 64 + mixed * 4,
                          T::pair(d[0][t][e], d[1][t][e]));
                }
        }
    }
    // What the second factor gave meets the last one.
    template <class T>
    __device__ __forceinline__ void end_turned(const float (&d)[2][4][4], uint32_t u,
                                               uint32_t y) const {
        const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x & 31;
#pragma unroll
        for (int m = 0; m < 2; m++)
            keep<T>(d[m], u, (warp >> 3) * 256 + 2 * (warp & 7) + m, 16);
        __syncthreads();
#pragma unroll
        for (int m = 0; m < 2; m++) {
            float e[4][4] = {};
            const int f = (2 * warp + m) * 16 + (lane & 15);
            times_rows<T>(e, third[m], u + u_at(f, 0) - ((f >> 1 & 3) << 4), f >> 1 & 3);
            put_vectors<radix16, T>(y, e, (2 * warp + m) * 2);
        }
    }

    static __device__ __forceinline__ void expect(uint32_t) {}
    static __device__ __forceinline__ void exchange(uint32_t, uint32_t, uint32_t, int) {}
    static __device__ __forceinline__ void store(const wn__gpu_kron_fused &p, uint32_t y, uint32_t,
                                                 uint32_t, uint32_t, int step, int rank) {
        if constexpr (TURNED) {
            store_vectors<radix16>(p, y, step, rank);
        } else {
#pragma unroll 2
            for (int i = 0; i < X_BYTES / 16 / THREADS; i++) {
                const int at = i * THREADS + (int)threadIdx.x, v = at / 64, j = at % 64 / 4;
                const int chunk = at % 4, vector = step * VECTORS + v;
                if (vector < p.n)
                    *(uint4 *)(p.y + vector * p.y_vector + j * 256 + rank * 32 + chunk * 8) =
                        sorted(
                            get128(y + v * FEATURES * 2 + j * 64 + ((chunk ^ (v >> 1 & 3)) << 4)),
                            j >> 1 & 3);
            }
        }
    }
};

template <class C, class T>
static __device__ __forceinline__ void fused(const wn__gpu_kron_fused &p) {
    extern __shared__ __align__(128) uint8_t memory[];
    const uint32_t x = shared_address(memory), h = x + 3 * X_BYTES, y = h + 2 * C::H_BYTES;
    const uint32_t extra = y + X_BYTES, full = extra + C::EXTRA_BYTES, other = full + 16;
    const int rank = (int)cluster_rank(), clusters = (int)gridDim.x / BLOCKS;
    const int first = (int)blockIdx.x / BLOCKS;
    C chain;
    chain.load(p, rank);
    bring<C>(p, x, first, rank);
    bring<C>(p, x + X_BYTES, first + clusters, rank);
    if (threadIdx.x == 0) {
        for (int i = 0; i < 4; i++)
            barrier_init(full + 8 * i, 1);
        barrier_init_done();
        barrier_expect(full, X_BYTES);
    }
    cluster_sync(); // all blocks and their barriers are there
    if (C::SORTED) {
        copies_wait<0>();
        __syncthreads();
        sort<C>(x);
        sort<C>(x + X_BYTES);
    }
    copies_wait<1>();
    __syncthreads();
    chain.template begin<T>(x, extra, h, full, rank);
    cluster_arrive();
    uint32_t into = 2 * X_BYTES; // which of three is brought
    uint32_t turn = 0;
#pragma unroll 1
    for (int step = first; step < p.steps; step += clusters, turn++) {
        const uint32_t now = turn & 1, next = now ^ 1, phase = turn >> 1 & 1;
        bring<C>(p, x + into, step + 2 * clusters, rank);
        const uint32_t coming = into == 0 ? 2 * X_BYTES : into - X_BYTES, brought = into;
        into = into == 2 * X_BYTES ? 0 : into + X_BYTES;
        if (threadIdx.x == 0) {
            barrier_expect(full + 8 * next, X_BYTES);
            C::expect(other + 8 * now);
        }
        cluster_wait(); // all have used what they had in `next`
        copies_wait<1>();
        barrier_wait(full + 8 * now, phase);
        __syncthreads();
        chain.template end<T>(h + now * C::H_BYTES, extra, y);
        __syncthreads();
        C::exchange(y, extra + now * C::F_BYTES, other + 8 * now, rank);
        if (step + clusters < p.steps)
            chain.template begin<T>(x + coming, extra, h + next * C::H_BYTES, full + 8 * next,
                                    rank);
        cluster_arrive();
        C::store(p, y, extra + now * C::F_BYTES, other + 8 * now, phase, step, rank);
        if (C::SORTED) { // while what was sent is under way
            copies_wait<0>();
            __syncthreads();
            if (step + 2 * clusters < p.steps) sort<C>(x + brought);
        }
    }
    cluster_wait(); // nobody ends while others may write to it
}

#define KERNELS(chain, name, type)                                                                 \
    extern "C" __global__ void __launch_bounds__(THREADS, 1)                                       \
        wn_kron_##name##_##type(const __grid_constant__ wn__gpu_kron_fused p) {                    \
        fused<chain, type_##type>(p);                                                              \
    }
KERNELS(pair64<false>, pair64, bf16)
KERNELS(pair64<false>, pair64, f16)
KERNELS(pair64<true>, pair64t, bf16)
KERNELS(pair64<true>, pair64t, f16)
KERNELS(radix16<false>, radix16, bf16)
KERNELS(radix16<false>, radix16, f16)
KERNELS(radix16<true>, radix16t, bf16)
KERNELS(radix16<true>, radix16t, f16)
static_assert(pair64<false>::SHARED == WN_KRON_PAIR64_SHARED, "shared memory");
static_assert(pair64<true>::SHARED <= WN_KRON_PAIR64_SHARED, "shared memory");
static_assert(radix16<false>::SHARED == WN_KRON_RADIX16_SHARED, "shared memory");
