// SPDX-License-Identifier: MIT
// Reading the stream sees every word, with any number of threads.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/read_rate.h"

static void every_word_is_read(void **state) {
    (void)state;
    for (int threads = 1; threads <= 3; threads++) {
        wn__pool *pool;
        wn__read_rate s;
        assert_int_equal(wn__pool_create(threads, &pool), WN_OK);
        assert_int_equal(wn__read_rate_open(pool, 1, &s), WN_OK);
        uint64_t want = 0;
        s.word[s.count - 1] = 12345; // the last word counts too
        for (int64_t i = 0; i < s.count; i++)
            want += s.word[i];
        wn__read_rate_read(&s);
        assert_true(s.sum == want);
        assert_true(wn__read_rate_of(&s) == 0); // not the words that were written
        s.word[s.count - 1] = (uint64_t)s.count - 1;
        assert_true(wn__read_rate_of(&s) > 0);
        wn__read_rate_close(&s);
        wn__pool_free(pool);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_word_is_read)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
