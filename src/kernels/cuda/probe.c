// SPDX-License-Identifier: MIT
// Self-test and bandwidth of a GPU.
#include "kernels/cuda/probe.h"

#include "base/fail.h"
#include "base/half.h"
#include "kernels/cuda/block24.h"
#include "kernels/cuda/images.h"
#include <stdlib.h>
#include <string.h>

enum { ROWS = WN_BLOCK24_ROWS, COLUMNS = WN_BLOCK24_COLUMNS, TOKENS = 8 };

void wn__block24_pack(const uint16_t *w, const uint8_t *keep, uint8_t *block) {
    uint32_t words[128] = {0};
    for (int r = 0; r < ROWS; r++)
        for (int group = 0; group < COLUMNS / 4; group++) {
            uint32_t nibble = 0;
            int kept = 0;
            for (uint32_t i = 0; i < 4 && kept < 2; i++) {
                const int at = r * COLUMNS + 4 * group + (int)i;
                if (keep[at] == 0) continue;
                memcpy(block + WN_BLOCK24_VALUE(r, 2 * group + kept), &w[at], sizeof w[at]);
                nibble |= i << 2 * kept++;
            }
            const uint32_t shift = 16 * (uint32_t)(r >> 3 & 1) + 4 * ((uint32_t)group & 3);
            words[WN_BLOCK24_WORD(r, group >> 2)] |= nibble << shift;
        }
    memcpy(block + WN_BLOCK24_VALUES, words, sizeof words);
}

// A product of small integers: sums of 32 of them are exact in float32.
typedef struct problem {
    uint16_t w[ROWS * COLUMNS], x[TOKENS * COLUMNS];
    uint8_t keep[ROWS * COLUMNS], block[WN_BLOCK24_BYTES];
    float want[TOKENS * ROWS], got[TOKENS * ROWS];
} problem;

static float small(int i) {
    return (float)((i * 37 + 11) % 17 - 8);
}

static void make(problem *p) {
    static const uint8_t patterns[6] = {3, 5, 9, 6, 10, 12}; // columns kept, as bits
    for (int i = 0; i < ROWS * COLUMNS; i++) {
        const int r = i / COLUMNS, group = i % COLUMNS / 4;
        p->keep[i] = patterns[(r * 5 + group) % 6] >> i % 4 & 1;
        p->w[i] = wn__bf16_from_f32(small(i));
    }
    for (int i = 0; i < TOKENS * COLUMNS; i++)
        p->x[i] = wn__bf16_from_f32(small(i * 7 + 3));
    for (int t = 0; t < TOKENS; t++)
        for (int r = 0; r < ROWS; r++) {
            float sum = 0;
            for (int k = 0; k < COLUMNS; k++)
                if (p->keep[r * COLUMNS + k] != 0)
                    sum += small((t * COLUMNS + k) * 7 + 3) * small(r * COLUMNS + k);
            p->want[t * ROWS + r] = sum;
        }
    memset(p->got, 0x7f, sizeof p->got);
    wn__block24_pack(p->w, p->keep, p->block);
}

static wn_status compare(const problem *p, const char *image) {
    for (int i = 0; i < TOKENS * ROWS; i++)
        if (!(p->got[i] == p->want[i]))
            return wn__fail(WN_DEVICE, "%s: token %d, feature %d is %g, not %g", image, i / ROWS,
                            i % ROWS, (double)p->got[i], (double)p->want[i]);
    return WN_OK;
}

