// SPDX-License-Identifier: MIT
// What a device runs: functions of images, launches, graphs, and how long it took.
#include "base/fail.h"
#include "tensor/cuda_driver.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SYMBOL = 64 };

typedef struct function {
    char symbol[SYMBOL];
    wn__cu_function f;
} function;

// One image and those of its functions that were asked for.
struct wn__cuda_module {
    const wn__cuda_image *image;
    wn__cu_module module;
    function *functions;
    size_t count;
};

static wn_status load(wn__cuda *d, const wn__cuda_image *image, struct wn__cuda_module **out) {
    for (size_t i = 0; i < d->module_count; i++)
        if (d->module[i].image == image) {
            *out = &d->module[i];
            return WN_OK;
        }
    WN_TRY(wn__cuda_not_capturing(d, "loading device code"));
    struct wn__cuda_module *more = realloc(d->module, (d->module_count + 1) * sizeof *more);
    if (more == NULL) return wn__fail(WN_NOMEM, "no memory for the list of device code");
    d->module = more;
    wn__cu_module module = NULL;
    WN_TRY(wn__cuda_enter(d));
    wn__cu_result result = d->api->module_load(&module, image->data);
    if (result == WN_CU_NO_BINARY)
        return wn__fail(WN_UNSUPPORTED, "device code %s has nothing for compute capability %d.%d",
                        image->name, d->about.compute / 10, d->about.compute % 10);
    WN_TRY(wn__cu_check(d->api, wn__cu_symbol(offsetof(wn__cu_api, module_load)), image->name,
                        result));
    *out = &more[d->module_count++];
    **out = (struct wn__cuda_module){.image = image, .module = module};
    return WN_OK;
}

wn_status wn__cuda_function(wn__cuda *d, const wn__cuda_image *image, const char *symbol,
                            wn__cu_function *out) {
    struct wn__cuda_module *m = NULL;
    *out = NULL;
    WN_TRY(load(d, image, &m));
    for (size_t i = 0; i < m->count; i++)
        if (strcmp(m->functions[i].symbol, symbol) == 0) {
            *out = m->functions[i].f;
            return WN_OK;
        }
    // the driver loads a function when it is first asked for
    WN_TRY(wn__cuda_not_capturing(d, "loading device code"));
    if (strlen(symbol) >= SYMBOL)
        return wn__fail(WN_BUG, "device code with a name of %zu letters", strlen(symbol));
    function *more = realloc(m->functions, (m->count + 1) * sizeof *more);
    if (more == NULL) return wn__fail(WN_NOMEM, "no memory for the list of device code");
    m->functions = more;
    WN_TRY(wn__cuda_enter(d));
    WN_TRY(WN_CU(d->api, module_function, symbol, (&more[m->count].f, m->module, symbol)));
    (void)snprintf(more[m->count].symbol, SYMBOL, "%s", symbol);
    *out = more[m->count++].f;
    return WN_OK;
}

void wn__cuda_unload(wn__cuda *d) {
    for (size_t i = 0; i < d->module_count; i++) {
        (void)d->api->module_unload(d->module[i].module);
        free(d->module[i].functions);
    }
    free(d->module);
    d->module = NULL;
    d->module_count = 0;
}

// More than 48 KiB of shared memory must be asked for, once a function; asking again is harmless.
static wn_status ask_for_shared(wn__cuda *d, wn__cu_function f, unsigned bytes) {
    if (bytes <= 48U << 10) return WN_OK;
    if (bytes > (unsigned)d->about.shared_bytes)
        return wn__fail(WN_UNSUPPORTED, "%u bytes of shared memory; a block of %s has %d", bytes,
                        d->about.name, d->about.shared_bytes);
    return WN_CU(d->api, function_set, NULL, (f, WN_CU_FUNCTION_SHARED_BYTES, (int)bytes));
}

wn_status wn__cuda_run(wn__cuda *d, wn__cu_function f, const wn__cuda_launch *l, void **arguments) {
    wn__cu_launch_attribute attribute[2] = {{0}};
    wn__cu_launch launch = {
        .shared_bytes = l->shared_bytes, .stream = d->stream, .attributes = attribute};
    memcpy(launch.grid, l->grid, sizeof launch.grid);
    memcpy(launch.block, l->block, sizeof launch.block);
    if (l->cluster > 1) {
        wn__cu_launch_attribute *a = &attribute[launch.attribute_count++];
        a->id = WN_CU_LAUNCH_CLUSTER;
        a->value.cluster[0] = l->cluster;
        a->value.cluster[1] = a->value.cluster[2] = 1;
    }
    if (l->overlap) {
        wn__cu_launch_attribute *a = &attribute[launch.attribute_count++];
        a->id = WN_CU_LAUNCH_OVERLAP;
        a->value.overlap = 1;
    }
    WN_TRY(wn__cuda_enter(d));
    WN_TRY(ask_for_shared(d, f, l->shared_bytes));
    WN_TRY(WN_CU(d->api, launch, NULL, (&launch, f, arguments, NULL)));
    d->overlapped = l->overlap;
    return WN_OK;
}

bool wn__cuda_overlapped(const wn__cuda *d) {
    return d->overlapped;
}

