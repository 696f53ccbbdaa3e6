// SPDX-License-Identifier: MIT
// A driver without a GPU: memory is the host's, work is done when it is queued, the kernels it
// knows are written here from their descriptions. It checks what NVIDIA's would: ranges, captures,
// live objects.
#include "device24.h"
#include "fake_cuda.h"
#include "fake_map.h"
#include "kernels/cuda/block24.h"
#include "tensor/cuda_abi.h"
#include <stdlib.h>
#include <string.h>

enum { INVALID_VALUE = 1, NOT_FOUND = 500, CAPTURING = 900 };
enum { MOST = 256, COPY = 0, PROBE = 1, OTHERS = 2, ARGUMENT = 2048 };

fake_cuda_state fake_cuda = {.memory_bytes = (size_t)64 << 20};

struct wn__cu_context {
    int unused;
};
struct wn__cu_event {
    double at;
};
struct wn__cu_function {
    int which;
};
struct wn__cu_module {
    const char *image;                           // borrowed
    struct wn__cu_function copy, probe, other[]; // one of each kernel known here
};

static struct {
    char *base;
    size_t bytes;
    int pinned;
} block[MOST];
static size_t in_use;
static double now; // milliseconds of the device's clock: a launch takes one
static struct wn__cu_context context;
static int stream_object;

// Work of a graph: a launch with its arguments, or a copy.
typedef struct work {
    int which;           // of launch; -1: a copy
    fake_cuda_work *run; // not NULL: work of a library, on `whole`
    uint64_t argument[3];
    unsigned char whole[ARGUMENT]; // of kernels with one argument
    char *to;
    const char *from;
    size_t bytes;
} work;
struct wn__cu_graph {
    work item[MOST];
    int count;
};
struct wn__cu_graph_exec {
    struct wn__cu_graph graph;
};
static struct wn__cu_graph *capture;

