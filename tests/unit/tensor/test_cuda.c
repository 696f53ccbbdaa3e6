// SPDX-License-Identifier: MIT
// A device over a driver that stands in for NVIDIA's: memory, copies, launches, graphs, and what
// happens when any of the driver's calls fails.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake/cuda/open.h"
#include "tensor/cuda.h"
#include "tensor/tensor.h"
#include <string.h>

static fake_cuda_state *fake;
static const uint32_t fatbin[4] = {0xBA55ED50U}; // all that the stand-in looks at
static const wn__cuda_image image = {"copy_sm80", fatbin};

static wn__cuda *open_device(void) {
    wn__cuda *d = NULL;
    assert_int_equal(wn__cuda_open(0, &d), WN_OK);
    return d;
}

static void test_about(void **state) {
    (void)state;
    int count = 0;
    assert_int_equal(wn__cuda_count(&count), WN_OK);
    assert_int_equal(count, 1);
    wn__cuda *d = open_device();
    const wn__cuda_about *a = wn__cuda_info(d);
    assert_string_equal(a->name, "Fake GPU 0");
    assert_int_equal(a->compute, 90);
    assert_int_equal(a->driver, 13000);
    assert_int_equal(a->multiprocessors, 4);
    wn__cuda_close(d);
    assert_int_equal(fake->alive, 0);
    assert_int_equal(wn__cuda_open(1, &d), WN_INVALID);
    assert_null(d);
    assert_non_null(strstr(wn_last_error(), "there is no GPU 1: they are 0 to 0"));
}

// The same builder measures and allocates on a device as on the host.
static void test_arena(void **state) {
    (void)state;
    wn__cuda *d = open_device();
    wn__arena measure, arena;
    wn_tensor t;
    const int64_t shape[2] = {3, 5};
    wn__arena_measure_by("weights", WN_CUDA_ALIGN, &measure);
    assert_int_equal(wn__tensor_alloc(&measure, WN_DTYPE_F32, 2, shape, &t), WN_OK);
    assert_int_equal(wn__tensor_alloc(&measure, WN_DTYPE_F32, 2, shape, &t), WN_OK);
    assert_int_equal(measure.used, 1024);
    assert_int_equal(wn__cuda_arena(d, "weights", measure.used, &arena), WN_OK);
    for (int i = 0; i < 2; i++) {
        float got[15];
        assert_int_equal(wn__tensor_alloc(&arena, WN_DTYPE_F32, 2, shape, &t), WN_OK);
        assert_int_equal((uintptr_t)t.data % WN_CUDA_ALIGN, 0);
        assert_int_equal(wn__cuda_copy_out(d, got, t.data, sizeof got), WN_OK);
        for (int j = 0; j < 15; j++)
            assert_true(got[j] == 0); // zeroed
    }
    assert_int_equal(wn__tensor_alloc(&arena, WN_DTYPE_F32, 2, shape, &t), WN_NOMEM);
    wn__arena_free(&arena);
    assert_int_equal(wn__cuda_arena(d, "moments", (size_t)1 << 40, &arena), WN_NOMEM);
    assert_non_null(strstr(wn_last_error(), "moments: cannot reserve 1099511627776 bytes on Fake"));
    assert_null(arena.base);
    wn__cuda_close(d);
    assert_int_equal(fake->alive, 0);
}

enum { BYTES = 4096 };

typedef struct pieces {
    wn__cuda *d;
    wn__arena device, pinned;
    char *a, *b, *in, *out;
} pieces;

static void *take(wn__arena *a) {
    void *p;
    assert_int_equal(wn__arena_alloc(a, BYTES, &p), WN_OK);
    return p;
}

static void begin(pieces *p) {
    p->d = open_device();
    assert_int_equal(wn__cuda_arena(p->d, "test", (size_t)2 * BYTES, &p->device), WN_OK);
    assert_int_equal(wn__cuda_pinned(p->d, "test", (size_t)2 * BYTES, &p->pinned), WN_OK);
    p->a = take(&p->device);
    p->b = take(&p->device);
    p->in = take(&p->pinned);
    p->out = take(&p->pinned);
    for (int i = 0; i < BYTES; i++)
        p->in[i] = (char)(i * 7);
}

