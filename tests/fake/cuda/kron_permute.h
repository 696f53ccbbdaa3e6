// SPDX-License-Identifier: MIT
/* Permutations in memory, in plain C. */
#ifndef WN_TESTS_FAKE_KRON_PERMUTE_H
#define WN_TESTS_FAKE_KRON_PERMUTE_H

#define FAKE_KRON_PERMUTES(PERMUTE)                                                                \
    PERMUTE("wn_kron_permute_2")                                                                   \
    PERMUTE("wn_kron_permute_4")                                                                   \
    PERMUTE("wn_kron_permute_add_f32")                                                             \
    PERMUTE("wn_kron_permute_add_bf16") PERMUTE("wn_kron_permute_add_f16")

unsigned long fake_kron_permute_bytes(void);
/* 0, or 1 where an argument is not what the device code takes for granted. */
int fake_kron_permute(const void *argument, const char *name);

#endif
