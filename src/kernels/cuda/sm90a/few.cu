// SPDX-License-Identifier: MIT
// spmm24_blocks of up to 64 tokens at the speed at which packed weights arrive. A thread block
// takes one or two panels of 64 outputs; a cluster of them divides the inputs of its panels. One
// thread keeps a ring of stages full, weights by bulk copies and tokens by boxes, and fetches
// weights before the launch ahead has ended; a warpgroup multiplies. Partial sums go to the block
// of the cluster that owns them, which adds them in the order of the ranks.
#include "kernels/cuda/args_few.h"
#include "kernels/cuda/block24.h"
#include "kernels/cuda/common/ahead.cuh"
#include "kernels/cuda/common/number.cuh"

// ---- d += blocks x, by type and tokens

#define OUT4(d, i)  "+f"((d)[i]), "+f"((d)[i + 1]), "+f"((d)[i + 2]), "+f"((d)[i + 3])
#define OUT8(d, i)  OUT4(d, i), OUT4(d, i + 4)
#define OUT16(d, i) OUT8(d, i), OUT8(d, i + 8)
#define OUT32(d, i) OUT16(d, i), OUT16(d, i + 16)
#define LIST4       "%0, %1, %2, %3"
#define LIST8       LIST4 ", %4, %5, %6, %7"
#define LIST16      LIST8 ", %8, %9, %10, %11, %12, %13, %14, %15"
#define LIST32                                                                                     \
    LIST16 ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"

#define MULTIPLY(F, type, tokens, count, out, a0, a1, a2, a3)                                      \
    template <int HALF>                                                                            \
    static __device__ __forceinline__ void multiply(F, float(&d)[out], uint64_t a, uint64_t b,     \
                                                    uint32_t e) {                                  \
        asm volatile("wgmma.mma_async.sp.sync.aligned.m64n" #tokens "k32.f32." type "." type       \
                     " {" LIST##out "}, %" #a0 ", %" #a1 ", %" #a2 ", %" #a3 ", 1, 1, 1, 0, 0;"    \
                     : count(d, 0)                                                                 \
                     : "l"(a), "l"(b), "r"(e), "n"(HALF));                                         \
    }
#define MULTIPLY_ALL(F, type)                                                                      \
    MULTIPLY(F, type, 8, OUT4, 4, 4, 5, 6, 7)                                                      \
    MULTIPLY(F, type, 16, OUT8, 8, 8, 9, 10, 11)                                                   \
    MULTIPLY(F, type, 32, OUT16, 16, 16, 17, 18, 19)                                               \
    MULTIPLY(F, type, 64, OUT32, 32, 32, 33, 34, 35)
MULTIPLY_ALL(bf16, "bf16")
MULTIPLY_ALL(f16, "f16")

// ---- one shape

// A ring of stages, and in which turn of it the next one is.
struct ring {
    int stage, stages;
    unsigned phase;
    __device__ __forceinline__ explicit ring(int stages) : stage(0), stages(stages), phase(0) {}
    __device__ __forceinline__ void next() {
        if (++stage < stages) return;
        stage = 0;
        phase ^= 1;
    }
};