static void end(pieces *p) {
    wn__arena_free(&p->device);
    wn__arena_free(&p->pinned);
    wn__cuda_close(p->d);
    assert_int_equal(fake->alive, 0);
}

static wn_status launch_with(pieces *p, bool overlap) {
    wn__cu_function f;
    uint64_t count = BYTES / 16;
    const wn__cuda_launch l = {
        .grid = {2, 1, 1}, .block = {64, 1, 1}, .cluster = 2, .overlap = overlap};
    wn_status status = wn__cuda_function(p->d, &image, "wn_copy", &f);
    if (status != WN_OK) return status;
    return wn__cuda_run(p->d, f, &l, (void *[]){&p->b, &p->a, &count});
}

static wn_status launch_copy(pieces *p) {
    return launch_with(p, true);
}

static void test_launch(void **state) {
    (void)state;
    pieces p;
    begin(&p);
    double seconds = -1;
    assert_int_equal(wn__cuda_copy_in(p.d, p.a, p.in, BYTES), WN_OK);
    assert_int_equal(wn__cuda_time_start(p.d), WN_OK);
    assert_int_equal(launch_copy(&p), WN_OK);
    assert_int_equal(launch_copy(&p), WN_OK); // the image is loaded once
    assert_int_equal(wn__cuda_time_stop(p.d, &seconds), WN_OK);
    assert_true(seconds == 0.002);
    assert_int_equal(fake->last_cluster, 2);
    assert_int_equal(fake->last_overlap, 1);
    assert_int_equal(wn__cuda_copy_out(p.d, p.out, p.b, BYTES), WN_OK);
    assert_int_equal(wn__cuda_wait(p.d), WN_OK);
    assert_memory_equal(p.in, p.out, BYTES);
    end(&p);
}

// A graph holds copies and launches; what would break it is refused by name.
static void test_graph(void **state) {
    (void)state;
    pieces p;
    begin(&p);
    wn__cuda_graph *g;
    wn__arena more;
    wn__cu_function f;
    assert_int_equal(wn__cuda_function(p.d, &image, "wn_copy", &f), WN_OK);
    const int launches = fake->launches;
    assert_int_equal(wn__cuda_capture_begin(p.d), WN_OK);
    assert_int_equal(wn__cuda_copy_in(p.d, p.a, p.in, BYTES), WN_OK);
    assert_int_equal(launch_copy(&p), WN_OK);
    assert_int_equal(wn__cuda_copy_out(p.d, p.out, p.b, BYTES), WN_OK);
    assert_int_equal(wn__cuda_wait(p.d), WN_BUG);
    assert_non_null(strstr(wn_last_error(), "wn__cuda_wait was called while a graph is captured"));
    assert_int_equal(wn__cuda_arena(p.d, "late", 1, &more), WN_BUG);
    assert_int_equal(wn__cuda_pinned(p.d, "late", 1, &more), WN_BUG);
    assert_int_equal(wn__cuda_capture_begin(p.d), WN_BUG);
    assert_int_equal(wn__cuda_capture_end(p.d, &g), WN_OK);
    assert_int_equal(fake->launches, launches); // nothing ran yet
    for (int i = 1; i <= 3; i++) {
        memset(p.out, 0, BYTES);
        p.in[0] = (char)i;
        assert_int_equal(wn__cuda_graph_run(p.d, g), WN_OK);
        assert_int_equal(wn__cuda_wait(p.d), WN_OK);
        assert_memory_equal(p.in, p.out, BYTES);
    }
    assert_int_equal(fake->launches, launches + 3);
    wn__cuda_graph_free(p.d, g);
    assert_int_equal(wn__cuda_capture_end(p.d, &g), WN_BUG);
    end(&p);
}

