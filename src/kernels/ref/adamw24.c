// SPDX-License-Identifier: MIT
// adamw24, the specification: adamw and then pack24.
#include "kernels/adamw24.h"
#include "base/fail.h"
#include "kernels/declare.h"

wn_status wn__adamw24_ref(const void *args, wn__exec *x) {
    const wn__adamw24 *p = args;
    const wn__pack24 pack = wn__adamw24_pack(p);
    WN_TRY(wn__pack24_refuse_mask(&pack));
    WN_TRY(wn__adamw_ref(&p->update, x));
    return wn__pack24_ref(&pack, x);
}
