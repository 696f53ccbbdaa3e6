// SPDX-License-Identifier: MIT
/* Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", 2011).
 *
 * Counter-based: a draw is a pure function of (seed, stream, index), never of what was drawn
 * before, so it is the same on any device and with any number of threads. */
#ifndef WN_BASE_PHILOX_H
#define WN_BASE_PHILOX_H

#include <stdint.h>

/* The bijection itself: ten rounds over counter c with key k. */
void wn__philox4x32(const uint32_t c[4], const uint32_t k[2], uint32_t out[4]);
/* Four 32-bit words for (seed, stream, index): counter = {index lo, index hi, stream lo, stream
 * hi}, key = {seed lo, seed hi}. */
void wn__philox_draw(uint64_t seed, uint64_t stream, uint64_t index, uint32_t out[4]);
/* Uniform in [0,1): the top 24 bits times 2^-24, exact in float. */
static inline float wn__philox_uniform(uint32_t word) {
    return (float)(word >> 8) * 0x1p-24f;
}
/* Four standard normal values for (seed, stream, index), by Box-Muller in double: with u_i =
 * (word_i + 1) * 2^-32, sqrt(-2 ln u_0) times cos and sin of 2 pi u_1, then the same of u_2 and
 * u_3. */
void wn__philox_normal(uint64_t seed, uint64_t stream, uint64_t index, float out[4]);
/* Uniform integer in [0,n), n >= 1, without modulo bias beyond 2^-64: floor(x * n / 2^128) for the
 * 128-bit x of the draw's four words, the first one least significant. */
uint64_t wn__philox_below(uint64_t seed, uint64_t stream, uint64_t index, uint64_t n);

/* Streams in use, so that no two consumers share one. The low 32 bits are free for the consumer. */
#define WN_STREAM_INIT    ((uint64_t)1 << 32) /* + tensor number */
#define WN_STREAM_SHUFFLE ((uint64_t)2 << 32) /* + epoch */
#define WN_STREAM_SAMPLE  ((uint64_t)3 << 32)
#define WN_STREAM_TEST    ((uint64_t)4 << 32)
#define WN_STREAM_BENCH   ((uint64_t)5 << 32)
#define WN_STREAM_MVUE                                                                             \
    ((uint64_t)6 << 32) /* + 8 layer number + product; counter: training passes */
#define WN_STREAM_TOKENS ((uint64_t)7 << 32) /* the fixed order of tokens of activation 2:4 */
#define WN_STREAM_BLOCKS ((uint64_t)8 << 32) /* + epoch; counter: block of documents, exchange */

#endif
