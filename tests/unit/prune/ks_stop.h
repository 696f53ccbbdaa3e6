// SPDX-License-Identifier: MIT
/* A fit that is stopped, by whatever device: within the first epoch it leaves nothing, later a
 * checkpoint of the epoch that it goes on to end. */
#ifndef TEST_KS_STOP_H
#define TEST_KS_STOP_H

#include "base/file.h"
#include "winnow/ks.h"
#include <stdio.h>
#include <string.h>

static inline bool stop_at_second(void *ctx) {
    int *asked = ctx;
    return ++*asked == 2;
}

/* o: three updates an epoch, two epochs or more, the prefix "ks_chain". */
static inline void assert_stops(const char *path, wn_ks_options *o) {
    wn_ks_result r;
    char file[1200];
    int asked = 0;
    o->stop = stop_at_second;
    assert_int_equal(wn_ks_fit(path, o, NULL, &asked, &r), WN_CANCELLED);
    assert_non_null(strstr(wn_last_error(), "stopped in epoch 1, the first of this fit"));
    assert_int_equal(asked, 2); // between its three updates
    (void)snprintf(file, sizeof file, "%s/ks_chain_best.pth", o->output_dir);
    assert_false(wn__file_exists(file));
    asked = -2; // after the epoch's end, after the second's
    assert_int_equal(wn_ks_fit(path, o, NULL, &asked, &r), WN_CANCELLED);
    assert_non_null(strstr(wn_last_error(), "stopped after epoch 2"));
    (void)snprintf(file, sizeof file, "%s/ks_chain_epoch_2.pth", o->output_dir);
    assert_true(wn__file_exists(file));
}

#endif
