// SPDX-License-Identifier: MIT
// A device: opening it, its memory, copies.
#include "tensor/cuda.h"

#include "base/fail.h"
#include "tensor/cuda_driver.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

wn_status wn__cuda_not_capturing(const wn__cuda *d, const char *call) {
    if (!d->capturing) return WN_OK;
    return wn__fail(WN_BUG, "%s was called while a graph is captured", call);
}

wn_status wn__cuda_enter(const wn__cuda *d) {
    return WN_CU(d->api, context_set, NULL, (d->context));
}

static wn__cu_address address(const void *p) {
    return (wn__cu_address)(uintptr_t)p;
}

wn_status wn__cuda_count(int *count) {
    const wn__cu_api *api;
    *count = 0;
    WN_TRY(wn__cu_open(&api));
    return WN_CU(api, device_count, NULL, (count));
}

// major x 10 + minor.
static wn_status read_compute(const wn__cu_api *api, wn__cu_device device, int *compute) {
    int major = 0, minor = 0;
    WN_TRY(WN_CU(api, device_attribute, NULL, (&major, WN_CU_COMPUTE_MAJOR, device)));
    WN_TRY(WN_CU(api, device_attribute, NULL, (&minor, WN_CU_COMPUTE_MINOR, device)));
    *compute = 10 * major + minor;
    return WN_OK;
}

wn_status wn__cuda_compute(int index, int *compute) {
    const wn__cu_api *api;
    wn__cu_device device = 0;
    int count;
    *compute = 0;
    WN_TRY(wn__cuda_count(&count));
    if (index >= count) return wn__fail(WN_UNSUPPORTED, "the driver shows %d GPUs", count);
    WN_TRY(wn__cu_open(&api));
    WN_TRY(WN_CU(api, device_get, NULL, (&device, index)));
    return read_compute(api, device, compute);
}

static wn_status read_about(wn__cuda *d, int index) {
    wn__cuda_about *a = &d->about;
    int l2 = 0;
    a->index = index;
    WN_TRY(WN_CU(d->api, driver_version, NULL, (&a->driver)));
    WN_TRY(WN_CU(d->api, device_name, NULL, (a->name, (int)sizeof a->name, d->device)));
    WN_TRY(WN_CU(d->api, device_memory, NULL, (&a->memory, d->device)));
    const struct {
        int attribute, *value;
    } wanted[] = {{WN_CU_MULTIPROCESSORS, &a->multiprocessors},
                  {WN_CU_CLOCK, &a->clock},
                  {WN_CU_SHARED_OPTIN, &a->shared_bytes},
                  {WN_CU_L2_BYTES, &l2}};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        WN_TRY(WN_CU(d->api, device_attribute, NULL,
                     (wanted[i].value, wanted[i].attribute, d->device)));
    a->l2 = (size_t)l2;
    return read_compute(d->api, d->device, &a->compute);
}

static wn_status begin_device(wn__cuda *d, int index) {
    const wn__cu_api *api = d->api;
    WN_TRY(WN_CU(api, device_get, NULL, (&d->device, index)));
    WN_TRY(WN_CU(api, context_retain, NULL, (&d->context, d->device)));
    WN_TRY(wn__cuda_enter(d));
    WN_TRY(read_about(d, index));
    WN_TRY(WN_CU(api, stream_create, NULL, (&d->stream, WN_CU_STREAM_NON_BLOCKING)));
    WN_TRY(WN_CU(api, event_create, NULL, (&d->begin, 0)));
    return WN_CU(api, event_create, NULL, (&d->end, 0));
}

wn_status wn__cuda_open(int index, wn__cuda **out) {
    *out = NULL;
    int count;
    WN_TRY(wn__cuda_count(&count));
    if (count == 0) return wn__fail(WN_UNSUPPORTED, "the NVIDIA driver shows no GPU");
    if (index < 0 || index >= count)
        return wn__fail(WN_INVALID, "there is no GPU %d: they are 0 to %d", index, count - 1);
    wn__cuda *d = calloc(1, sizeof *d);
    if (d == NULL) return wn__fail(WN_NOMEM, "no memory for a device");
    wn_status status = wn__cu_open(&d->api);
    if (status == WN_OK) status = begin_device(d, index);
    if (status != WN_OK) {
        wn__cuda_close(d);
        return status;
    }
    *out = d;
    return WN_OK;
}

