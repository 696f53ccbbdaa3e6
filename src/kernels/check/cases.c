// SPDX-License-Identifier: MIT
// The case type of every op of the table.
#include "kernels/check/harness.h"

#define WN_OP(name, summary) extern const wn__case_type wn__cases_##name;
#define WN_KERNEL(op, variant, needs, accepts, workspace, rank)
#include "kernels/kernels.def"
#undef WN_OP

const wn__case_type *wn__case_type_of(wn__op op) {
    static const wn__case_type *const types[WN__OP_COUNT] = {
#define WN_OP(name, summary) &wn__cases_##name,
#include "kernels/kernels.def"
#undef WN_OP
#undef WN_KERNEL
    };
    return types[op];
}
