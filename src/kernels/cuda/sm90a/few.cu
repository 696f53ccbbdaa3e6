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
        ALL = PANELS * PIECES,
        PIECE_BYTES = 2048, // of 128 threads
        WARPS = 4,
        SUMS = TOKENS / 2
    };
    const wn__gpu_few &p;
    unsigned rank, split;
    int panel0, begin, end;         // blocks along the inputs that are this thread block's
    int count, offset;              // stages of work; the one that comes first
    uint32_t tokens, weights, sent; // addresses
    uint32_t tokens_full, weights_full, tokens_empty, weights_empty, all_sent; // of barriers

    // Thread blocks begin at different stages, so that not all ask for the same tokens at once.
    __device__ __forceinline__ few(const wn__gpu_few &args, uint32_t raw)
        : p(args), rank(cluster_rank()), split(cluster_size()) {
        const unsigned group = blockIdx.x / split;
        panel0 = (int)group * PANELS;
        begin = (int)((int64_t)p.depth * rank / split);
        end = (int)((int64_t)p.depth * (rank + 1) / split);
        count = (end - begin + DEEP - 1) / DEEP;
        offset = count == 0 ? 0 : (int)(group * 5 % (unsigned)count);
        tokens = (raw + 1023) & ~1023u;
        weights = tokens + (uint32_t)(p.token_stages * TOKEN_STAGE);
        sent = weights + (uint32_t)(p.weight_stages * WEIGHT_STAGE);
        tokens_full = sent + (uint32_t)WN_FEW_SENT(TOKENS, PANELS, split);
        tokens_empty = tokens_full + 8 * (uint32_t)p.token_stages;
        weights_full = tokens_empty + 8 * (uint32_t)p.token_stages;
        weights_empty = weights_full + 8 * (uint32_t)p.weight_stages;
        all_sent = weights_empty + 8 * (uint32_t)p.weight_stages;
    }
    // The first piece of a rank, which owns those up to the next one's.
    __device__ __forceinline__ int first_piece(unsigned of) const {
        return (int)(ALL * of / split);
    }
    // The stage of work that comes i-th.
    __device__ __forceinline__ int work_at(int i) const {
        const int at = i + offset;
        return at < count ? at : at - count;
    }
    __device__ __forceinline__ int deep_at(int work) const {
        const int left = end - begin - work * DEEP;
        return left < DEEP ? left : DEEP;
    }

    __device__ __forceinline__ void make_barriers() const {
        const int pieces = first_piece(rank + 1) - first_piece(rank);
        for (int i = 0; i < p.token_stages; i++) {
            barrier_init(tokens_full + 8 * (uint32_t)i, 1);
            barrier_init(tokens_empty + 8 * (uint32_t)i, WARPS);
        }
        for (int i = 0; i < p.weight_stages; i++) {
            barrier_init(weights_full + 8 * (uint32_t)i, 1);
            barrier_init(weights_empty + 8 * (uint32_t)i, WARPS);
        }
        barrier_init(all_sent, 1);
        barrier_init_done();
        barrier_expect(all_sent, (unsigned)pieces * (split - 1) * PIECE_BYTES);
    }

    // ---- the thread that fetches

    __device__ __forceinline__ void fetch_weights(int i, int stage, uint64_t policy) const {
        const int work = work_at(i);
        const unsigned bytes = (unsigned)deep_at(work) * WN_BLOCK24_BYTES;
        const uint32_t full = weights_full + 8 * (uint32_t)stage;
        const uint32_t to = weights + (uint32_t)(stage * WEIGHT_STAGE);
        barrier_expect(full, PANELS * bytes);
#pragma unroll
        for (int m = 0; m < PANELS; m++) { // beyond the last panel: the last, stored nowhere
            const int panel = min(panel0 + m, p.panels - 1);
            copy_bytes(to + m * DEEP * WN_BLOCK24_BYTES,
                       p.blocks +
                           ((int64_t)panel * p.depth + begin + work * DEEP) * WN_BLOCK24_BYTES,
                       bytes, full, policy);
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
        for (int i = 0; i < count && i < p.weight_stages; i++)
            fetch_weights(i, i, policy);
        if (p.early) wait_for_ahead();
        for (int i = 0; i < count && i < p.token_stages; i++)
            fetch_tokens(i, i);
    }
    __device__ __forceinline__ void keep_fetching(uint64_t policy) const {
        ring w(p.weight_stages), t(p.token_stages);
        int next_weights = p.weight_stages;
        for (int i = p.token_stages; i < count; i++) {
            barrier_wait(tokens_empty + 8 * (uint32_t)t.stage, t.phase);
            fetch_tokens(i, t.stage);
            t.next();
            // the stage of weights that went with those tokens is free as well
            if (next_weights < count) {
                barrier_wait(weights_empty + 8 * (uint32_t)w.stage, w.phase);
                fetch_weights(next_weights++, w.stage, policy);
                w.next();
            }
        }
    }

    // ---- the warpgroup that multiplies

    // N blocks from those addresses on, as one group of products that is not waited for.
    template <int N>
    static __device__ __forceinline__ void
    multiply_blocks(uint32_t a, uint32_t b, float (&d)[PANELS][SUMS], uint32_t (&e)[DEEP][PANELS]) {
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
    }
    // The i-th stage, while that before it is still multiplied, whose words are other registers.
    __device__ __forceinline__ void sum_stage(int i, const ring &w, const ring &t,
                                              float (&d)[PANELS][SUMS],
                                              uint32_t (&e)[DEEP][PANELS]) const {
        const int deep = deep_at(work_at(i));
        const uint32_t a = weights + (uint32_t)(w.stage * WEIGHT_STAGE);
        const uint32_t b = tokens + (uint32_t)(t.stage * TOKEN_STAGE);
        barrier_wait(weights_full + 8 * (uint32_t)w.stage, w.phase);
        barrier_wait(tokens_full + 8 * (uint32_t)t.stage, t.phase);
        if (deep == DEEP) {
            multiply_blocks<DEEP>(a, b, d, e);
            products_wait<1>();
        } else {
#pragma unroll 1
            for (int j = 0; j < deep; j++) {
                multiply_blocks<1>(a + (uint32_t)j * WN_BLOCK24_BYTES,
                                   b + (uint32_t)j * TOKEN_BYTES, d, e);
                products_wait<0>();
            }
        }
    }
    __device__ __forceinline__ void release(int weight_stage, int token_stage) const {
        __syncwarp(); // each warp says that it has read both
        if ((threadIdx.x & 31) != 0) return;
        barrier_arrive(weights_empty + 8 * (uint32_t)weight_stage);
        barrier_arrive(tokens_empty + 8 * (uint32_t)token_stage);
    }
    __device__ __forceinline__ void sum(float (&d)[PANELS][SUMS]) const {
        ring w(p.weight_stages), t(p.token_stages);
        uint32_t even[DEEP][PANELS], odd[DEEP][PANELS];
        int weight_before = 0, token_before = 0;
#pragma unroll 1
        for (int i = 0; i < count; i++) {
            sum_stage(i, w, t, d, even);
            if (i > 0) release(weight_before, token_before);
            weight_before = w.stage;
            token_before = t.stage;
            w.next();
            t.next();
            if (++i == count) break;
            sum_stage(i, w, t, d, odd);
            release(weight_before, token_before);
            weight_before = w.stage;
            token_before = t.stage;
            w.next();
            t.next();
        }
        products_wait<0>(); // the last stage is asked for by nobody
    }

    // Few pieces go from registers to whom they belong.
    __device__ __forceinline__ void exchange_few(const float (&d)[PANELS][SUMS]) const {
#pragma unroll
        for (int c = 0; c < ALL; c++) {
            const float *v = &d[c / PIECES][c % PIECES * 4];
            unsigned to = 0;
            while (first_piece(to + 1) <= c)
                to++;
            const uint32_t pieces = (uint32_t)(first_piece(to + 1) - first_piece(to));
            const uint32_t slot = (rank - (rank > to)) * pieces + (uint32_t)(c - first_piece(to));
            if (to != rank)
                send(sent + slot * PIECE_BYTES + 16 * threadIdx.x, all_sent, to, v);
            else
                put(tokens + c * PIECE_BYTES + 16 * threadIdx.x, v);
        }
        if (split > 1) barrier_wait(all_sent, 0);
    }

    static __device__ __forceinline__ void put(uint32_t to, const float *v) {
        asm volatile("st.shared.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(to), "f"(v[0]), "f"(v[1]),
                     "f"(v[2]), "f"(v[3])
                     : "memory");
    }

    // Sums go through shared memory, where all stages have been read: code that walks through them
    // in a loop stays short, and what another rank owns is sent by the copy engine.
    __device__ __forceinline__ void exchange(const float (&d)[PANELS][SUMS]) const {
        const uint32_t mine = tokens + 16 * threadIdx.x;
#pragma unroll
        for (int c = 0; c < ALL; c++)
            put(mine + c * PIECE_BYTES, &d[c / PIECES][c % PIECES * 4]);
        if (split == 1) return; // each thread reads what it wrote
        writes_to_copies();
        warpgroup_sync(0);
        if (threadIdx.x == 0)
            for (unsigned to = 0; to < split; to++) {
                const int first = first_piece(to), pieces = first_piece(to + 1) - first;
                if (to != rank && pieces > 0)
                    send_bytes(sent + (rank - (rank > to)) * (uint32_t)pieces * PIECE_BYTES,
                               tokens + (uint32_t)first * PIECE_BYTES,
                               (uint32_t)pieces * PIECE_BYTES, all_sent, to);
            }
        __syncwarp();
        barrier_wait(all_sent, 0);
        cluster_arrive(); // nobody's sums go while they are still to be read
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
    __device__ __forceinline__ void finish() const {
        const int first = first_piece(rank), end_piece = first_piece(rank + 1);
        const uint32_t pieces = (uint32_t)(end_piece - first);
#pragma unroll 1
        for (int c = first; c < end_piece; c++) {
            float v[4] = {0, 0, 0, 0};
            for (unsigned from = 0; from < split; from++) {
                float part[4];
                const uint32_t slot = (from - (from > rank)) * pieces + (uint32_t)(c - first);
                const uint32_t at =
                    from == rank ? tokens + (uint32_t)c * PIECE_BYTES : sent + slot * PIECE_BYTES;
                asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];"
                             : "=f"(part[0]), "=f"(part[1]), "=f"(part[2]), "=f"(part[3])
                             : "r"(at + 16 * threadIdx.x));
#pragma unroll
                for (int i = 0; i < 4; i++)
                    v[i] += part[i];
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
        if (ALL <= 2)
            exchange_few(d);
        else
            exchange(d);
        finish();
        if (ALL > 2 && split > 1) cluster_wait();
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
