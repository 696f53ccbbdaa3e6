// SPDX-License-Identifier: MIT
// Interpolated Witten-Bell byte trigram (Witten and Bell, "The zero-frequency problem", IEEE Trans.
// Information Theory 37, 1991): P(w|h) = (c(hw) + n(h) P(w|h')) / (c(h) + n(h)), n(h) the number of
// distinct bytes seen after h, h' one byte shorter than h, and the uniform 1/256 below the empty
// history.
#include "base/fail.h"
#include "winnow/data.h"
#include <math.h>
#include <stdlib.h>

#define BYTES 256

// count[256^order]: how often each (history, byte) was seen; total and distinct[256^(order-1)] of
// each history.
typedef struct level {
    uint32_t *count, *total, *distinct;
} level;

static size_t power(int n) {
    size_t p = 1;
    while (n-- > 0)
        p *= BYTES;
    return p;
}

static bool level_create(level *l, int order) {
    l->count = calloc(power(order), sizeof *l->count);
    l->total = calloc(power(order - 1), sizeof *l->total);
    l->distinct = calloc(power(order - 1), sizeof *l->distinct);
    return l->count != NULL && l->total != NULL && l->distinct != NULL;
}

static void level_free(level *l) {
    free(l->count);
    free(l->total);
    free(l->distinct);
}

// The `order` bytes that end at text[i], as an index.
static size_t gram(const unsigned char *text, size_t i, int order) {
    size_t index = 0;
    for (int k = order - 1; k >= 0; k--)
        index = index * BYTES + text[i - (size_t)k];
    return index;
}

static void level_learn(level *l, int order, const unsigned char *text, size_t size) {
    for (size_t i = (size_t)order - 1; i < size; i++) {
        size_t index = gram(text, i, order);
        if (l->count[index]++ == 0) l->distinct[index / BYTES]++;
        l->total[index / BYTES]++;
    }
}

// A history never seen has total = distinct = 0 and leaves the shorter one's probability as it is.
static double probability(const level levels[3], const unsigned char *text, size_t i) {
    double p = 1.0 / BYTES;
    for (int order = 1; order <= 3 && (size_t)order <= i + 1; order++) {
        const level *l = &levels[order - 1];
        size_t index = gram(text, i, order), history = index / BYTES;
        double total = l->total[history], distinct = l->distinct[history];
        if (total > 0) p = (l->count[index] + distinct * p) / (total + distinct);
    }
    return p;
}

wn_status wn_trigram_bits_per_byte(const char *train, size_t train_size, const char *held,
                                   size_t held_size, double *out) {
    *out = 0;
    if (held_size == 0)
        return wn__fail(WN_INVALID, "trigram: no held-out text, at least 1 byte is needed");
    if (train_size > UINT32_MAX)
        return wn__fail(WN_INVALID, "trigram: training text of %zu bytes, at most %u", train_size,
                        UINT32_MAX);
    level levels[3] = {{0}};
    wn_status status = WN_OK;
    bool made = true;
    for (int order = 1; order <= 3; order++)
        made = made && level_create(&levels[order - 1], order);
    if (!made) {
        status = wn__fail(WN_NOMEM, "trigram: no memory for its counts");
    } else {
        for (int order = 1; order <= 3; order++)
            level_learn(&levels[order - 1], order, (const unsigned char *)train, train_size);
        double bits = 0;
        for (size_t i = 0; i < held_size; i++)
            bits -= log2(probability(levels, (const unsigned char *)held, i));
        *out = bits / (double)held_size;
    }
    for (int i = 0; i < 3; i++)
        level_free(&levels[i]);
    return status;
}
