// SPDX-License-Identifier: MIT
// Philox4x32-10 and the draws made from it. Integer work only, save for the normal draws, which use
// libm in double.
#include "base/philox.h"

#include <math.h>

#define ROUNDS 10
// Multipliers and Weyl increments of the paper (section 4.3, tables 2 and 3).
#define MUL_A  0xD2511F53U
#define MUL_B  0xCD9E8D57U
#define WEYL_A 0x9E3779B9U
#define WEYL_B 0xBB67AE85U

void wn__philox4x32(const uint32_t c[4], const uint32_t k[2], uint32_t out[4]) {
    uint32_t x0 = c[0], x1 = c[1], x2 = c[2], x3 = c[3], ka = k[0], kb = k[1];
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t a = (uint64_t)MUL_A * x0, b = (uint64_t)MUL_B * x2;
        x0 = (uint32_t)(b >> 32) ^ x1 ^ ka;
        x2 = (uint32_t)(a >> 32) ^ x3 ^ kb;
        x1 = (uint32_t)b;
        x3 = (uint32_t)a;
        ka += WEYL_A;
        kb += WEYL_B;
    }
    out[0] = x0;
    out[1] = x1;
    out[2] = x2;
    out[3] = x3;
}

void wn__philox_draw(uint64_t seed, uint64_t stream, uint64_t index, uint32_t out[4]) {
    const uint32_t counter[4] = {(uint32_t)index, (uint32_t)(index >> 32), (uint32_t)stream,
                                 (uint32_t)(stream >> 32)};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    wn__philox4x32(counter, key, out);
}

// (0,1], so that its logarithm is finite.
static double open_uniform(uint32_t word) {
    return ((double)word + 1.0) * 0x1p-32;
}

void wn__philox_normal(uint64_t seed, uint64_t stream, uint64_t index, float out[4]) {
    const double two_pi = 6.283185307179586476925;
    uint32_t word[4];
    wn__philox_draw(seed, stream, index, word);
    for (int i = 0; i < 4; i += 2) {
        double radius = sqrt(-2.0 * log(open_uniform(word[i])));
        double angle = two_pi * open_uniform(word[i + 1]);
        out[i] = (float)(radius * cos(angle));
        out[i + 1] = (float)(radius * sin(angle));
    }
}

// floor(x * n / 2^128) for the 128-bit x whose least significant word comes first.
uint64_t wn__philox_below(uint64_t seed, uint64_t stream, uint64_t index, uint64_t n) {
    __extension__ typedef unsigned __int128 u128;
    uint32_t word[4];
    wn__philox_draw(seed, stream, index, word);
    uint64_t low = word[0] | (uint64_t)word[1] << 32, high = word[2] | (uint64_t)word[3] << 32;
    u128 carry = ((u128)low * n) >> 64;
    return (uint64_t)(((u128)high * n + carry) >> 64);
}
