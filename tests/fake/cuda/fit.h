// SPDX-License-Identifier: MIT
/* What the device code of a fit does, in plain C. */
#ifndef WN_TESTS_FAKE_FIT_H
#define WN_TESTS_FAKE_FIT_H

#include "winnow/tensor.h"

/* bytes: of a piece. */
void fake_embed(const void *argument, int bytes);
/* The launch that adds parts does all of it: the other one is left out where there is nothing. 1:
 * parts that are not what they should be. */
int fake_squared_error(const void *argument, wn_dtype dtype, int adds);
void fake_gradient_norms(const void *argument);
void fake_fit_update(const void *argument, wn_dtype dtype);

#endif