static int fails(const char *symbol) {
    if (fake_cuda.fail_nth == 0 || strcmp(symbol, fake_cuda.fail_symbol) != 0) return 0;
    return --fake_cuda.fail_nth == 0 ? fake_cuda.fail_code : 0;
}
#define CALL(symbol)                                                                               \
    do {                                                                                           \
        int code_ = fails(#symbol);                                                                \
        if (code_ != 0) return code_;                                                              \
    } while (0)
#define NOT_CAPTURED()                                                                             \
    do {                                                                                           \
        if (capture != NULL) return CAPTURING;                                                     \
    } while (0)

// The block that holds bytes at p, -1 if none.
static int holds(const void *p, size_t bytes) {
    const char *c = p;
    for (int i = 0; i < MOST; i++)
        if (block[i].base != NULL && c >= block[i].base && bytes <= block[i].bytes &&
            (size_t)(c - block[i].base) <= block[i].bytes - bytes)
            return i;
    return -1;
}

static void *keep(size_t bytes, int pinned) {
    for (int i = 0; i < MOST; i++)
        if (block[i].base == NULL) {
            block[i].base = aligned_alloc(512, (bytes + 511) / 512 * 512);
            block[i].bytes = bytes;
            block[i].pinned = pinned;
            if (block[i].base == NULL) return NULL;
            memset(block[i].base, 0xA5, bytes);
            fake_cuda.alive++;
            return block[i].base;
        }
    return NULL;
}

static int drop(void *p, int pinned) {
    for (int i = 0; i < MOST; i++)
        if (p != NULL && block[i].base == p && block[i].pinned == pinned) {
            if (!pinned) in_use -= block[i].bytes;
            free(block[i].base);
            block[i].base = NULL;
            fake_cuda.alive--;
            return 0;
        }
    return INVALID_VALUE;
}

static float from_bf16(uint16_t h) {
    uint32_t bits = (uint32_t)h << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

// y[8,64] = x[8,64] W^T, decoding the block as block24.h describes it.
static void probe(float *y, const char *packed, const uint16_t *x) {
    for (int t = 0; t < 8; t++)
        for (int r = 0; r < 64; r++) {
            float sum = 0;
            for (int c = 0; c < 32; c++) {
                uint16_t value;
                uint32_t word;
                const int q = c / 8, group = c / 2 % 4, second = c % 2;
                const int chunk = q ^ (r / 2 % 4);
                memcpy(&value, packed + r * 64 + chunk * 16 + c % 8 * 2, sizeof value);
                memcpy(&word, packed + 4096 + 4 * (r / 16 * 32 + r % 8 * 4 + q), sizeof word);
                const int at = (int)(word >> (16 * (r / 8 % 2) + 4 * group + 2 * second) & 3);
                sum += from_bf16(value) * from_bf16(x[t * 64 + 16 * q + 4 * group + at]);
            }
            y[t * 64 + r] = sum;
        }
}

static int perform(const work *w) {
    _Alignas(128) unsigned char whole[ARGUMENT]; // as arguments with maps in them are
    memcpy(whole, w->whole, sizeof whole);
    if (w->run != NULL) {
        w->run(whole);
        fake_cuda.launches++;
        now += 1;
        return 0;
    }
    if (w->which < 0) {
        memmove(w->to, w->from, w->bytes);
        return 0;
    }
    void *a = (void *)(uintptr_t)w->argument[0], *b = (void *)(uintptr_t)w->argument[1];
    if (w->which >= OTHERS) {
        if (fake_device24_run(w->which - OTHERS, whole) != 0) return 700;
    } else if (w->which == COPY) {
        if (holds(a, w->argument[2] * 16) < 0 || holds(b, w->argument[2] * 16) < 0) return 700;
        memcpy(a, b, w->argument[2] * 16);
    } else {
        void *x = (void *)(uintptr_t)w->argument[2];
        if (holds(a, 2048) < 0 || holds(b, 4608) < 0 || holds(x, 1024) < 0) return 700;
        probe(a, b, x);
    }
    fake_cuda.launches++;
    now += 1;
    return 0;
}

static int queue(const work *w) {
    if (capture == NULL) return perform(w);
    if (capture->count == MOST) return INVALID_VALUE;
    capture->item[capture->count++] = *w;
    return 0;
}

int fake_cuda_submit(fake_cuda_work *run, const void *data, size_t bytes) {
    work w = {.run = run};
    if (bytes > sizeof w.whole) return INVALID_VALUE;
    memcpy(w.whole, data, bytes);
    return queue(&w);
}
int fake_cuda_holds(const void *p, size_t bytes) {
    return holds(p, bytes) >= 0;
}

#define ENTRY(name, symbol, arguments) wn__cu_result symbol arguments;
WN_CU_MAP(ENTRY)
#undef ENTRY

wn__cu_result cuInit(unsigned flags) {
    CALL(cuInit);
    const char *memory = getenv("FAKE_CUDA_MIB");
    if (memory != NULL) fake_cuda.memory_bytes = (size_t)atoi(memory) << 20;
    return flags == 0 ? 0 : INVALID_VALUE;
}
wn__cu_result cuDriverGetVersion(int *version) {
    CALL(cuDriverGetVersion);
    *version = 13000;
    return 0;
}
wn__cu_result cuGetErrorName(wn__cu_result error, const char **name) {
    *name = error == 2     ? "CUDA_ERROR_OUT_OF_MEMORY"
            : error == 100 ? "CUDA_ERROR_NO_DEVICE"
            : error == 700 ? "CUDA_ERROR_ILLEGAL_ADDRESS"
                           : NULL;
    return *name == NULL ? INVALID_VALUE : 0;
}
wn__cu_result cuGetErrorString(wn__cu_result error, const char **text) {
    *text = error == 2     ? "out of memory"
            : error == 100 ? "no CUDA-capable device is detected"
            : error == 700 ? "an illegal memory access was encountered"
                           : NULL;
    return *text == NULL ? INVALID_VALUE : 0;
}
wn__cu_result cuDeviceGetCount(int *count) {
    CALL(cuDeviceGetCount);
    *count = 1;
    const char *devices = getenv("FAKE_CUDA_DEVICES");
    if (devices != NULL) *count = atoi(devices);
    return 0;
}
wn__cu_result cuDeviceGet(wn__cu_device *device, int index) {
    CALL(cuDeviceGet);
    *device = index;
    return 0;
}
wn__cu_result cuDeviceGetName(char *name, int length, wn__cu_device device) {
    CALL(cuDeviceGetName);
    const char text[] = "Fake GPU 0";
    if (length < (int)sizeof text) return INVALID_VALUE;
    memcpy(name, text, sizeof text);
    name[sizeof text - 2] = (char)('0' + device);
    return 0;
}
// 9.0 with what it has, or another by FAKE_CUDA_COMPUTE=86 FAKE_CUDA_SHARED=101376.
static int number_of(const char *variable, int otherwise) {
    const char *text = getenv(variable);
    return text != NULL ? atoi(text) : otherwise;
}
wn__cu_result cuDeviceGetAttribute(int *value, int attribute, wn__cu_device device) {
    CALL(cuDeviceGetAttribute);
    (void)device;
    switch (attribute) {
    case WN_CU_CLOCK:
        *value = 1000000;
        return 0;
    case WN_CU_MULTIPROCESSORS:
        *value = 4;
        return 0;
    case WN_CU_L2_BYTES:
        *value = 1 << 20;
        return 0;
    case WN_CU_COMPUTE_MAJOR:
        *value = number_of("FAKE_CUDA_COMPUTE", 90) / 10;
        return 0;
    case WN_CU_COMPUTE_MINOR:
        *value = number_of("FAKE_CUDA_COMPUTE", 90) % 10;
        return 0;
    case WN_CU_SHARED_OPTIN:
        *value = number_of("FAKE_CUDA_SHARED", 232448);
        return 0;
    default:
        return INVALID_VALUE;
    }
}
wn__cu_result cuDeviceTotalMem_v2(size_t *bytes, wn__cu_device device) {
    (void)device;
    *bytes = fake_cuda.memory_bytes;
    return 0;
}
wn__cu_result cuDevicePrimaryCtxRetain(wn__cu_context *out, wn__cu_device device) {
    CALL(cuDevicePrimaryCtxRetain);
    (void)device;
    *out = &context;
    fake_cuda.alive++;
    return 0;
}
wn__cu_result cuDevicePrimaryCtxRelease_v2(wn__cu_device device) {
    (void)device;
    fake_cuda.alive--;
    return 0;
}
wn__cu_result cuCtxSetCurrent(wn__cu_context c) {
    CALL(cuCtxSetCurrent);
    return c == &context ? 0 : INVALID_VALUE;
}
wn__cu_result cuMemGetInfo_v2(size_t *available, size_t *total) {
    CALL(cuMemGetInfo_v2);
    *total = fake_cuda.memory_bytes;
    *available = *total - in_use;
    return 0;
}
wn__cu_result cuMemAlloc_v2(wn__cu_address *address, size_t bytes) {
    CALL(cuMemAlloc_v2);
    NOT_CAPTURED();
    if (bytes > fake_cuda.memory_bytes - in_use) return WN_CU_OUT_OF_MEMORY;
    void *p = keep(bytes, 0);
    if (p == NULL) return WN_CU_OUT_OF_MEMORY;
    in_use += bytes;
    *address = (wn__cu_address)(uintptr_t)p;
    return 0;
}
wn__cu_result cuMemFree_v2(wn__cu_address address) {
    NOT_CAPTURED();
    return drop((void *)(uintptr_t)address, 0);
}
wn__cu_result cuMemAllocHost_v2(void **memory, size_t bytes) {
    CALL(cuMemAllocHost_v2);
    NOT_CAPTURED();
    *memory = keep(bytes, 1);
    return *memory == NULL ? WN_CU_OUT_OF_MEMORY : 0;
}
wn__cu_result cuMemFreeHost(void *memory) {
    return drop(memory, 1);
}

// One side is the device's; while a graph is captured the other must be pinned.
static int copy(void *to, const void *from, size_t bytes, const void *device, const void *host) {
    if (holds(device, bytes) < 0) return INVALID_VALUE;
    const int i = holds(host, bytes);
    if (capture != NULL && (i < 0 || !block[i].pinned)) return CAPTURING;
    const work w = {.which = -1, .to = to, .from = from, .bytes = bytes};
    return queue(&w);
}
wn__cu_result cuMemcpyHtoDAsync_v2(wn__cu_address to, const void *from, size_t bytes,
                                   wn__cu_stream stream) {
    CALL(cuMemcpyHtoDAsync_v2);
    (void)stream;
    void *device = (void *)(uintptr_t)to;
    return copy(device, from, bytes, device, from);
}
wn__cu_result cuMemcpyDtoHAsync_v2(void *to, wn__cu_address from, size_t bytes,
                                   wn__cu_stream stream) {
    CALL(cuMemcpyDtoHAsync_v2);
    (void)stream;
    const void *device = (const void *)(uintptr_t)from;
    return copy(to, device, bytes, device, to);
}
typedef struct memset_work {
    void *to;
    size_t bytes;
    unsigned char value;
} memset_work;

static void run_memset(const void *data) {
    const memset_work *w = data;
    memset(w->to, w->value, w->bytes);
}

wn__cu_result cuMemsetD8Async(wn__cu_address to, unsigned char value, size_t bytes,
                              wn__cu_stream stream) {
    CALL(cuMemsetD8Async);
    (void)stream;
    const memset_work w = {(void *)(uintptr_t)to, bytes, value};
    if (holds(w.to, bytes) < 0) return INVALID_VALUE;
    return fake_cuda_submit(run_memset, &w, sizeof w);
}
wn__cu_result cuStreamCreate(wn__cu_stream *stream, unsigned flags) {
    CALL(cuStreamCreate);
    (void)flags;
    *stream = (wn__cu_stream)(void *)&stream_object;
    fake_cuda.alive++;
    return 0;
}
wn__cu_result cuStreamDestroy_v2(wn__cu_stream stream) {
    (void)stream;
    fake_cuda.alive--;
    return 0;
}
wn__cu_result cuStreamSynchronize(wn__cu_stream stream) {
    CALL(cuStreamSynchronize);
    (void)stream;
    NOT_CAPTURED();
    return 0;
}
wn__cu_result cuEventCreate(wn__cu_event *event, unsigned flags) {
    CALL(cuEventCreate);
    (void)flags;
    *event = calloc(1, sizeof **event);
    fake_cuda.alive += *event != NULL;
    return *event == NULL ? WN_CU_OUT_OF_MEMORY : 0;
}
wn__cu_result cuEventDestroy_v2(wn__cu_event event) {
    free(event);
    fake_cuda.alive--;
    return 0;
}
wn__cu_result cuEventRecord(wn__cu_event event, wn__cu_stream stream) {
    CALL(cuEventRecord);
    (void)stream;
    event->at = now;
    return 0;
}
wn__cu_result cuEventSynchronize(wn__cu_event event) {
    CALL(cuEventSynchronize);
    (void)event;
    NOT_CAPTURED();
    return 0;
}
wn__cu_result cuEventElapsedTime(float *milliseconds, wn__cu_event begin, wn__cu_event end) {
    *milliseconds = (float)(end->at - begin->at);
    return 0;
}
wn__cu_result cuModuleLoadData(wn__cu_module *module, const void *image) {
    CALL(cuModuleLoadData);
    NOT_CAPTURED();
    uint32_t magic;
    memcpy(&magic, image, sizeof magic);
    if (magic != 0xBA55ED50U) return 200; // of a fatbin
    if (fake_cuda.refuse_images) return WN_CU_NO_BINARY;
    int others = fake_device24_count();
    *module = calloc(1, sizeof **module + (size_t)others * sizeof(struct wn__cu_function));
    if (*module == NULL) return WN_CU_OUT_OF_MEMORY;
    (*module)->image = image;
    (*module)->probe.which = PROBE;
    for (int i = 0; i < others; i++)
        (*module)->other[i].which = OTHERS + i;
    fake_cuda.alive++;
    return 0;
}
wn__cu_result cuModuleUnload(wn__cu_module module) {
    free(module);
    fake_cuda.alive--;
    return 0;
}
// Whether a fatbin names a function: 16 bytes, of which the last 8 say how much follows. One that
// is its first words alone, of a test, has every function.
static int names(const char *image, const char *name) {
    uint64_t bytes;
    memcpy(&bytes, image + 8, sizeof bytes);
    return bytes == 0 || memmem(image + 16, bytes, name, strlen(name) + 1) != NULL;
}
wn__cu_result cuModuleGetFunction(wn__cu_function *function, wn__cu_module module,
                                  const char *name) {
    CALL(cuModuleGetFunction);
    int which;
    if (!names(module->image, name)) return NOT_FOUND;
    if (strcmp(name, "wn_copy") == 0)
        *function = &module->copy;
    else if (strcmp(name, "wn_probe") == 0)
        *function = &module->probe;
    else if (fake_device24_find(name, &which))
        *function = &module->other[which];
    else
        return NOT_FOUND;
    return 0;
}
wn__cu_result cuFuncSetAttribute(wn__cu_function function, int attribute, int value) {
    CALL(cuFuncSetAttribute);
    (void)function;
    return attribute == WN_CU_FUNCTION_SHARED_BYTES &&
                   value <= number_of("FAKE_CUDA_SHARED", 232448)
               ? 0
               : INVALID_VALUE;
}
wn__cu_result cuLaunchKernelEx(const wn__cu_launch *launch, wn__cu_function function,
                               void **arguments, void **extra) {
    CALL(cuLaunchKernelEx);
    if (extra != NULL || launch->grid[0] == 0 || launch->block[0] == 0 || launch->block[0] > 1024)
        return INVALID_VALUE;
    fake_cuda.last_cluster = 0;
    fake_cuda.last_overlap = 0;
    for (unsigned i = 0; i < launch->attribute_count; i++) {
        const wn__cu_launch_attribute *a = &launch->attributes[i];
        if (a->id == WN_CU_LAUNCH_CLUSTER)
            fake_cuda.last_cluster = a->value.cluster[0];
        else if (a->id == WN_CU_LAUNCH_OVERLAP)
            fake_cuda.last_overlap = a->value.overlap;
        else
            return INVALID_VALUE;
    }
    work w = {.which = function->which};
    const unsigned cluster = fake_cuda.last_cluster != 0 ? fake_cuda.last_cluster : 1;
    if (launch->grid[0] % cluster != 0) return INVALID_VALUE;
    if (launch->grid[1] > 65535 || launch->grid[2] > 65535) return INVALID_VALUE;
    if (w.which >= OTHERS) {
        if (!fake_device24_fits(w.which - OTHERS, arguments[0], launch, cluster))
            return INVALID_VALUE;
        if (fake_device24_bytes(w.which - OTHERS) > sizeof w.whole) return INVALID_VALUE;
        memcpy(w.whole, arguments[0], fake_device24_bytes(w.which - OTHERS));
    }
    for (int i = 0; i < 3 && w.which < OTHERS; i++)
        memcpy(&w.argument[i], arguments[i], sizeof w.argument[i]);
    return queue(&w);
}
// Refuses what NVIDIA's refuses; what fake_map.h says stands in the map.
wn__cu_result cuTensorMapEncodeTiled(wn__cu_tensor_map *map, int type, uint32_t rank, void *address,
                                     const uint64_t *size, const uint64_t *stride,
                                     const uint32_t *box, const uint32_t *step, int interleave,
                                     int swizzle, int l2, int fill) {
    CALL(cuTensorMapEncodeTiled);
    const fake_map m = {address, {size[0], size[1]}, stride[0], {box[0], box[1]}, type};
    const uint64_t element = type == WN_CU_MAP_U8 ? 1 : 2;
    if ((uintptr_t)map % 64 != 0 || rank != 2 || (uintptr_t)address % 16 != 0 || size[0] == 0 ||
        size[1] == 0 || size[0] > UINT32_MAX || size[1] > UINT32_MAX || stride[0] % 16 != 0 ||
        stride[0] < element * size[0] || box[0] * element > 128 || box[1] == 0 || box[1] > 256 ||
        step[0] != 1 || step[1] != 1 || interleave != 0 || swizzle != WN_CU_MAP_SWIZZLE_128B ||
        l2 > WN_CU_MAP_L2_256B || fill != 0 ||
        (type != WN_CU_MAP_BF16 && type != WN_CU_MAP_F16 && type != WN_CU_MAP_U8))
        return INVALID_VALUE;
    memset(map, 0, sizeof *map);
    memcpy(map, &m, sizeof m);
    return 0;
}
wn__cu_result cuStreamBeginCapture_v2(wn__cu_stream stream, int mode) {
    CALL(cuStreamBeginCapture_v2);
    (void)stream;
    (void)mode;
    NOT_CAPTURED();
    capture = calloc(1, sizeof *capture);
    fake_cuda.alive += capture != NULL;
    return capture == NULL ? WN_CU_OUT_OF_MEMORY : 0;
}
wn__cu_result cuStreamEndCapture(wn__cu_stream stream, wn__cu_graph *graph) {
    CALL(cuStreamEndCapture);
    (void)stream;
    *graph = capture;
    capture = NULL;
    return *graph == NULL ? INVALID_VALUE : 0;
}
wn__cu_result cuGraphInstantiateWithFlags(wn__cu_graph_exec *exec, wn__cu_graph graph,
                                          unsigned long long flags) {
    CALL(cuGraphInstantiateWithFlags);
    (void)flags;
    *exec = calloc(1, sizeof **exec);
    if (*exec == NULL) return WN_CU_OUT_OF_MEMORY;
    (*exec)->graph = *graph;
    fake_cuda.alive++;
    return 0;
}
wn__cu_result cuGraphLaunch(wn__cu_graph_exec exec, wn__cu_stream stream) {
    CALL(cuGraphLaunch);
    (void)stream;
    int code = 0;
    for (int i = 0; code == 0 && i < exec->graph.count; i++)
        code = perform(&exec->graph.item[i]);
    return code;
}
wn__cu_result cuGraphDestroy(wn__cu_graph graph) {
    free(graph);
    fake_cuda.alive--;
    return 0;
}
wn__cu_result cuGraphExecDestroy(wn__cu_graph_exec exec) {
    free(exec);
    fake_cuda.alive--;
    return 0;
}
