// SPDX-License-Identifier: MIT
/* Barriers, bulk copies and clusters of compute capability 9.0. Addresses are of shared memory. */
#ifndef WN_KERNELS_CUDA_COMMON_HOPPER_CUH
#define WN_KERNELS_CUDA_COMMON_HOPPER_CUH

#include "kernels/cuda/common/ptx.cuh"

static __device__ __forceinline__ void barrier_init(uint32_t barrier, uint32_t arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals)
                 : "memory");
}
/* Makes what was initialised known to the copies and to the cluster. */
static __device__ __forceinline__ void barrier_init_done() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
/* Arrives, and expects that many bytes of copies before the phase ends. */
static __device__ __forceinline__ void barrier_expect(uint32_t barrier, uint32_t bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
                 : "memory");
}
static __device__ __forceinline__ void barrier_wait(uint32_t barrier, uint32_t phase) {
    asm volatile("{\n\t.reg .pred p;\n\t"
                 "again_%=:\n\t"
                 "mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1, 0x989680;\n\t"
                 "@p bra done_%=;\n\tbra again_%=;\n\tdone_%=:\n\t}" ::"r"(barrier),
                 "r"(phase)
                 : "memory");
}
static __device__ __forceinline__ void barrier_arrive(uint32_t barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}
/* At the same barrier of another block of the cluster. With an explicit .release.cluster every
 * arrival would become a fence of the whole device. */
static __device__ __forceinline__ void barrier_arrive_at(uint32_t barrier, uint32_t block) {
    asm volatile("{\n\t.reg .b32 there;\n\tmapa.shared::cluster.u32 there, %0, %1;\n\t"
                 "mbarrier.arrive.shared::cluster.b64 _, [there];\n\t}" ::"r"(barrier),
                 "r"(block)
                 : "memory");
}

/* A box of a matrix to shared memory, from column and row; the second form to every block of the
 * cluster that `blocks` has a bit for. */
static __device__ __forceinline__ void copy_box(uint32_t to, const void *map, uint32_t barrier,
                                                int column, int row) {
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
                 "[%0], [%1, {%3, %4}], [%2];" ::"r"(to),
                 "l"(map), "r"(barrier), "r"(column), "r"(row)
                 : "memory");
}
static __device__ __forceinline__ void copy_box_to(uint32_t to, const void *map, uint32_t barrier,
                                                   int column, int row, uint16_t blocks) {
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
                 ".multicast::cluster [%0], [%1, {%3, %4}], [%2], %5;" ::"r"(to),
                 "l"(map), "r"(barrier), "r"(column), "r"(row), "h"(blocks)
                 : "memory");
}
static __device__ __forceinline__ void store_box(const void *map, uint32_t from, int column,
                                                 int row) {
    asm volatile(
        "cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%0, {%2, %3}], [%1];" ::"l"(
            map),
        "r"(from), "r"(column), "r"(row)
        : "memory");
    asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}
/* Until at most N stores have not been read from shared memory yet. */
template <int N> static __device__ __forceinline__ void stores_read() {
    asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(N) : "memory");
}
static __device__ __forceinline__ void stores_done() {
    asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
}

/* Bytes that are read again and again: kept in L2 where others are not. */
static __device__ __forceinline__ uint64_t keep_in_l2() {
    uint64_t policy;
    asm volatile("createpolicy.fractional.L2::evict_last.b64 %0, 1.0;" : "=l"(policy));
    return policy;
}
static __device__ __forceinline__ void copy_bytes(uint32_t to, const void *from, uint32_t bytes,
                                                  uint32_t barrier, uint64_t policy) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes"
                 ".L2::cache_hint [%0], [%1], %2, [%3], %4;" ::"r"(to),
                 "l"(from), "r"(bytes), "r"(barrier), "l"(policy)
                 : "memory");
}

/* What ordinary stores wrote to shared memory becomes visible to copies. */
static __device__ __forceinline__ void writes_to_copies() {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

static __device__ __forceinline__ uint32_t cluster_rank() {
    uint32_t rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}
static __device__ __forceinline__ void cluster_sync() {
    asm volatile("barrier.cluster.arrive.aligned;\n\tbarrier.cluster.wait.aligned;" ::: "memory");
}
/* One lane of a converged warp. */
static __device__ __forceinline__ bool elected() {
    uint32_t yes;
    asm volatile("{\n\t.reg .pred p;\n\telect.sync _|p, 0xFFFFFFFF;\n\tselp.u32 %0, 1, 0, p;\n\t}"
                 : "=r"(yes));
    return yes != 0;
}
/* The 128 threads of warpgroup `which`, counted from 0. */
static __device__ __forceinline__ void warpgroup_sync(int which) {
    asm volatile("bar.sync %0, 128;" ::"r"(which + 1) : "memory");
}

static __device__ __forceinline__ void products_begin() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
static __device__ __forceinline__ void products_commit() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int N> static __device__ __forceinline__ void products_wait() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}

/* A matrix for wgmma: bytes from eight rows to the next; swizzle 1: of 128 bytes, 2: of 64. */
static __device__ __forceinline__ uint64_t matrix_of(uint32_t address, uint32_t rows8,
                                                     uint32_t swizzle) {
    return (uint64_t)(swizzle << 30 | rows8 >> 4) << 32 |
           (uint64_t)((address & 0x3FFFF) >> 4 | 1u << 16);
}

/* A ring of stages, as those who fill and those who read it walk it. */
struct ring {
    uint32_t stage, phase;
    template <int STAGES> __device__ __forceinline__ void next() {
        if (++stage == STAGES) {
            stage = 0;
            phase ^= 1;
        }
    }
};

#endif
