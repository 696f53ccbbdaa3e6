// SPDX-License-Identifier: MIT
// wn_bench: options, the machine, a suite, its result.
#include "base/cpu.h"
#include "base/fail.h"
#include "base/pin.h"
#include "bench/gpu.h"
#include "bench/suite.h"
#include "kernels/peak.h"
#include "kernels/registry.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STREAM_BYTES ((size_t)256 << 20)

// The machine's limits are the best of so many looks, a second in all: others may be at work.
enum { LOOKS = 3 };

// What each suite does when nothing is said.
typedef struct plan {
    const char *name;
    wn_status (*run)(wn__suite *s);
    const char *shapes, *rows;
    int repeats;
} plan;

static const plan plans[] = {
    {"gemm", wn__suite_gemm, "3072x768,768x3072,4096x4096,5504x2048", "64,128,512,1024", 9},
    {"decode", wn__suite_decode, "4096x4096,11008x4096", "1,4,8,16", 9},
    {"prune", wn__suite_prune, "1024x1024,4096x4096", "", 9},
    {"layer", wn__suite_layer, "3072x768,768x3072", "128,512", 9},
    {"train", wn__suite_train, "", "", 5},
    {"ks", wn__suite_ks, "", "512", 5},
};
enum { PLANS = sizeof plans / sizeof *plans };

// On a GPU. Its clock is its own affair, so repeats of a sustained run are few and long.
#define GPU_SHAPES "2048x768,6656x1664,1664x6656,4096x4096,11008x4096,4096x11008,28672x8192"
static const plan gpu_plans[] = {
    {"gemm", wn__gpu_bench_run, GPU_SHAPES, "256,1024,4096,16384", 7},
    {"decode", wn__gpu_bench_run, GPU_SHAPES, "1,8,16,32,64", 7},
    {"prune", wn__gpu_bench_run, "4096x4096,11008x4096,8192x8192", "", 7},
    {"mlp", wn__gpu_bench_mlp, "3072x768,8192x2048,16384x4096", "8192,32768", 7},
    {"ks", wn__suite_ks, "", "25088", 7},
};
enum { GPU_PLANS = sizeof gpu_plans / sizeof *gpu_plans, SUSTAINED_REPEATS = 2 };

static bool on_gpu(const wn__suite *s) {
    return s->o->device != NULL && strcmp(s->o->device, "cuda") == 0;
}

static wn_status find_gpu_plan(const char *name, const plan **out) {
    for (int i = 0; i < GPU_PLANS; i++)
        if (name && strcmp(gpu_plans[i].name, name) == 0) {
            *out = gpu_plans + i;
            return WN_OK;
        }
    return wn__fail(WN_INVALID,
                    "no suite on a GPU is called '%.40s'; there are gemm, decode, prune, "
                    "mlp, ks",
                    name ? name : "");
}

static const wn__works *works_of(const wn__suite *s) {
    return on_gpu(s) ? &wn__works_gpu : &wn__works_cpu;
}

static const char *work_name(const wn__suite *s, const plan *p, int i) {
    return wn__work_name(works_of(s), p->name, i);
}

static wn_status find_plan(const char *name, const plan **out) {
    for (int i = 0; i < PLANS; i++)
        if (name && strcmp(plans[i].name, name) == 0) {
            *out = plans + i;
            return WN_OK;
        }
    return wn__fail(WN_INVALID,
                    "no suite is called '%.40s'; there are gemm, decode, prune, layer, "
                    "train, ks",
                    name ? name : "");
}

// Chains have float kernels only.
static bool ks_takes(const char *dtype) {
    return wn__has_word("f32 bf16 f16", dtype);
}

static wn_status find_dtype(const wn__suite *s, const char *text, const char **out) {
    static const char *const words[][2] = {
        {"f32", "f32"},       {"float32", "f32"}, {"bf16", "bf16"},
        {"bfloat16", "bf16"}, {"int8", "int8"},   {"int4", "int4"},
        {"f16", "f16"},       {"float16", "f16"}, {"e4m3", "e4m3"}};
    enum { WORDS = sizeof words / sizeof *words, HOST_WORDS = WORDS - 3 };
    const bool ks = strcmp(s->o->suite, "ks") == 0, f16 = on_gpu(s) || ks;
    *out = on_gpu(s) ? "bf16" : "f32";
    if (!text) return WN_OK;
    for (int i = 0; i < (f16 ? WORDS : HOST_WORDS); i++)
        if (strcmp(words[i][0], text) == 0 && (!ks || ks_takes(words[i][1]))) {
            *out = words[i][1];
            return WN_OK;
        }
    if (on_gpu(s) && !ks)
        return wn__fail(WN_INVALID, "dtype: f32, bf16, f16 or e4m3, not '%.40s'", text);
    if (f16) return wn__fail(WN_INVALID, "dtype: f32, bf16 or f16, not '%.40s'", text);
    return wn__fail(WN_INVALID, "dtype: f32, bf16, int8 or int4, not '%.40s'", text);
}