// What comes next may begin early only behind a launch that is in the stream and said so: not
// behind one that a graph recorded, nor behind a copy, a graph or a library.
static void test_overlapped(void **state) {
    (void)state;
    pieces p;
    begin(&p);
    wn__cuda_graph *g;
    assert_false(wn__cuda_overlapped(p.d));
    assert_int_equal(launch_copy(&p), WN_OK);
    assert_true(wn__cuda_overlapped(p.d));
    assert_int_equal(launch_with(&p, false), WN_OK);
    assert_false(wn__cuda_overlapped(p.d));

    assert_int_equal(launch_copy(&p), WN_OK);
    assert_int_equal(wn__cuda_capture_begin(p.d), WN_OK);
    assert_false(wn__cuda_overlapped(p.d)); // a graph's first work follows anything
    assert_int_equal(launch_copy(&p), WN_OK);
    assert_true(wn__cuda_overlapped(p.d));
    assert_int_equal(wn__cuda_capture_end(p.d, &g), WN_OK);
    assert_false(wn__cuda_overlapped(p.d));

    assert_int_equal(launch_copy(&p), WN_OK);
    assert_int_equal(wn__cuda_graph_run(p.d, g), WN_OK);
    assert_false(wn__cuda_overlapped(p.d));
    assert_int_equal(launch_copy(&p), WN_OK);
    assert_int_equal(wn__cuda_copy_in(p.d, p.a, p.in, BYTES), WN_OK);
    assert_false(wn__cuda_overlapped(p.d));
    assert_int_equal(launch_copy(&p), WN_OK);
    assert_int_equal(wn__cuda_set(p.d, p.a, 0, BYTES), WN_OK);
    assert_false(wn__cuda_overlapped(p.d));
    assert_int_equal(launch_copy(&p), WN_OK);
    wn__cuda_queued(p.d);
    assert_false(wn__cuda_overlapped(p.d));
    wn__cuda_graph_free(p.d, g);
    end(&p);
}

// Loading code needs the driver to wait, so a graph's functions are looked up before it.
static void test_late_code(void **state) {
    (void)state;
    pieces p;
    begin(&p);
    wn__cuda_graph *g;
    assert_int_equal(wn__cuda_capture_begin(p.d), WN_OK);
    assert_int_equal(launch_copy(&p), WN_BUG);
    assert_non_null(strstr(wn_last_error(), "loading device code"));
    assert_int_equal(wn__cuda_capture_end(p.d, &g), WN_OK);
    wn__cuda_graph_free(p.d, g);
    end(&p);
}

static void test_refusals(void **state) {
    (void)state;
    pieces p;
    begin(&p);
    wn__cu_function f;
    assert_int_equal(wn__cuda_function(p.d, &image, "no_such", &f), WN_DEVICE);
    assert_non_null(strstr(wn_last_error(), "cuModuleGetFunction, no_such"));
    assert_int_equal(wn__cuda_function(p.d, &image, "wn_copy", &f), WN_OK);
    const wn__cuda_launch l = {.grid = {1, 1, 1}, .block = {64, 1, 1}, .shared_bytes = 232449};
    uint64_t count = 1;
    assert_int_equal(wn__cuda_run(p.d, f, &l, (void *[]){&p.b, &p.a, &count}), WN_UNSUPPORTED);
    assert_non_null(strstr(wn_last_error(), "a block of Fake GPU 0 has 232448"));
    static const wn__cuda_image other = {"other", fatbin};
    fake->refuse_images = 1;
    assert_int_equal(wn__cuda_function(p.d, &other, "wn_copy", &f), WN_UNSUPPORTED);
    assert_non_null(strstr(wn_last_error(), "other has nothing for compute capability 9.0"));
    fake->refuse_images = 0;
    assert_int_equal(wn__cuda_function(p.d, &image, "wn_copy", &f), WN_OK);
    count = BYTES; // past the end: an error that the driver reports
    const wn__cuda_launch all = {.grid = {1, 1, 1}, .block = {64, 1, 1}};
    assert_int_equal(wn__cuda_run(p.d, f, &all, (void *[]){&p.b, &p.a, &count}), WN_DEVICE);
    assert_non_null(strstr(wn_last_error(), "an illegal memory access was encountered "
                                            "(CUDA_ERROR_ILLEGAL_ADDRESS, 700)"));
    end(&p);
}

