// SPDX-License-Identifier: MIT
/* What the device code of float32 factors of wide blocks does, in plain C. Results: 0, or 1 where
 * an argument is not what the device code takes for granted. */
#ifndef WN_TESTS_FAKE_KRON_TF32_H
#define WN_TESTS_FAKE_KRON_TF32_H

/* By their names. */
#define FAKE_KRON_TF32(NAME)                                                                       \
    NAME("wn_kron_tf32_pack")                                                                      \
    NAME("wn_kron_tf32_lanes") NAME("wn_kron_tf32_sides") NAME("wn_kron_tf32_rows")

unsigned long fake_kron_tf32_bytes(const char *name);
int fake_kron_tf32(const void *argument, const char *name);

#endif