template <class F, int TOKENS, int PANELS, int DEEP> struct few {
    enum {
        TOKEN_BYTES = TOKENS * 128,
        TOKEN_STAGE = WN_FEW_TOKENS(TOKENS, DEEP),
        WEIGHT_STAGE = WN_FEW_WEIGHTS(PANELS, DEEP),
        PIECES = TOKENS / 8, // float4 of a thread and a panel
        SUMS = TOKENS / 2
    };
    const wn__gpu_few &p;
    unsigned rank, split;
    int panel0, begin, end;         // blocks along the inputs that are this thread block's
    uint32_t tokens, weights, sent; // addresses
    uint32_t tokens_full, weights_full, tokens_empty, weights_empty, all_sent; // of barriers

    __device__ __forceinline__ few(const wn__gpu_few &args, uint32_t raw)
        : p(args), rank(cluster_rank()), split(cluster_size()) {
        panel0 = (int)(blockIdx.x / split) * PANELS;
        begin = (int)((int64_t)p.depth * rank / split);
        end = (int)((int64_t)p.depth * (rank + 1) / split);
        tokens = (raw + 1023) & ~1023u;
        weights = tokens + (uint32_t)(p.token_stages * TOKEN_STAGE);
        sent = weights + (uint32_t)(p.weight_stages * WEIGHT_STAGE);
        tokens_full = sent + (uint32_t)WN_FEW_SENT(TOKENS, PANELS, split);
        tokens_empty = tokens_full + 8 * (uint32_t)p.token_stages;
        weights_full = tokens_empty + 8 * (uint32_t)p.token_stages;
        weights_empty = weights_full + 8 * (uint32_t)p.weight_stages;
        all_sent = weights_empty + 8 * (uint32_t)p.weight_stages;
    }
    __device__ __forceinline__ int count() const { return (end - begin + DEEP - 1) / DEEP; }
    // Which stage's work comes i-th. Thread blocks begin at different places, so that not all of
    // them ask for the same tokens at once.
    __device__ __forceinline__ int work_at(int i) const {
        const int at = i + (int)(blockIdx.x / split) * 5 % count();
        return at < count() ? at : at - count();
    }
    __device__ __forceinline__ int deep_at(int work) const {
        const int left = end - begin - work * DEEP;
        return left < DEEP ? left : DEEP;
    }

    __device__ __forceinline__ void make_barriers() const {
        const unsigned pieces = (PANELS * PIECES + split - 1 - rank) / split; // of this rank
        const int all = 2 * (p.token_stages + p.weight_stages) + 1;
        for (int i = 0; i < all; i++)
            barrier_init(tokens_full + 8 * (uint32_t)i, 1);
        barrier_init_done();
        barrier_expect(all_sent, pieces * (split - 1) * 2048);
    }

    // ---- the thread that fetches

    __device__ __forceinline__ void fetch_weights(int i, int stage, uint64_t policy) const {
        const int work = work_at(i);
        const unsigned bytes = (unsigned)deep_at(work) * WN_BLOCK24_BYTES;
        const int panels = p.panels - panel0 < PANELS ? p.panels - panel0 : PANELS;
        const uint32_t full = weights_full + 8 * (uint32_t)stage;
        uint32_t to = weights + (uint32_t)(stage * WEIGHT_STAGE);
        const uint8_t *from =
            p.blocks + ((int64_t)panel0 * p.depth + begin + work * DEEP) * WN_BLOCK24_BYTES;
        barrier_expect(full, (unsigned)panels * bytes);
        for (int m = 0; m < panels; m++) {
            copy_bytes(to, from, bytes, full, policy);
            to += DEEP * WN_BLOCK24_BYTES;
            from += (int64_t)p.depth * WN_BLOCK24_BYTES;
        }
    }
    __device__ __forceinline__ void fetch_tokens(int i, int stage) const {
        const int work = work_at(i), deep = deep_at(work);
        const uint32_t full = tokens_full + 8 * (uint32_t)stage;
        barrier_expect(full, (unsigned)(deep * TOKEN_BYTES));
        for (int j = 0; j < deep; j++)
            copy_box(tokens + (uint32_t)(stage * TOKEN_STAGE + j * TOKEN_BYTES), &p.x, full,
                     (begin + work * DEEP + j) * 64, 0);
    }

    // Weights that nothing ahead writes do not wait for it.
    __device__ __forceinline__ void begin_fetching(uint64_t policy) const {
        if (p.early) {
            let_next_begin();
        } else {
            wait_for_ahead();
            let_next_begin();
        }
        for (int i = 0; i < count() && i < p.weight_stages; i++)
            fetch_weights(i, i, policy);
        if (p.early) wait_for_ahead();
        for (int i = 0; i < count() && i < p.token_stages; i++)
            fetch_tokens(i, i);
    }
    __device__ __forceinline__ void keep_fetching(uint64_t policy) const {
        ring w(p.weight_stages), t(p.token_stages);
        int next_weights = p.weight_stages;
        for (int i = p.token_stages; i < count(); i++) {
            barrier_wait(tokens_empty + 8 * (uint32_t)t.stage, t.phase);
            fetch_tokens(i, t.stage);
            t.next();
            // the stage of weights that went with those tokens is free as well
            if (next_weights < count()) {
                barrier_wait(weights_empty + 8 * (uint32_t)w.stage, w.phase);
                fetch_weights(next_weights++, w.stage, policy);
                w.next();
            }
        }
    }

    // ---- the warpgroup that multiplies

    // N blocks from those addresses on.
    template <int N>
    static __device__ __forceinline__ void multiply_blocks(uint32_t a, uint32_t b,
                                                           float (&d)[PANELS][SUMS]) {
        uint32_t e[N][PANELS];
#pragma unroll
        for (int i = 0; i < N; i++)
#pragma unroll
            for (int m = 0; m < PANELS; m++)
                asm volatile("ld.shared.u32 %0, [%1];"
                             : "=r"(e[i][m])
                             : "r"(a + (uint32_t)(m * DEEP + i) * WN_BLOCK24_BYTES +
                                   WN_BLOCK24_VALUES + 4 * threadIdx.x));
        products_begin();
#pragma unroll
        for (int i = 0; i < N; i++)
#pragma unroll
            for (int m = 0; m < PANELS; m++) {
                const uint32_t am = a + (uint32_t)(m * DEEP + i) * WN_BLOCK24_BYTES;
                const uint32_t bi = b + (uint32_t)i * TOKEN_BYTES;
                multiply<0>(F(), d[m], matrix_of(am, 512, 2), matrix_of(bi, 1024, 1), e[i][m]);
                multiply<1>(F(), d[m], matrix_of(am + 32, 512, 2), matrix_of(bi + 64, 1024, 1),
                            e[i][m]);
            }
        products_commit();
        products_wait<0>();
    }
    __device__ __forceinline__ void sum(float (&d)[PANELS][SUMS]) const {
        ring w(p.weight_stages), t(p.token_stages);
#pragma unroll 1
        for (int i = 0; i < count(); i++) {
            const int deep = deep_at(work_at(i));
            const uint32_t a = weights + (uint32_t)(w.stage * WEIGHT_STAGE);
            const uint32_t b = tokens + (uint32_t)(t.stage * TOKEN_STAGE);
            barrier_wait(weights_full + 8 * (uint32_t)w.stage, w.phase);
            barrier_wait(tokens_full + 8 * (uint32_t)t.stage, t.phase);
            if (deep == DEEP) {
                multiply_blocks<DEEP>(a, b, d);
            } else {
#pragma unroll 1
                for (int j = 0; j < deep; j++)
                    multiply_blocks<1>(a + (uint32_t)j * WN_BLOCK24_BYTES,
                                       b + (uint32_t)j * TOKEN_BYTES, d);
            }
            if (threadIdx.x == 0) {
                barrier_arrive(weights_empty + 8 * (uint32_t)w.stage);
                barrier_arrive(tokens_empty + 8 * (uint32_t)t.stage);
            }
            w.next();
            t.next();
        }
    }

    // Where another rank leaves piece c for its owner, which has every split-th piece.
    __device__ __forceinline__ uint32_t sent_at(int c, unsigned owner, unsigned from) const {
        return sent + ((uint32_t)c / split * (split - 1) + from - (from > owner)) * 2048 +
               16 * threadIdx.x;
    }
    __device__ __forceinline__ void send_pieces(const float (&d)[PANELS][SUMS]) const {
#pragma unroll
        for (int c = 0; c < PANELS * PIECES; c++) {
            const unsigned owner = (unsigned)c % split;
            if (owner != rank)
                send(sent_at(c, owner, rank), all_sent, owner, &d[c / PIECES][c % PIECES * 4]);
        }
    }

    // Four sums of piece c: tokens 8 j + 2 q and the next, of outputs 16 warp + g and eight later.
    // In the type, eight by eight of them change places: a thread stores two outputs of one token.
    __device__ __forceinline__ void store(int panel, int j, const float v[4]) const {
        typedef typename F::bits T;
        const int t = (int)threadIdx.x, first = panel * 64 + (t >> 5) * 16, g = t >> 2 & 7,
                  q = t & 3;
        T y[4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int token = 8 * j + 2 * q + (i & 1), o = first + g + 8 * (i >> 1);
            const bool there = token < p.tokens && o < p.outputs;
            float s = v[i];
            if (p.bias != nullptr && there) s += number(F(), ((const T *)p.bias)[o]);
            if (p.relu2) {
                s = s <= 0 ? 0 : s;
                s *= s;
            }
            if (p.residual != nullptr && there)
                s += number(F(), ((const T *)p.residual)[token * p.residual_stride + o]);
            y[i] = rounded(F(), s);
        }
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const uint32_t two_tokens = (uint32_t)y[2 * i] | (uint32_t)y[2 * i + 1] << 16;
            uint32_t two_outputs;
            asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;"
                         : "=r"(two_outputs)
                         : "r"(two_tokens));
            const int token = 8 * j + g, o = first + 8 * i + 2 * q;
            T *to = (T *)p.y + token * p.y_stride + o;
            if (token >= p.tokens || o >= p.outputs) continue;
            if (o + 1 < p.outputs)
                *(uint32_t *)to = two_outputs;
            else
                *to = (T)two_outputs;
        }
    }
    __device__ __forceinline__ void finish(const float (&d)[PANELS][SUMS]) const {
#pragma unroll
        for (int c = 0; c < PANELS * PIECES; c++) {
            if ((unsigned)c % split != rank) continue;
            const float *mine = &d[c / PIECES][c % PIECES * 4];
            float v[4] = {0, 0, 0, 0};
            for (unsigned from = 0; from < split; from++) {
                float other[4] = {mine[0], mine[1], mine[2], mine[3]};
                if (from != rank)
                    asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];"
                                 : "=f"(other[0]), "=f"(other[1]), "=f"(other[2]), "=f"(other[3])
                                 : "r"(sent_at(c, rank, from)));
#pragma unroll
                for (int i = 0; i < 4; i++)
                    v[i] += other[i];
            }
            store(panel0 + c / PIECES, c % PIECES, v);
        }
    }

    __device__ __forceinline__ void run() const {
        const bool fetches = threadIdx.x == WN_FEW_THREADS - 32;
        const uint64_t policy = read_once();
        float d[PANELS][SUMS];
        if (fetches) make_barriers();
        __syncwarp();
        if (split > 1) cluster_arrive();
        if (fetches) begin_fetching(policy);
        __syncthreads();
        if (threadIdx.x < 128) {
#pragma unroll
            for (int m = 0; m < PANELS; m++)
#pragma unroll
                for (int i = 0; i < SUMS; i++)
                    d[m][i] = 0;
            sum(d);
        } else {
            if (fetches) keep_fetching(policy);
            __syncwarp();
        }
        if (split > 1) cluster_wait(); // all have made their barriers
        if (threadIdx.x >= 128) return;
        wait_for_ahead();
        if (split > 1) {
            send_pieces(d);
            barrier_wait(all_sent, 0);
        }
        finish(d);
    }
};

#define FEW(F, tokens, panels, deep)                                                               \
    extern "C" __global__ void __launch_bounds__(WN_FEW_THREADS, 2)                                \
        wn_few_##F##_##tokens(const __grid_constant__ wn__gpu_few p) {                             \
        extern __shared__ uint8_t raw[];                                                           \
        few<F, tokens, panels, deep>(p, shared_address(raw)).run();                                \
    }
#define FEW_BF16(tokens, panels, deep, stages) FEW(bf16, tokens, panels, deep)
#define FEW_F16(tokens, panels, deep, stages)  FEW(f16, tokens, panels, deep)
WN_FEW_SHAPES(FEW_BF16)
WN_FEW_SHAPES(FEW_F16)
