// SPDX-License-Identifier: MIT
/* What sm80/block8.cu and sm90a/spmm24_blocks8.cu do: the references on the arguments that a launch
 * brought. Results: 0, or 1 where an argument is not what the device code takes for granted. */
#ifndef WN_TESTS_FAKE_DEVICE8_H
#define WN_TESTS_FAKE_DEVICE8_H

int fake_rows8(const void *argument, int bf16);
int fake_block8(const void *argument, int bf16);
/* The kernel's name says the tile and the type. */
int fake_product8(const void *argument, const char *name);

#endif
