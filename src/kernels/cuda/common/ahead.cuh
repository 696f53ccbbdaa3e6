// SPDX-License-Identifier: MIT
/* Launches that begin before the one ahead has ended, clusters of any size, and sums sent between
 * their blocks. */
#ifndef WN_KERNELS_CUDA_COMMON_AHEAD_CUH
#define WN_KERNELS_CUDA_COMMON_AHEAD_CUH

#include "kernels/cuda/common/hopper.cuh"

/* Until everything that launches ahead have written can be read. */
static __device__ __forceinline__ void wait_for_ahead() {
    asm volatile("griddepcontrol.wait;" ::: "memory");
}
static __device__ __forceinline__ void let_next_begin() {
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}

/* Bytes that are read once. */
static __device__ __forceinline__ uint64_t read_once() {
    uint64_t policy;
    asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
    return policy;
}

/* Bytes that are read again where all of them nearly fit L2: half of them are kept, so that not
 * each drives out what is asked for next; where they are not read again it costs nothing. */
static __device__ __forceinline__ uint64_t keep_half_in_l2() {
    uint64_t policy;
    asm volatile("createpolicy.fractional.L2::evict_last.L2::evict_first.b64 %0, 0.5;"
                 : "=l"(policy));
    return policy;
}

static __device__ __forceinline__ uint32_t cluster_index() {
    uint32_t i;
    asm volatile("mov.u32 %0, %%clusterid.x;" : "=r"(i));
    return i;
}
/* Without a fence: orders nothing but barriers that were initialised. */
static __device__ __forceinline__ void cluster_arrive() {
    asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
}
static __device__ __forceinline__ void cluster_wait() {
    asm volatile("barrier.cluster.wait.aligned;" ::: "memory");
}
/* The same address in the shared memory of another block of the cluster. */
static __device__ __forceinline__ uint32_t address_in(uint32_t address, uint32_t rank) {
    uint32_t there;
    asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(address), "r"(rank));
    return there;
}
/* Four numbers to an address in that of another block of the cluster, whose barrier (in it too)
 * counts their 16 bytes. */
static __device__ __forceinline__ void send(uint32_t there, uint32_t counts, const float *v) {
    asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 "
                 "[%0], {%2, %3, %4, %5}, [%1];" ::"r"(there),
                 "r"(counts), "f"(v[0]), "f"(v[1]), "f"(v[2]), "f"(v[3])
                 : "memory");
}
/* Bytes of this block's shared memory to an address in that of another block of the cluster, whose
 * barrier counts them. */
static __device__ __forceinline__ void send_bytes(uint32_t to, uint32_t from, uint32_t bytes,
                                                  uint32_t barrier, uint32_t rank) {
    asm volatile("{\n\t.reg .b32 there, counts;\n\t"
                 "mapa.shared::cluster.u32 there, %0, %4;\n\t"
                 "mapa.shared::cluster.u32 counts, %3, %4;\n\t"
                 "cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes "
                 "[there], [%1], %2, [counts];\n\t}" ::"r"(to),
                 "r"(from), "r"(bytes), "r"(barrier), "r"(rank)
                 : "memory");
}

#endif
