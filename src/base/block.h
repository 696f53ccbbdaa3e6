// SPDX-License-Identifier: MIT
/* Blocks of memory for arrays that are read at full speed. */
#ifndef WN_BASE_BLOCK_H
#define WN_BASE_BLOCK_H

#include <stddef.h>

/* Aligned to 64 bytes; large ones to huge pages, which are advised as in arenas and new, whatever
 * was freed there before, so that what is timed on them is timed as in a model. NULL: no memory. To
 * be freed with free. */
void *wn__block_alloc(size_t bytes);

#endif