// A number from 1 on at *text, which moves behind it.
static bool take_size(const char **text, int64_t *out) {
    char *end;
    if (!isdigit((unsigned char)**text)) return false;
    long long v = strtoll(*text, &end, 10);
    *text = end;
    *out = v;
    return v >= 1 && v <= 1 << 24;
}

static wn_status parse_shapes(wn__suite *s, const char *text) {
    for (const char *at = text; *at; at += *at == ',') {
        wn__shape shape;
        bool ok = take_size(&at, &shape.out) && *at == 'x' && (at++, take_size(&at, &shape.in)) &&
                  (*at == ',' || *at == '\0');
        if (!ok)
            return wn__fail(WN_INVALID,
                            "shapes: OUTxIN from 1 to 16777216 joined by ',' as 3072x768,768x3072, "
                            "not '%.60s'",
                            text);
        if (s->shapes == WN__SIZES) return wn__fail(WN_INVALID, "shapes: at most %d", WN__SIZES);
        s->shape[s->shapes++] = shape;
    }
    return WN_OK;
}

static wn_status parse_rows(wn__suite *s, const char *text) {
    for (const char *at = text; *at; at += *at == ',') {
        int64_t rows;
        if (!take_size(&at, &rows) || (*at != ',' && *at != '\0'))
            return wn__fail(WN_INVALID,
                            "rows: numbers from 1 to 16777216 joined by ',' as 64,128, not "
                            "'%.60s'",
                            text);
        if (s->row_counts == WN__SIZES) return wn__fail(WN_INVALID, "rows: at most %d", WN__SIZES);
        s->rows[s->row_counts++] = rows;
    }
    return WN_OK;
}

static wn_status check_work(const wn__suite *s, const plan *p) {
    const char *name;
    bool any = work_name(s, p, 0) == NULL; // suites without works
    for (int i = 0; (name = work_name(s, p, i)) != NULL; i++)
        any = any || wn__suite_wants(s, name);
    if (any) return WN_OK;
    return wn__fail(WN_INVALID, "work: nothing of %s begins with '%.60s'; the first is '%s'",
                    p->name, s->o->work, work_name(s, p, 0));
}

// Whether work that is asked for is there in a dtype.
static bool takes(const wn__suite *s, const plan *p, const char *dtype) {
    const char *name;
    for (int i = 0; (name = work_name(s, p, i)) != NULL; i++)
        if (wn__suite_wants(s, name) && wn__work_takes(works_of(s), p->name, name, dtype))
            return true;
    return false;
}

static wn_status check_dtype(const wn__suite *s, const plan *p) {
    static const char *const dtypes[] = {"f32", "bf16", "f16", "e4m3", "int8", "int4"};
    char there[64] = "";
    size_t used = 0;
    if (work_name(s, p, 0) == NULL || takes(s, p, s->dtype)) return WN_OK;
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (takes(s, p, dtypes[i]))
            used += (size_t)snprintf(there + used, sizeof there - used, "%s%s",
                                     used > 0 ? ", " : "", dtypes[i]);
    return wn__fail(WN_INVALID, "dtype: nothing of %s%s%.60s%s is there in %s; there is %s",
                    p->name, s->o->work ? " that begins with '" : "", s->o->work ? s->o->work : "",
                    s->o->work ? "'" : "", s->dtype, there);
}

static wn_status check_protocol(const wn__suite *s) {
    const char *word = s->o->protocol;
    if (word == NULL) return WN_OK;
    if (!on_gpu(s)) return wn__fail(WN_INVALID, "protocol '%.40s': of a GPU only", word);
    if (strcmp(word, "burst") == 0 || strcmp(word, "sustained") == 0) return WN_OK;
    return wn__fail(WN_INVALID, "protocol: burst or sustained, not '%.40s'", word);
}

static wn_status parse(wn__suite *s, const plan **p) {
    const wn_bench_options *o = s->o;
    const wn__kernel *forced;
    if (o->device && strcmp(o->device, "cpu") != 0 && !on_gpu(s))
        return wn__fail(WN_UNSUPPORTED, "device '%.40s': only cpu and cuda are measured",
                        o->device);
    WN_TRY(on_gpu(s) ? find_gpu_plan(o->suite, p) : find_plan(o->suite, p));
    WN_TRY(check_protocol(s));
    s->force = o->kernels ? o->kernels : getenv("WN_KERNEL");
    WN_TRY(wn__force_find(s->force, WN__OP_COUNT, &forced));
    WN_TRY(find_dtype(s, o->dtype, &s->dtype));
    WN_TRY(parse_shapes(s, o->shapes ? o->shapes : (*p)->shapes));
    WN_TRY(parse_rows(s, o->rows ? o->rows : (*p)->rows));
    s->repeats = o->repeats > 0                                                 ? o->repeats
                 : o->protocol != NULL && strcmp(o->protocol, "sustained") == 0 ? SUSTAINED_REPEATS
                                                                                : (*p)->repeats;
    if (o->merge) WN_TRY(wn__result_open(o->merge, &s->merged));
    WN_TRY(check_work(s, *p));
    return check_dtype(s, *p);
}

