// SPDX-License-Identifier: MIT
// GPUs of this machine, what this build has for them, and whether they do it right.
#include "infer/doctor_gpu.h"

#include "base/fail.h"
#include "kernels/cuda/images.h"
#include "kernels/cuda/libraries.h"
#include "kernels/cuda/probe.h"
#include <string.h>

// sm90a code runs on compute capability 9.0 only, sm80 code (through its PTX) on 8.0 and later.
static bool meant_for(const wn__cuda_image *image, int compute) {
    return strstr(image->name, "sm90a") != NULL ? compute == 90 : compute >= 80;
}

static wn_status append_test(wn__json *list, wn__cuda *d, const wn__cuda_image *image,
                             bool *healthy) {
    wn__json *row = wn__json_new_object();
    wn_status status;
    const bool runs = meant_for(image, wn__cuda_info(d)->compute);
    const wn_status tested = runs ? wn__cuda_probe(d, image) : WN_UNSUPPORTED;
    if (runs && tested != WN_OK) *healthy = false;
    WN_TRY_OUT(wn__json_set(row, "test", wn__json_new_string(image->name)));
    WN_TRY_OUT(wn__json_set(row, "passed", wn__json_new_bool(tested == WN_OK)));
    if (tested != WN_OK)
        WN_TRY_OUT(wn__json_set(
            row, "message",
            wn__json_new_string(runs ? wn_last_error() : "not for this compute capability")));
    return wn__json_append(list, row);
out:
    wn__json_free(row);
    return status;
}

// The sparse products that this build has device code for.
static wn_status set_tests(wn__json *row, wn__cuda *d, bool *healthy) {
    wn__json *list = wn__json_new_array();
    wn_status status = WN_OK;
    const wn__cuda_image *image;
    size_t bytes;
    for (size_t i = 0; status == WN_OK && (image = wn__image(i, &bytes)) != NULL; i++)
        if (strncmp(image->name, "probe_", 6) == 0) status = append_test(list, d, image, healthy);
    if (status == WN_OK) return wn__json_set(row, "tests", list);
    wn__json_free(list);
    return status;
}

static wn_status set_rate(wn__json *row, wn__cuda *d, bool *healthy) {
    double rate = 0;
    if (!wn__device_code_built()) return WN_OK;
    if (wn__cuda_copy_rate(d, &rate) == WN_OK)
        return wn__json_set(row, "copy_bytes_per_second", wn__json_new_real(rate));
    *healthy = false;
    return wn__json_set(row, "copy_message", wn__json_new_string(wn_last_error()));
}

static wn_status fill_device(wn__json *row, wn__cuda *d, bool *healthy) {
    const wn__cuda_about *a = wn__cuda_info(d);
    WN_TRY(wn__json_set(row, "name", wn__json_new_string(a->name)));
    WN_TRY(wn__json_set(row, "compute_capability", wn__json_new_int(a->compute)));
    WN_TRY(wn__json_set(row, "driver", wn__json_new_int(a->driver)));
    WN_TRY(wn__json_set(row, "multiprocessors", wn__json_new_int(a->multiprocessors)));
    WN_TRY(wn__json_set(row, "memory_bytes", wn__json_new_int((int64_t)a->memory)));
    WN_TRY(wn__json_set(row, "l2_bytes", wn__json_new_int((int64_t)a->l2)));
    WN_TRY(set_rate(row, d, healthy));
    return set_tests(row, d, healthy);
}

// A device that cannot be opened is a row with a message.
static wn_status append_device(wn__json *list, int index, bool *healthy) {
    wn__json *row = wn__json_new_object();
    wn__cuda *d = NULL;
    wn_status status = wn__json_set(row, "index", wn__json_new_int(index));
    if (status == WN_OK && wn__cuda_open(index, &d) == WN_OK) {
        status = fill_device(row, d, healthy);
    } else if (status == WN_OK) {
        *healthy = false;
        status = wn__json_set(row, "message", wn__json_new_string(wn_last_error()));
    }
    wn__cuda_close(d);
    if (status == WN_OK) return wn__json_append(list, row);
    wn__json_free(row);
    return status;
}

static wn_status set_devices(wn__json *cuda, bool *healthy) {
    wn__json *list = wn__json_new_array();
    int count = 0;
    wn_status status = WN_OK;
    if (wn__cuda_count(&count) != WN_OK)
        status = wn__json_set(cuda, "why", wn__json_new_string(wn_last_error()));
    else if (count == 0)
        status = wn__json_set(cuda, "why", wn__json_new_string("the NVIDIA driver shows no GPU"));
    for (int i = 0; status == WN_OK && i < count; i++)
        status = append_device(list, i, healthy);
    if (status == WN_OK) return wn__json_set(cuda, "devices", list);
    wn__json_free(list);
    return status;
}