void wn__cuda_queued(wn__cuda *d) {
    d->overlapped = false;
}

wn_status wn__cuda_tensor_map(const wn__cuda *d, const wn_tensor *t, unsigned rows,
                              wn__cu_tensor_map *out) {
    enum { ROW = 128, CHUNK = 16 }; // bytes
    if (t->dtype != WN_DTYPE_BF16 && t->dtype != WN_DTYPE_F16 && t->dtype != WN_DTYPE_U8)
        return wn__fail(WN_INVALID, "a tensor map of %s, not BF16, F16 or U8",
                        wn_dtype_name(t->dtype));
    const int64_t element = (int64_t)wn_dtype_size(t->dtype), some = CHUNK / element;
    // how far a single row is from the next one means nothing
    const int64_t lead = t->shape[0] == 1 ? (t->shape[1] + some - 1) / some * some : t->stride[0];
    if (t->shape[0] < 1 || t->shape[1] < 1 || lead % some != 0 || t->stride[1] != 1 ||
        (uintptr_t)t->data % 16 != 0)
        return wn__fail(WN_INVALID,
                        "a tensor map of %lld x %lld numbers, strides %lld and %lld, at %p",
                        (long long)t->shape[0], (long long)t->shape[1], (long long)t->stride[0],
                        (long long)t->stride[1], t->data);
    const uint64_t size[2] = {(uint64_t)t->shape[1], (uint64_t)t->shape[0]};
    const uint64_t stride[1] = {(uint64_t)(element * lead)};
    const uint32_t box[2] = {(uint32_t)(ROW / element), rows}, step[2] = {1, 1};
    const int type = t->dtype == WN_DTYPE_BF16  ? WN_CU_MAP_BF16
                     : t->dtype == WN_DTYPE_F16 ? WN_CU_MAP_F16
                                                : WN_CU_MAP_U8;
    return WN_CU(d->api, tensor_map, NULL,
                 (out, type, 2, t->data, size, stride, box, step, 0, WN_CU_MAP_SWIZZLE_128B,
                  WN_CU_MAP_L2_256B, 0));
}

struct wn__cuda_graph {
    wn__cu_graph_exec exec;
};

wn_status wn__cuda_capture_begin(wn__cuda *d) {
    WN_TRY(wn__cuda_not_capturing(d, "wn__cuda_capture_begin"));
    WN_TRY(wn__cuda_enter(d));
    WN_TRY(WN_CU(d->api, capture_begin, NULL, (d->stream, WN_CU_CAPTURE_THREAD_LOCAL)));
    d->capturing = true;
    wn__cuda_queued(d);
    return WN_OK;
}

bool wn__cuda_capturing(const wn__cuda *d) {
    return d->capturing;
}

wn_status wn__cuda_capture_end(wn__cuda *d, wn__cuda_graph **out) {
    *out = NULL;
    if (!d->capturing) return wn__fail(WN_BUG, "no graph is being captured");
    WN_TRY(wn__cuda_enter(d));
    d->capturing = false;
    wn__cuda_queued(d); // the last launch of the graph is not in the stream
    wn__cu_graph graph = NULL;
    WN_TRY(WN_CU(d->api, capture_end, NULL, (d->stream, &graph)));
    wn__cuda_graph *g = calloc(1, sizeof *g);
    wn_status status = g == NULL ? wn__fail(WN_NOMEM, "no memory for a graph") : WN_OK;
    if (status == WN_OK) status = WN_CU(d->api, graph_instantiate, NULL, (&g->exec, graph, 0));
    (void)d->api->graph_destroy(graph);
    if (status != WN_OK) {
        free(g);
        return status;
    }
    *out = g;
    return WN_OK;
}

wn_status wn__cuda_graph_run(wn__cuda *d, wn__cuda_graph *g) {
    wn__cuda_queued(d);
    WN_TRY(wn__cuda_enter(d));
    return WN_CU(d->api, graph_launch, NULL, (g->exec, d->stream));
}

void wn__cuda_graph_free(wn__cuda *d, wn__cuda_graph *g) {
    if (g == NULL) return;
    (void)d->api->graph_exec_destroy(g->exec);
    free(g);
}

wn_status wn__cuda_time_start(wn__cuda *d) {
    WN_TRY(wn__cuda_not_capturing(d, "wn__cuda_time_start"));
    WN_TRY(wn__cuda_enter(d));
    return WN_CU(d->api, event_record, NULL, (d->begin, d->stream));
}

wn_status wn__cuda_time_stop(wn__cuda *d, double *seconds) {
    float milliseconds = 0;
    WN_TRY(wn__cuda_not_capturing(d, "wn__cuda_time_stop"));
    WN_TRY(wn__cuda_enter(d));
    WN_TRY(WN_CU(d->api, event_record, NULL, (d->end, d->stream)));
    WN_TRY(WN_CU(d->api, event_wait, NULL, (d->end)));
    WN_TRY(WN_CU(d->api, event_elapsed, NULL, (&milliseconds, d->begin, d->end)));
    *seconds = (double)milliseconds / 1e3;
    return WN_OK;
}