// All that a run does, for the test below.
static wn_status whole(void) {
    wn__cuda *d = NULL;
    wn__arena device = {0}, pinned = {0};
    wn__cuda_graph *g = NULL;
    wn__cu_function f;
    void *a, *b, *host;
    uint64_t count = 4;
    double seconds;
    const wn__cuda_launch l = {.grid = {1, 1, 1}, .block = {32, 1, 1}, .shared_bytes = 65536};
    wn_status status = wn__cuda_open(0, &d);
#define STEP(call)                                                                                 \
    if (status == WN_OK) status = call
    STEP(wn__cuda_arena(d, "device", 1024, &device));
    STEP(wn__cuda_pinned(d, "pinned", 64, &pinned));
    STEP(wn__arena_alloc(&device, 64, &a));
    STEP(wn__arena_alloc(&device, 64, &b));
    STEP(wn__arena_alloc(&pinned, 64, &host));
    STEP(wn__cuda_function(d, &image, "wn_copy", &f));
    STEP(wn__cuda_time_start(d));
    STEP(wn__cuda_capture_begin(d));
    STEP(wn__cuda_copy_in(d, a, host, 64));
    STEP(wn__cuda_run(d, f, &l, ((void *[]){&b, &a, &count})));
    STEP(wn__cuda_copy_out(d, host, b, 64));
    if (status == WN_OK)
        status = wn__cuda_capture_end(d, &g);
    else if (d != NULL) {
        wn_status ended = wn__cuda_capture_end(d, &g); // when one was begun
        (void)ended;
    }
    STEP(wn__cuda_graph_run(d, g));
    STEP(wn__cuda_time_stop(d, &seconds));
    STEP(wn__cuda_wait(d));
#undef STEP
    if (d != NULL) wn__cuda_graph_free(d, g);
    wn__arena_free(&pinned);
    wn__arena_free(&device);
    wn__cuda_close(d);
    return status;
}

// Each call of the driver fails in turn: the error names it and nothing stays behind.
static void test_every_call_can_fail(void **state) {
    (void)state;
    static const char *const calls[] = {
        "cuDeviceGet",        "cuDevicePrimaryCtxRetain", "cuCtxSetCurrent",
        "cuDriverGetVersion", "cuDeviceGetName",          "cuDeviceGetAttribute",
        "cuDeviceGetCount",   "cuStreamCreate",           "cuEventCreate",
        "cuMemAlloc_v2",      "cuMemAllocHost_v2",        "cuMemsetD8Async",
        "cuModuleLoadData",   "cuModuleGetFunction",      "cuFuncSetAttribute",
        "cuEventRecord",      "cuStreamBeginCapture_v2",  "cuMemcpyHtoDAsync_v2",
        "cuLaunchKernelEx",   "cuMemcpyDtoHAsync_v2",     "cuGraphInstantiateWithFlags",
        "cuGraphLaunch",      "cuEventSynchronize"};
    assert_int_equal(whole(), WN_OK);
    assert_int_equal(fake->alive, 0);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        fake->fail_symbol = calls[i];
        fake->fail_nth = 1;
        fake->fail_code = 700;
        assert_int_equal(whole(), WN_DEVICE);
        assert_int_equal(fake->fail_nth, 0);
        assert_int_equal(fake->alive, 0);
    }
}

static int set_up(void **state) {
    (void)state;
    fake = fake_cuda_open();
    return fake == NULL ? -1 : 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_about),      cmocka_unit_test(test_arena),
        cmocka_unit_test(test_launch),     cmocka_unit_test(test_graph),
        cmocka_unit_test(test_overlapped), cmocka_unit_test(test_late_code),
        cmocka_unit_test(test_refusals),   cmocka_unit_test(test_every_call_can_fail),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
