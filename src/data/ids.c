// SPDX-License-Identifier: MIT
// Reading ids out of a span.
#include "data/ids.h"

void wn__ids_copy(const wn__ids *s, uint64_t begin, size_t n, int32_t *out) {
    const uint8_t *p = s->bytes + begin * (uint64_t)s->id_bytes;
    if (s->id_bytes == 2) {
        for (size_t i = 0; i < n; i++, p += 2)
            out[i] = (int32_t)(p[0] | (uint32_t)p[1] << 8);
    } else {
        for (size_t i = 0; i < n; i++, p += 4)
            out[i] =
                (int32_t)(p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
    }
}

wn__ids wn__ids_part(const wn__ids *s, uint64_t begin, uint64_t count) {
    wn__ids part = *s;
    part.bytes = s->bytes + begin * (uint64_t)s->id_bytes;
    part.count = count;
    return part;
}
