// SPDX-License-Identifier: MIT
// The table of kernels.def as data, the choice of a variant, and running it.
#include "kernels/registry.h"
#include "base/cpu.h"
#include "base/fail.h"
#include "kernels/cuda/blaslt.h"
#include "kernels/cuda/images.h"
#include "kernels/declare.h"
#include "kernels/profile.h"
#include "kernels/tuned.h"

#include <stdio.h>
#include <string.h>

static const wn__kernel table[] = {
#define WN_OP(name, summary)
#define WN_KERNEL(op, variant, needs, accepts, workspace, rank)                                    \
    {WN__OP_##op, #op "_" #variant,     #variant, (uint32_t)(needs),                               \
     rank,        wn__##op##_##variant, accepts,  workspace},
#include "kernels/kernels.def"
#undef WN_OP
#undef WN_KERNEL
};

static const struct {
    const char *name, *summary;
    wn__check_fn *check;
    bool flush;
} ops[] = {
#define WN_OP(name, summary)       {#name, summary, wn__check_##name, false},
#define WN_OP_FLUSH(name, summary) {#name, summary, wn__check_##name, true},
#define WN_KERNEL(op, variant, needs, accepts, workspace, rank)
#include "kernels/kernels.def"
#undef WN_OP
#undef WN_KERNEL
};

#define ROWS (sizeof table / sizeof table[0])

const wn__kernel *wn__kernel_table(size_t *count) {
    *count = ROWS;
    return table;
}

static bool known(wn__op op) {
    return (unsigned)op < WN__OP_COUNT;
}

const char *wn__op_name(wn__op op) {
    return known(op) ? ops[op].name : "?";
}

const char *wn__op_summary(wn__op op) {
    return known(op) ? ops[op].summary : "";
}

bool wn__op_flushes(wn__op op) {
    return known(op) && ops[op].flush;
}

wn__check_fn *wn__op_check(wn__op op) {
    return known(op) ? ops[op].check : NULL;
}

static const char *gpu_text(uint32_t needs) {
    return needs & WN_GPU_SM90A ? "gpu 9.0" : "gpu 8.0+";
}

bool wn__kernel_available(const wn__kernel *k) {
    if (!wn__kernel_on_gpu(k)) return (k->needs & ~wn__cpu_flags()) == 0;
    // a library is only looked for where a GPU could use it
    return (k->needs & WN_GPU_ANY & ~wn__gpu_flags()) == 0 &&
           ((k->needs & WN_GPU_LIBRARY) == 0 || wn__blaslt_there());
}

const char *wn__needs_text(uint32_t needs, char *out, size_t n) {
    size_t used = 0;
    (void)snprintf(out, n, "-");
#define FEATURE(flag, bit, name)                                                                   \
    if ((needs & (uint32_t)WN_CPU_##flag) && used < n)                                             \
        used += (size_t)snprintf(out + used, n - used, used ? "+" name : name);
    WN_CPU_MAP(FEATURE)
#undef FEATURE
    if (needs & WN_GPU_ANY) (void)snprintf(out, n, "%s", gpu_text(needs));
    return out;
}

// Features are missing for one of two reasons: the processor has none, or WN_CPU holds them back.
static void say_missing(uint32_t missing, char *why, size_t n) {
    const uint32_t never = missing & ~wn__cpu_detected();
    char text[80];
    wn__needs_text(never ? never : missing, text, sizeof text);
    if (never)
        (void)snprintf(why, n, "this processor has no %s", text);
    else
        (void)snprintf(why, n, "%s is held back by WN_CPU", text);
}

bool wn__kernel_lacking(const wn__kernel *k, char *why, size_t n) {
    const uint32_t needs = k->needs & WN_GPU_ANY, missing = k->needs & ~wn__cpu_flags();
    const wn__lt_api *api;
    int compute;
    if (n > 0) why[0] = '\0';
    if (wn__kernel_available(k)) return false;
    if (needs == 0)
        say_missing(missing, why, n);
    else if (wn__cuda_compute(0, &compute) != WN_OK)
        (void)snprintf(why, n, "%s", wn_last_error());
    else if (!wn__device_code_built())
        (void)snprintf(why, n, "device code was %s", wn__device_code());
    else if ((needs & ~wn__gpu_flags_of(compute)) != 0)
        (void)snprintf(why, n, "needs %s, this is %d.%d", gpu_text(needs), compute / 10,
                       compute % 10);
    else if (wn__blaslt_find(&api) != WN_OK)
        (void)snprintf(why, n, "%s", wn_last_error());
    return true;
}

// Why a row for the other kind of device, or for another GPU, cannot run.
static bool fits_gpu(const wn__exec *x, const wn__kernel *k, char *why, size_t n) {
    if (x->device.kind != WN_DEVICE_CUDA) {
        (void)snprintf(why, n, "runs on a GPU only");
        return false;
    }
    if (x->gpu == NULL) {
        (void)snprintf(why, n, "no GPU is open");
        return false;
    }
    int compute = wn__cuda_info(wn__gpu_device(x->gpu))->compute;
    if ((k->needs & WN_GPU_ANY & ~wn__gpu_flags_of(compute)) == 0) return true;
    (void)snprintf(why, n, "needs %s, this is %d.%d", gpu_text(k->needs), compute / 10,
                   compute % 10);
    return false;
}

static bool fits_cpu(const wn__exec *x, const wn__kernel *k, char *why, size_t n) {
    uint32_t missing = k->needs & ~wn__cpu_flags();
    if (x->device.kind != WN_DEVICE_CPU)
        (void)snprintf(why, n, "runs on the cpu only");
    else if (missing)
        say_missing(missing, why, n);
    else
        return true;
    return false;
}

bool wn__kernel_fits(const wn__exec *x, const wn__kernel *k, const void *args, char *why,
                     size_t n) {
    if (n > 0) why[0] = '\0';
    if (!(wn__kernel_on_gpu(k) ? fits_gpu(x, k, why, n) : fits_cpu(x, k, why, n))) return false;
    return !k->accepts || k->accepts(args, why, n);
}

// Appends "; name: why" to a list of refusals.
static void append(char *list, size_t n, const char *name, const char *why) {
    size_t used = strlen(list);
    (void)snprintf(list + used, n - used, "%s%s: %s", used ? "; " : "", name, why);
}

static bool is_ref(const wn__kernel *k) {
    return strcmp(k->variant, "ref") == 0;
}

// One instruction for pairs of bfloat16 numbers does what two multiply-adds do, but where it takes
// more than twice their time its rows stand between those of 32 and 64 byte vectors of floats.
int wn__kernel_rank(const wn__kernel *k) {
    enum { SLOW_PAIRS = 25 };
    bool pairs = !wn__kernel_on_gpu(k) && (k->needs & WN_CPU_AVX512BF16) != 0;
    return pairs && !wn__cpu_amd() ? SLOW_PAIRS : k->rank;
}

// The highest rank that fits; of equal ranks the first row. Collects why others were refused.
static const wn__kernel *best(const wn__exec *x, wn__op op, const void *args, bool *only_ref,
                              char *refused, size_t n) {
    const wn__kernel *chosen = NULL;
    *only_ref = true;
    for (const wn__kernel *k = table; k < table + ROWS; k++) {
        if (k->op != op) continue;
        char why[160];
        if (!is_ref(k)) *only_ref = false;
        if (k->rank == WN__CHECKED_ONLY) continue;
        if (!wn__kernel_fits(x, k, args, why, sizeof why))
            append(refused, n, k->variant, why);
        else if (!chosen || wn__kernel_rank(k) > wn__kernel_rank(chosen))
            chosen = k;
    }
    return chosen;
}

static wn_status check(wn__op op, const void *args) {
    if (!known(op)) return wn__fail(WN_BUG, "there is no op %d", (int)op);
    return ops[op].check(args);
}

// What was measured to be fastest for such arguments, if it can still run, and in which way.
static const wn__kernel *measured(const wn__exec *x, wn__op op, const void *args,
                                  const char **way) {
    char why[160];
    const wn__tuned_line *l = wn__tuned_find(x, op, args);
    for (const wn__kernel *k = table; l != NULL && k < table + ROWS; k++) {
        if (k->op != op || strcmp(k->variant, l->variant) != 0) continue;
        if (k->rank == WN__CHECKED_ONLY || !wn__kernel_fits(x, k, args, why, sizeof why))
            return NULL;
        *way = *l->way != '\0' ? l->way : NULL;
        return k;
    }
    return NULL;
}

const char *wn__plan_way(const wn__exec *x, const wn__kernel *k, const void *args) {
    const wn__kernel *forced;
    const char *way = NULL;
    if (wn__force_find(x->force, k->op, &forced) != WN_OK || forced != NULL) return NULL;
    return measured(x, k->op, args, &way) == k ? way : NULL;
}

// As wn__plan, with arguments that passed the check; and in which way.
static wn_status choose(const wn__exec *x, wn__op op, const void *args, const wn__kernel **out,
                        const char **way) {
    char refused[800] = "";
    const wn__kernel *forced;
    bool only_ref;
    *way = NULL;
    WN_TRY(wn__force_find(x->force, op, &forced));
    if (forced) {
        if (!wn__kernel_fits(x, forced, args, refused, sizeof refused))
            return wn__fail(WN_UNSUPPORTED, "%s was asked for, but %s", forced->name, refused);
        *out = forced;
        return WN_OK;
    }
    const wn__kernel *k = measured(x, op, args, way);
    if (k != NULL) {
        *out = k;
        return WN_OK;
    }
    k = best(x, op, args, &only_ref, refused, sizeof refused);
    if (!k) return wn__fail(WN_UNSUPPORTED, "no variant of %s can run: %s", ops[op].name, refused);
    if (x->strict && is_ref(k) && !only_ref)
        return wn__fail(WN_UNSUPPORTED, "%s would fall back to ref: %s", ops[op].name, refused);
    *out = k;
    return WN_OK;
}

wn_status wn__plan(const wn__exec *x, wn__op op, const void *args, const wn__kernel **out) {
    const char *way;
    *out = NULL;
    WN_TRY(check(op, args));
    return choose(x, op, args, out, &way);
}

// FLOPs that one thread has done before another one has come: some microseconds.
#define FEW_FLOPS (1 << 18)

// Who shares an op's work. No bit depends on it.
static wn__pool *pool_of(const wn__exec *x, const wn__kernel *k, const void *args) {
    double flops = wn__op_flops(k->op, args);
    return flops > 0 && flops < FEW_FLOPS ? NULL : x->pool;
}

// Counts the workspace and runs, with arguments that k accepted, on a pool of x or alone.
static wn_status run(wn__exec *x, wn__pool *pool, const wn__kernel *k, const char *way,
                     const void *args) {
    wn__exec with = *x;
    with.pool = pool;
    with.way = way;
    size_t need = k->workspace ? k->workspace(args, wn__pool_threads(pool)) : 0;
    if (need > x->need) x->need = need;
    if (x->used) x->used[k - table] = 1;
    if (x->planning) return WN_OK;
    if (need > x->scratch_size)
        return wn__fail(WN_BUG, "%s needs a workspace of %zu bytes, %zu were planned", k->name,
                        need, x->scratch_size);
    double start = x->profile != NULL ? wn__clock() : 0;
    bool before = wn__pool_flush(ops[k->op].flush);
    wn_status status = k->run(args, &with);
    (void)wn__pool_flush(before);
    if (x->profile != NULL)
        wn__profile_add(x->profile, (size_t)(k - table), args, wn__clock() - start);
    return status;
}

wn_status wn__run(wn__exec *x, wn__op op, const void *args) {
    const wn__kernel *k;
    const char *way;
    WN_TRY(check(op, args));
    WN_TRY(choose(x, op, args, &k, &way));
    return run(x, pool_of(x, k, args), k, way, args);
}

wn_status wn__run_kernel(wn__exec *x, const wn__kernel *k, const void *args) {
    char why[160];
    WN_TRY(check(k->op, args));
    if (!wn__kernel_fits(x, k, args, why, sizeof why))
        return wn__fail(WN_UNSUPPORTED, "%s: %s", k->name, why);
    return run(x, x->pool, k, x->way, args);
}

size_t wn_kernel_count(void) {
    return ROWS;
}

// The text of every single feature, so that the strings are static; rows need at most one family.
static const char *needs_static(uint32_t needs) {
#define FEATURE(flag, bit, name)                                                                   \
    if (needs == (uint32_t)WN_CPU_##flag) return name;
    WN_CPU_MAP(FEATURE)
#undef FEATURE
    if (needs & WN_GPU_ANY) return gpu_text(needs);
    return needs ? "several" : "-";
}

void wn_kernel_get(size_t i, wn_kernel_info *out) {
    *out = (wn_kernel_info){0};
    if (i >= ROWS) return;
    const wn__kernel *k = table + i;
    *out = (wn_kernel_info){.op = ops[k->op].name,
                            .summary = ops[k->op].summary,
                            .variant = k->variant,
                            .name = k->name,
                            .needs = needs_static(k->needs),
                            .rank = wn__kernel_rank(k),
                            .on_gpu = wn__kernel_on_gpu(k),
                            .available = wn__kernel_available(k)};
}