static wn_status append_library(wn__json *list, const wn__cuda_library *library) {
    wn__json *row = wn__json_new_object();
    wn_status status;
    WN_TRY_OUT(wn__json_set(row, "name", wn__json_new_string(library->name)));
    WN_TRY_OUT(wn__json_set(row, "what_for", wn__json_new_string(library->what_for)));
    WN_TRY_OUT(wn__json_set(row, "version", wn__json_new_string(library->version)));
    WN_TRY_OUT(wn__json_set(row, "text", wn__json_new_string(library->text)));
    return wn__json_append(list, row);
out:
    wn__json_free(row);
    return status;
}

// Opening them costs memory and time, so only where a device could use them.
static wn_status set_libraries(wn__json *cuda) {
    if (wn__json_count(wn__json_get(cuda, "devices")) == 0) return WN_OK;
    wn__json *list = wn__json_new_array();
    wn_status status = WN_OK;
    wn__cuda_library library;
    for (size_t i = 0; status == WN_OK && wn__cuda_library_find(i, &library); i++)
        status = append_library(list, &library);
    if (status == WN_OK) return wn__json_set(cuda, "libraries", list);
    wn__json_free(list);
    return status;
}

wn_status wn__doctor_gpu(wn__json *root, bool *healthy) {
    wn__json *cuda = wn__json_new_object();
    wn_status status;
    WN_TRY_OUT(wn__json_set(cuda, "device_code", wn__json_new_string(wn__device_code())));
    WN_TRY_OUT(set_devices(cuda, healthy));
    WN_TRY_OUT(set_libraries(cuda));
    return wn__json_set(root, "cuda", cuda);
out:
    wn__json_free(cuda);
    return status;
}

static const char *text_of(const wn__json *row, const char *name) {
    return wn__json_string(wn__json_get(row, name), NULL);
}

static void print_device(FILE *f, const wn__json *row) {
    const wn__json *rate = wn__json_get(row, "copy_bytes_per_second");
    const wn__json *tests = wn__json_get(row, "tests");
    if (wn__json_get(row, "message") != NULL) {
        (void)fprintf(f, "gpu %-7d cannot be used: %s\n",
                      (int)wn__json_int(wn__json_get(row, "index")), text_of(row, "message"));
        return;
    }
    const int compute = (int)wn__json_int(wn__json_get(row, "compute_capability"));
    const int driver = (int)wn__json_int(wn__json_get(row, "driver"));
    (void)fprintf(f,
                  "gpu %-7d%s, compute capability %d.%d, %d multiprocessors, %.1f GiB, driver for "
                  "CUDA %d.%d\n",
                  (int)wn__json_int(wn__json_get(row, "index")), text_of(row, "name"), compute / 10,
                  compute % 10, (int)wn__json_int(wn__json_get(row, "multiprocessors")),
                  wn__json_real(wn__json_get(row, "memory_bytes")) / 0x1p30, driver / 1000,
                  driver % 1000 / 10);
    if (rate != NULL)
        (void)fprintf(f, "           copies at %.2f TB/s, reads and writes counted\n",
                      wn__json_real(rate) / 1e12);
    if (wn__json_get(row, "copy_message") != NULL)
        (void)fprintf(f, "           copies FAILED: %s\n", text_of(row, "copy_message"));
    for (size_t i = 0; i < wn__json_count(tests); i++) {
        const wn__json *test = wn__json_at(tests, i);
        const char *message = text_of(test, "message");
        (void)fprintf(f, "           %s %s%s\n", text_of(test, "test"),
                      wn__json_bool(wn__json_get(test, "passed")) ? "ok" : "not passed: ",
                      message != NULL ? message : "");
    }
}

void wn__doctor_gpu_text(const wn__json *root, FILE *f) {
    const wn__json *cuda = wn__json_get(root, "cuda"), *devices = wn__json_get(cuda, "devices");
    const wn__json *libraries = wn__json_get(cuda, "libraries");
    if (wn__json_get(cuda, "why") != NULL)
        (void)fprintf(f, "gpu        none: %s\n", text_of(cuda, "why"));
    for (size_t i = 0; i < wn__json_count(devices); i++)
        print_device(f, wn__json_at(devices, i));
    (void)fprintf(f, "gpu code   %s\n", text_of(cuda, "device_code"));
    for (size_t i = 0; i < wn__json_count(libraries); i++) {
        const wn__json *row = wn__json_at(libraries, i);
        (void)fprintf(f, "%-11s%s %s (%s) for %s\n", i == 0 ? "gpu libs" : "", text_of(row, "name"),
                      text_of(row, "version"), text_of(row, "text"), text_of(row, "what_for"));
    }
}
