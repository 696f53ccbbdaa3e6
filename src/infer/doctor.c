// SPDX-License-Identifier: MIT
// What this machine and this build can do: built once as JSON, from which the lines of text are
// made too.
#include "base/cpu.h"
#include "base/fail.h"
#include "base/json.h"
#include "infer/doctor_gpu.h"
#include "winnow/kernels.h"
#include "winnow/model.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The variant of each op that runs wherever it accepts the arguments: the highest rank this machine
// has.
static bool is_chosen(size_t row) {
    wn_kernel_info mine, other;
    wn_kernel_get(row, &mine);
    if (!mine.available) return false;
    for (size_t i = 0; i < wn_kernel_count(); i++) {
        wn_kernel_get(i, &other);
        if (i != row && other.available && other.on_gpu == mine.on_gpu &&
            strcmp(other.op, mine.op) == 0 && other.rank > mine.rank)
            return false;
    }
    return true;
}

typedef struct test_result {
    int64_t cases, failed;
    char message[512]; // of the first failure
} test_result;

static void keep_first(void *ctx, const wn_check_result *r) {
    test_result *t = ctx;
    if (!r->passed && t->message[0] == '\0')
        (void)snprintf(t->message, sizeof t->message, "%s: %s", r->problem, r->message);
}

static void self_test(const wn_kernel_info *k, test_result *t) {
    *t = (test_result){0};
    const wn_check_options o = {.op = k->op, .variant = k->variant, .seed = 1, .quick = true};
    if (wn_kernels_check(&o, keep_first, t, &t->cases, &t->failed) == WN_OK) return;
    t->failed++;
    (void)snprintf(t->message, sizeof t->message, "%s", wn_last_error());
}