static wn_status make_lists(wn__suite *s) {
    s->list = wn__json_new_array();
    s->notes = wn__json_new_array();
    return s->list && s->notes ? WN_OK : wn__fail(WN_NOMEM, "no memory for a result");
}

// Libraries first: what binds threads is read when they are opened.
static wn_status prepare(wn__suite *s, wn__pin *pin, int threads) {
    wn__pin_find(pin);
    wn__pin_openmp(pin, threads);
    WN_TRY(wn__peers_open(&s->peers, s->o->peers));
    for (int i = 0; i < WN__PEERS; i++)
        if (s->peers.peer[i].handle) wn__peer_threads(s->peers.peer + i, threads);
    wn__pin_others(pin, threads);
    WN_TRY(wn__pool_create(threads, &s->pool));
    s->cpus = pin->count;
    memcpy(s->cpu, pin->cpu, sizeof s->cpu);
    wn__pool_pin(s->pool, s->cpu, s->cpus);
    WN_TRY(wn__read_rate_open(s->pool, STREAM_BYTES, &s->stream));
    wn__exec x = {.pool = s->pool};
    for (int i = 0; i < LOOKS; i++) {
        s->peak = fmax(s->peak, wn__peak_flops(&x));
        s->rate = fmax(s->rate, wn__read_rate_of(&s->stream));
    }
    return make_lists(s);
}

// Pinned threads cannot step aside for a neighbour, so times of a busy machine say little.
static wn_status note_load(wn__suite *s, double load) {
    int threads = wn__pool_threads(s->pool);
    if (!wn__pool_looks_out(s->pool))
        WN_TRY(wn__suite_note(s, "%d threads share %d processors", threads, s->cpus));
    if (load < 0.5 * s->cpus) return WN_OK;
    return wn__suite_note(s,
                          "other work ran beside this: the load average was %.1f on %d "
                          "processors when it began",
                          load, s->cpus);
}

static void today(char out[16]) {
    time_t now = time(NULL);
    struct tm t;
    (void)gmtime_r(&now, &t);
    (void)strftime(out, 16, "%Y-%m-%d", &t);
}

static void close_suite(wn__suite *s) {
    wn__gpu_bench_close(s);
    wn__read_rate_close(&s->stream);
    wn__peers_close(&s->peers);
    wn__pool_free(s->pool);
    wn__json_free(s->list);
    wn__json_free(s->notes);
    wn__json_free(s->merged);
}

static wn_bench_head head_of(const wn__suite *s, int threads, const char *date) {
    const wn_bench_options *o = s->o;
    const bool gpu = s->gpu != NULL;
    return (wn_bench_head){.machine = gpu ? s->gpu->machine : wn__cpu_model(),
                           .date = date,
                           .commit = o->commit ? o->commit : "",
                           .command = o->command ? o->command : "",
                           .version = wn_version(),
                           .device = gpu ? "cuda" : "cpu",
                           .protocol = !gpu                ? ""
                                       : s->gpu->sustained ? "sustained"
                                                           : "burst",
                           .threads = gpu ? 0 : threads,
                           .peak = s->peak,
                           .stream = s->rate};
}

wn_status wn_bench(const wn_bench_options *o, const wn_bench_events *events, char **json) {
    static const wn_bench_events silent;
    wn__suite s = {.o = o, .events = events ? events : &silent};
    wn__pin pin = {.count = 0};
    const plan *p = NULL;
    wn_bench_head head;
    char date[16];
    double load = 0;
    wn_status status;
    if (json) *json = NULL;
    int threads = o->threads > 0 ? o->threads : wn__cpu_count();
    today(date);
    (void)getloadavg(&load, 1); // before this adds to it
    WN_TRY_OUT(parse(&s, &p));
    if (on_gpu(&s)) {
        WN_TRY_OUT(make_lists(&s));
        WN_TRY_OUT(wn__gpu_bench_open(&s));
    } else {
        WN_TRY_OUT(prepare(&s, &pin, threads));
    }
    head = head_of(&s, threads, date);
    if (s.events->head) s.events->head(s.events->ctx, &head);
    wn__tell_libraries(&s);
    if (s.gpu == NULL) WN_TRY_OUT(note_load(&s, load));
    WN_TRY_OUT(p->run(&s));
    if (json) status = wn__result_json(&s, &head, json);
out:
    if (pin.count > 0) wn__pin_release(&pin);
    close_suite(&s);
    return status;
}
