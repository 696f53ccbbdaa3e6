// SPDX-License-Identifier: MIT
/* What the device code of float32 factors does, in plain C. Results: 0, or 1 where an argument is
 * not what the device code takes for granted. */
#ifndef WN_TESTS_FAKE_KRON_F32_H
#define WN_TESTS_FAKE_KRON_F32_H

/* Products, by their names. */
#define FAKE_KRON_PRODUCTS(PRODUCT)                                                                \
    PRODUCT("wn_kron_f32_rows")                                                                    \
    PRODUCT("wn_kron_f32_rows_exact")                                                              \
    PRODUCT("wn_kron_f32_lanes4")                                                                  \
    PRODUCT("wn_kron_f32_lanes4_exact")                                                            \
    PRODUCT("wn_kron_f32_lanes8") PRODUCT("wn_kron_f32_lanes8_exact")

/* Of the argument of the packing kernel, or of the others. */
unsigned long fake_kron_f32_bytes(int pack);
int fake_kron_pack_f32(const void *argument);
int fake_kron_f32(const void *argument, const char *name);

#endif