static wn_status set_flags(wn__json *machine) {
    wn__json *flags = wn__json_new_array(), *held_back = wn__json_new_array();
    wn_status status = WN_OK;
    const uint32_t allowed = wn__cpu_flags(), detected = wn__cpu_detected();
#define FLAG(flag, bit, name)                                                                      \
    if (status == WN_OK && (detected & (uint32_t)WN_CPU_##flag) != 0)                              \
        status = wn__json_append((allowed & (uint32_t)WN_CPU_##flag) != 0 ? flags : held_back,     \
                                 wn__json_new_string(name));
    WN_CPU_MAP(FLAG)
#undef FLAG
    wn_status a = wn__json_set(machine, "flags", flags);
    wn_status b = wn__json_set(machine, "flags_held_back_by_WN_CPU", held_back);
    return status != WN_OK ? status : a != WN_OK ? a : b;
}

static bool has_variant(const char *variant) {
    wn_kernel_info k;
    for (size_t i = 0; i < wn_kernel_count(); i++) {
        wn_kernel_get(i, &k);
        if (strcmp(k.variant, variant) == 0) return true;
    }
    return false;
}

static wn_status set_machine(wn__json *root) {
    wn__json *m = wn__json_new_object();
    wn_status status = WN_OK;
    WN_TRY_OUT(wn__json_set(m, "processor", wn__json_new_string(wn__cpu_model())));
    WN_TRY_OUT(set_flags(m));
    WN_TRY_OUT(wn__json_set(m, "threads", wn__json_new_int(wn__cpu_count())));
    WN_TRY_OUT(wn__json_set(m, "memory_bytes", wn__json_new_int((int64_t)wn__memory_total())));
    WN_TRY_OUT(wn__json_set(root, "version", wn__json_new_string(wn_version())));
    WN_TRY_OUT(wn__json_set(root, "cblas", wn__json_new_bool(has_variant("cblas"))));
    return wn__json_set(root, "machine", m);
out:
    wn__json_free(m);
    return status;
}

static wn_status append_kernel(wn__json *list, const wn_kernel_info *k, bool *healthy) {
    test_result t;
    self_test(k, &t);
    if (t.failed > 0) *healthy = false;
    wn__json *row = wn__json_new_object();
    wn_status status = WN_OK;
    WN_TRY_OUT(wn__json_set(row, "op", wn__json_new_string(k->op)));
    WN_TRY_OUT(wn__json_set(row, "kernel", wn__json_new_string(k->name)));
    WN_TRY_OUT(wn__json_set(row, "cases", wn__json_new_int(t.cases)));
    WN_TRY_OUT(wn__json_set(row, "failed", wn__json_new_int(t.failed)));
    if (t.failed > 0) WN_TRY_OUT(wn__json_set(row, "message", wn__json_new_string(t.message)));
    return wn__json_append(list, row);
out:
    wn__json_free(row);
    return status;
}

static wn_status set_kernels(wn__json *root, bool *healthy) {
    wn__json *list = wn__json_new_array();
    wn_status status = WN_OK;
    for (size_t i = 0; status == WN_OK && i < wn_kernel_count(); i++) {
        wn_kernel_info k;
        wn_kernel_get(i, &k);
        if (is_chosen(i)) status = append_kernel(list, &k, healthy);
    }
    if (status == WN_OK) return wn__json_set(root, "kernels", list);
    wn__json_free(list);
    return status;
}

static void print_words(FILE *f, const char *label, const wn__json *words) {
    if (wn__json_count(words) == 0) return;
    (void)fprintf(f, "%-11s", label);
    for (size_t i = 0; i < wn__json_count(words); i++)
        (void)fprintf(f, "%s%s", i > 0 ? " " : "", wn__json_string(wn__json_at(words, i), NULL));
    (void)fputc('\n', f);
}

static void print_kernel(FILE *f, const wn__json *row) {
    int64_t failed = wn__json_int(wn__json_get(row, "failed"));
    (void)fprintf(f, "  %-16s %-24s %s", wn__json_string(wn__json_get(row, "op"), NULL),
                  wn__json_string(wn__json_get(row, "kernel"), NULL), failed > 0 ? "FAILED" : "ok");
    if (failed > 0) (void)fprintf(f, "  %s", wn__json_string(wn__json_get(row, "message"), NULL));
    (void)fprintf(f, " (%" PRId64 " cases)\n", wn__json_int(wn__json_get(row, "cases")));
}

static wn_status to_text(const wn__json *root, char **out) {
    size_t size;
    FILE *f = open_memstream(out, &size);
    if (f == NULL) return wn__fail(WN_NOMEM, "doctor: no memory for its report");
    const wn__json *m = wn__json_get(root, "machine"), *kernels = wn__json_get(root, "kernels");
    (void)fprintf(f, "winnow     %s\nprocessor  %s\n", wn_version(),
                  wn__json_string(wn__json_get(m, "processor"), NULL));
    print_words(f, "flags", wn__json_get(m, "flags"));
    print_words(f, "held back", wn__json_get(m, "flags_held_back_by_WN_CPU"));
    (void)fprintf(f, "threads    %" PRId64 "\nmemory     %.1f GiB\n",
                  wn__json_int(wn__json_get(m, "threads")),
                  wn__json_real(wn__json_get(m, "memory_bytes")) / 0x1p30);
    (void)fprintf(f, "libraries  %s\n",
                  wn__json_bool(wn__json_get(root, "cblas"))
                      ? "CBLAS (dense matmul)"
                      : "no CBLAS: dense matmul runs on our own kernel");
    wn__doctor_gpu_text(root, f);
    (void)fprintf(f, "%s\n",
                  kernels != NULL ? "kernels chosen here, with a self-test of each:"
                                  : "kernels    not tested");
    for (size_t i = 0; i < wn__json_count(kernels); i++)
        print_kernel(f, wn__json_at(kernels, i));
    bool healthy = wn__json_bool(wn__json_get(root, "healthy"));
    if (!healthy || kernels != NULL)
        (void)fprintf(f, "%s\n", healthy ? "all self-tests passed" : "SELF-TESTS FAILED");
    if (fclose(f) == 0) return WN_OK;
    free(*out);
    *out = NULL;
    return wn__fail(WN_NOMEM, "doctor: no memory for its report");
}

wn_status wn_doctor(bool json, bool quick, char **out, bool *healthy) {
    *out = NULL;
    *healthy = true;
    wn__json *root = wn__json_new_object();
    wn_status status;
    WN_TRY_OUT(set_machine(root));
    WN_TRY_OUT(wn__doctor_gpu(root, healthy));
    if (!quick) WN_TRY_OUT(set_kernels(root, healthy));
    WN_TRY_OUT(wn__json_set(root, "healthy", wn__json_new_bool(*healthy)));
    status = json ? wn__json_dump(root, 2, out) : to_text(root, out);
out:
    wn__json_free(root);
    return status;
}
