// SPDX-License-Identifier: MIT
/* Everything public at once. */
#ifndef WINNOW_WINNOW_H
#define WINNOW_WINNOW_H

#include "winnow/bench.h"
#include "winnow/convert.h"
#include "winnow/data.h"
#include "winnow/kernels.h"
#include "winnow/ks.h"
#include "winnow/model.h"
#include "winnow/printable.h"
#include "winnow/prune.h"
#include "winnow/status.h"
#include "winnow/tensor.h"
#include "winnow/tokenizer.h"
#include "winnow/train.h"
#include "winnow/verify.h"

#endif