// Errors on the way out have nobody to go to: what failed before has been reported.
void wn__cuda_close(wn__cuda *d) {
    if (d == NULL) return;
    const wn__cu_api *api = d->api;
    if (d->context != NULL) {
        if (d->stream != NULL) (void)api->stream_wait(d->stream);
        wn__cuda_unload(d);
        if (d->begin != NULL) (void)api->event_destroy(d->begin);
        if (d->end != NULL) (void)api->event_destroy(d->end);
        if (d->stream != NULL) (void)api->stream_destroy(d->stream);
        (void)api->context_release(d->device);
    }
    free(d);
}

const wn__cuda_about *wn__cuda_info(const wn__cuda *d) {
    return &d->about;
}

wn_status wn__cuda_available(wn__cuda *d, size_t *bytes) {
    size_t total = 0;
    WN_TRY(wn__cuda_enter(d));
    return WN_CU(d->api, memory_info, NULL, (bytes, &total));
}

static void free_memory(void *owner, void *base) {
    wn__cuda *d = owner;
    (void)d->api->memory_free(address(base));
}

static void free_pinned(void *owner, void *base) {
    wn__cuda *d = owner;
    (void)d->api->pinned_free(base);
}

// Whole steps of the alignment, at least one; false on overflow.
static bool block_bytes(size_t size, size_t *out) {
    if (size > SIZE_MAX - WN_CUDA_ALIGN) return false;
    *out = size == 0 ? WN_CUDA_ALIGN : wn__cuda_whole(size);
    return true;
}

static wn_status no_room(wn__cuda *d, const char *name, size_t size) {
    size_t left = 0;
    if (wn__cuda_available(d, &left) != WN_OK) left = 0;
    return wn__fail(WN_NOMEM, "%s: cannot reserve %zu bytes on %s; %zu are left", name, size,
                    d->about.name, left);
}

wn_status wn__cuda_arena(wn__cuda *d, const char *name, size_t size, wn__arena *out) {
    memset(out, 0, sizeof *out);
    WN_TRY(wn__cuda_not_capturing(d, "wn__cuda_arena"));
    size_t bytes;
    wn__cu_address base = 0;
    if (!block_bytes(size, &bytes)) return no_room(d, name, size);
    WN_TRY(wn__cuda_enter(d));
    wn_status status = WN_CU(d->api, memory_alloc, name, (&base, bytes));
    if (status == WN_NOMEM) return no_room(d, name, size);
    if (status != WN_OK) return status;
    wn__arena_adopt(name, (void *)(uintptr_t)base, bytes, WN_CUDA_ALIGN, free_memory, d, out);
    status = wn__cuda_set(d, out->base, 0, bytes);
    if (status != WN_OK) wn__arena_free(out);
    return status;
}

wn_status wn__cuda_pinned(wn__cuda *d, const char *name, size_t size, wn__arena *out) {
    memset(out, 0, sizeof *out);
    WN_TRY(wn__cuda_not_capturing(d, "wn__cuda_pinned"));
    size_t bytes;
    void *base = NULL;
    if (!block_bytes(size, &bytes))
        return wn__fail(WN_NOMEM, "%s: cannot pin %zu bytes", name, size);
    WN_TRY(wn__cuda_enter(d));
    WN_TRY(WN_CU(d->api, pinned_alloc, name, (&base, bytes)));
    memset(base, 0, bytes);
    wn__arena_adopt(name, base, bytes, WN_ARENA_ALIGN, free_pinned, d, out);
    return WN_OK;
}

wn_status wn__cuda_copy_in(wn__cuda *d, void *to, const void *from, size_t bytes) {
    if (bytes == 0) return WN_OK;
    wn__cuda_queued(d);
    WN_TRY(wn__cuda_enter(d));
    return WN_CU(d->api, copy_in, NULL, (address(to), from, bytes, d->stream));
}

wn_status wn__cuda_copy_out(wn__cuda *d, void *to, const void *from, size_t bytes) {
    if (bytes == 0) return WN_OK;
    WN_TRY(wn__cuda_enter(d));
    return WN_CU(d->api, copy_out, NULL, (to, address(from), bytes, d->stream));
}

wn_status wn__cuda_set(wn__cuda *d, void *to, int byte, size_t bytes) {
    if (bytes == 0) return WN_OK;
    wn__cuda_queued(d);
    WN_TRY(wn__cuda_enter(d));
    return WN_CU(d->api, set_bytes, NULL, (address(to), (unsigned char)byte, bytes, d->stream));
}

wn_status wn__cuda_wait(wn__cuda *d) {
    WN_TRY(wn__cuda_not_capturing(d, "wn__cuda_wait"));
    return WN_CU(d->api, stream_wait, NULL, (d->stream));
}
