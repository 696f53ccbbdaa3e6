// SPDX-License-Identifier: MIT
// Packed blocks for a GPU: the layout of block24.h, through a driver that decodes it on its own,
// and known bytes.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake/cuda/open.h"
#include "kernels/cuda/block24.h"
#include "kernels/cuda/probe.h"
#include <string.h>

static fake_cuda_state *fake;
static const uint32_t fatbin[4] = {0xBA55ED50U};

static void test_probe(void **state) {
    (void)state;
    static const char *const names[] = {"probe_sm80", "probe_sm90a"};
    wn__cuda *d;
    assert_int_equal(wn__cuda_open(0, &d), WN_OK);
    for (int i = 0; i < 2; i++) {
        const wn__cuda_image image = {names[i], fatbin};
        assert_int_equal(wn__cuda_probe(d, &image), WN_OK);
    }
    wn__cuda_close(d);
    assert_int_equal(fake->alive, 0);
}

// One kept pair at a time lands in its own two values and its own four bits.
static void test_every_place(void **state) {
    (void)state;
    static uint16_t w[64 * 64];
    static uint8_t keep[64 * 64], seen[WN_BLOCK24_VALUES];
    for (int i = 0; i < 64 * 64; i++)
        w[i] = (uint16_t)(i + 1);
    for (int r = 0; r < 64; r++)
        for (int group = 0; group < 16; group++) {
            unsigned char block[WN_BLOCK24_BYTES] = {0};
            const int at = r * 64 + 4 * group;
            memset(keep, 0, sizeof keep);
            keep[at + 1] = keep[at + 3] = 1; // columns 1 and 3: 1 + 3 x 4 = 13
            wn__block24_pack(w, keep, block);
            int found = 0;
            for (int i = 0; i < WN_BLOCK24_VALUES; i += 2) {
                uint16_t v;
                memcpy(&v, block + i, sizeof v);
                if (v == 0) continue;
                assert_true(v == w[at + 1] || v == w[at + 3]);
                assert_int_equal(i / 64, r);
                assert_int_equal(seen[i], 0);
                seen[i] = 1;
                found++;
            }
            assert_int_equal(found, 2);
            for (int i = 0; i < 128; i++) {
                uint32_t word;
                memcpy(&word, block + WN_BLOCK24_VALUES + 4 * i, sizeof word);
                const int lane = i % 32, row = i / 32 * 16 + lane / 4;
                if (row != r - (r % 16 >= 8 ? 8 : 0) || lane % 4 != group / 4)
                    assert_int_equal(word, 0);
                else
                    assert_int_equal(word,
                                     (uint32_t)13 << (4 * (group % 4) + (r % 16 >= 8 ? 16 : 0)));
            }
        }
}

static int set_up(void **state) {
    (void)state;
    fake = fake_cuda_open();
    return fake == NULL ? -1 : 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_probe),
        cmocka_unit_test(test_every_place),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
