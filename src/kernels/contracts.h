// SPDX-License-Identifier: MIT
/* The contracts of all ops, for tables that name fields of every op's arguments (costs.def). */
#ifndef WN_KERNELS_CONTRACTS_H
#define WN_KERNELS_CONTRACTS_H

#include "kernels/act24.h"
#include "kernels/adamw.h"
#include "kernels/adamw24.h"
#include "kernels/attention.h"
#include "kernels/block24.h"
#include "kernels/columns24.h"
#include "kernels/cross_entropy.h"
#include "kernels/elementwise.h"
#include "kernels/embed.h"
#include "kernels/kron_grad.h"
#include "kernels/kron_mul.h"
#include "kernels/mask24.h"
#include "kernels/matmul.h"
#include "kernels/mlp.h"
#include "kernels/mvue24_blocks.h"
#include "kernels/mvue24_tokens.h"
#include "kernels/numeric.h"
#include "kernels/pack24.h"
#include "kernels/pack24_tokens.h"
#include "kernels/reduce.h"
#include "kernels/relu24_blocks.h"
#include "kernels/rmsnorm.h"
#include "kernels/rope.h"
#include "kernels/sddmm24.h"
#include "kernels/soft24.h"
#include "kernels/spmm24.h"
#include "kernels/spmm24_blocks.h"
#include "kernels/spmm24_blocks_columns.h"
#include "kernels/spmm24_blocks_rows.h"
#include "kernels/spmm24_rows.h"
#include "kernels/tile24.h"
#include "kernels/update.h"

#endif