static wn_status multiply(wn__cuda *d, const wn__cuda_image *image, problem *p) {
    wn__arena memory;
    WN_TRY(wn__cuda_arena(d, "self-test", 4 * WN_BLOCK24_BYTES, &memory));
    wn_status status;
    wn__cu_function f;
    void *block, *x, *y;
    WN_TRY_OUT(wn__arena_alloc(&memory, sizeof p->block, &block));
    WN_TRY_OUT(wn__arena_alloc(&memory, sizeof p->x, &x));
    WN_TRY_OUT(wn__arena_alloc(&memory, sizeof p->got, &y));
    WN_TRY_OUT(wn__cuda_function(d, image, "wn_probe", &f));
    WN_TRY_OUT(wn__cuda_copy_in(d, block, p->block, sizeof p->block));
    WN_TRY_OUT(wn__cuda_copy_in(d, x, p->x, sizeof p->x));
    const bool warpgroup = strstr(image->name, "sm90a") != NULL;
    const wn__cuda_launch launch = {.grid = {1, 1, 1}, .block = {warpgroup ? 128 : 32, 1, 1}};
    WN_TRY_OUT(wn__cuda_run(d, f, &launch, (void *[]){&y, &block, &x}));
    WN_TRY_OUT(wn__cuda_copy_out(d, p->got, y, sizeof p->got));
    status = wn__cuda_wait(d);
out:
    wn__arena_free(&memory);
    return status;
}

wn_status wn__cuda_probe(wn__cuda *d, const wn__cuda_image *image) {
    problem *p = calloc(1, sizeof *p);
    if (p == NULL) return wn__fail(WN_NOMEM, "no memory for a self-test");
    make(p);
    wn_status status = multiply(d, image, p);
    if (status == WN_OK) status = compare(p, image->name);
    free(p);
    return status;
}

#ifdef WN_HAVE_DEVICE_CODE

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// The median of seven copies, each of them long enough for the clock of events.
static wn_status time_copies(wn__cuda *d, wn__cu_function f, void *to, void *from, uint64_t count,
                             double *seconds) {
    enum { TIMES = 7 };
    double took[TIMES];
    const wn__cuda_launch launch = {.grid = {8 * (unsigned)wn__cuda_info(d)->multiprocessors, 1, 1},
                                    .block = {256, 1, 1}};
    for (int i = -1; i < TIMES; i++) { // the first one warms up
        WN_TRY(wn__cuda_time_start(d));
        WN_TRY(wn__cuda_run(d, f, &launch, (void *[]){&to, &from, &count}));
        WN_TRY(wn__cuda_time_stop(d, &took[i < 0 ? 0 : i]));
    }
    qsort(took, TIMES, sizeof *took, by_value);
    *seconds = took[TIMES / 2];
    return WN_OK;
}

wn_status wn__cuda_copy_rate(wn__cuda *d, double *rate) {
    size_t available = 0;
    *rate = 0;
    WN_TRY(wn__cuda_available(d, &available));
    const size_t most = (size_t)512 << 20;
    size_t bytes = available / 8 < most ? available / 8 : most;
    bytes = bytes / WN_CUDA_ALIGN * WN_CUDA_ALIGN;
    if (bytes == 0) return wn__fail(WN_NOMEM, "no memory on %s to copy", wn__cuda_info(d)->name);
    wn__arena memory;
    WN_TRY(wn__cuda_arena(d, "copies", 2 * bytes, &memory));
    wn_status status;
    wn__cu_function f;
    void *to, *from;
    double seconds = 0;
    WN_TRY_OUT(wn__arena_alloc(&memory, bytes, &to));
    WN_TRY_OUT(wn__arena_alloc(&memory, bytes, &from));
    WN_TRY_OUT(wn__cuda_function(d, &wn__image_copy_sm80, "wn_copy", &f));
    WN_TRY_OUT(time_copies(d, f, to, from, bytes / 16, &seconds));
    if (seconds > 0) *rate = 2.0 * (double)bytes / seconds;
out:
    wn__arena_free(&memory);
    return status;
}

#else

wn_status wn__cuda_copy_rate(wn__cuda *d, double *rate) {
    (void)d;
    *rate = 0;
    return wn__fail(WN_UNSUPPORTED, "device code was %s", wn__device_code());
}

#endif
