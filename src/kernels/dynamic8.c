// SPDX-License-Identifier: MIT
// The dynamic data type's values, each by the formula in update.h.
#include "kernels/update.h"

#define VALUE(unit, n, j) (float)((unit) * (0.1 + 0.9 * (2 * (j) + 1) / (2.0 * (n))))
#define UP1(u, n, j)      VALUE(u, n, j)
#define UP2(u, n, j)      UP1(u, n, j), UP1(u, n, (j) + 1)
#define UP4(u, n, j)      UP2(u, n, j), UP2(u, n, (j) + 2)
#define UP8(u, n, j)      UP4(u, n, j), UP4(u, n, (j) + 4)
#define UP16(u, n, j)     UP8(u, n, j), UP8(u, n, (j) + 8)
#define UP32(u, n, j)     UP16(u, n, j), UP16(u, n, (j) + 16)
#define UP64(u, n, j)     UP32(u, n, j), UP32(u, n, (j) + 32)
#define UP128(u, n, j)    UP64(u, n, j), UP64(u, n, (j) + 64)
#define DOWN1(u, n, j)    -VALUE(u, n, j)
#define DOWN2(u, n, j)    DOWN1(u, n, (j) + 1), DOWN1(u, n, j)
#define DOWN4(u, n, j)    DOWN2(u, n, (j) + 2), DOWN2(u, n, j)
#define DOWN8(u, n, j)    DOWN4(u, n, (j) + 4), DOWN4(u, n, j)
#define DOWN16(u, n, j)   DOWN8(u, n, (j) + 8), DOWN8(u, n, j)
#define DOWN32(u, n, j)   DOWN16(u, n, (j) + 16), DOWN16(u, n, j)
#define DOWN64(u, n, j)   DOWN32(u, n, (j) + 32), DOWN32(u, n, j)

const float wn__dynamic8_signed[256] = {
    DOWN64(1, 64, 0),  DOWN32(1e-1, 32, 0), DOWN16(1e-2, 16, 0), DOWN8(1e-3, 8, 0),
    DOWN4(1e-4, 4, 0), DOWN2(1e-5, 2, 0),   DOWN1(1e-6, 1, 0),   0,
    UP1(1e-6, 1, 0),   UP2(1e-5, 2, 0),     UP4(1e-4, 4, 0),     UP8(1e-3, 8, 0),
    UP16(1e-2, 16, 0), UP32(1e-1, 32, 0),   UP64(1, 64, 0),      1,
};

const float wn__dynamic8_unsigned[256] = {
    0,
    UP2(1e-6, 2, 0),
    UP4(1e-5, 4, 0),
    UP8(1e-4, 8, 0),
    UP16(1e-3, 16, 0),
    UP32(1e-2, 32, 0),
    UP64(1e-1, 64, 0),
    UP128(1, 128, 0),
    1,
};
