// SPDX-License-Identifier: MIT
/* adamw24 on the items of pack24.inc.h. */
#include "kernels/adamw24.h"
#include "kernels/simd/adamw_step.inc.h"

#define BAND_ROWS (4 * ITEM_BLOCKS)

typedef struct adamw24_job {
    pack24_job pack;
    adamw_job update;
} adamw24_job;

/* A band: the items that lie side by side. Its rows are one stretch of memory, which an update
 * reads as fast as any; the packs find it in a near cache. */
static void adamw24_bands(void *ctx, int64_t begin, int64_t end, int worker) {
    const adamw24_job *job = ctx;
    int64_t r = job->update.p->w.shape[0], c = job->update.p->w.shape[1];
    for (int64_t i = begin; i < end; i++) {
        int64_t first = i * BAND_ROWS, last = first + clamp24(r - first, BAND_ROWS);
        adamw_elements(&job->update, first * c, last * c);
        pack_items((void *)&job->pack, i * job->pack.across, (i + 1) * job->pack.across, worker);
    }
}

static wn_status adamw24(const void *args, wn__exec *x) {
    const wn__adamw24 *p = args;
    const wn__pack24 pack = wn__adamw24_pack(p);
    adamw24_job job = {.pack = pack24_job_of(&pack), .update = adamw_job_of(&p->update)};
    int64_t r = p->update.w.shape[0];
    if (!mask_is_legal(&job.pack, x)) return wn__pack24_refuse_mask(&pack);
    wn__parallel_for(x->pool, (r + BAND_ROWS - 1) / BAND_ROWS, 1, adamw24_bands, &job);
    return WN_OK;
}
