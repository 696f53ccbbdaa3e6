// SPDX-License-Identifier: MIT
/* winnow kernels: the table; --problem explains a choice; --check and --time reach the harness. */
#include "command.h"
#include "json_out.h"
#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <winnow/kernels.h>

static bool wanted(const options *o, const wn_kernel_info *k) {
    const char *op = opt_text(o, O_op), *variant = opt_text(o, O_variant);
    return (!op || fnmatch(op, k->op, 0) == 0) &&
           (!variant || fnmatch(variant, k->variant, 0) == 0);
}

static int list_json(const options *o) {
    json_out j = {.file = stdout};
    put_open(&j, NULL, '[');
    for (size_t i = 0; i < wn_kernel_count(); i++) {
        wn_kernel_info k;
        wn_kernel_get(i, &k);
        if (!wanted(o, &k)) continue;
        put_open(&j, NULL, '{');
        put_text(&j, "op", k.op);
        put_text(&j, "summary", k.summary);
        put_text(&j, "variant", k.variant);
        put_text(&j, "name", k.name);
        put_text(&j, "needs", k.needs);
        put_int(&j, "rank", k.rank);
        put_bool(&j, "available", k.available);
        put_close(&j, '}');
    }
    put_close(&j, ']');
    putchar('\n');
    return EXIT_OK;
}

static int list(const options *o) {
    const char *op = "";
    size_t shown = 0;
    for (size_t i = 0; i < wn_kernel_count(); i++) {
        wn_kernel_info k;
        wn_kernel_get(i, &k);
        if (!wanted(o, &k)) continue;
        if (strcmp(op, k.op) != 0) printf("%s: %s\n", op = k.op, k.summary);
        printf("  %-24s rank %-3d needs %-12s %s\n", k.name, k.rank, k.needs,
               k.available ? "" : "not on this machine");
        shown++;
    }
    if (!shown) return usage_error("no kernel matches; 'winnow kernels' lists all");
    char *text = NULL;
    if (opt_text(o, O_op) && strcmp(op, opt_text(o, O_op)) == 0 &&
        wn_problem_describe(op, &text) == WN_OK)
        printf("a --problem of %s, with its defaults:\n%s", op, text);
    free(text);
    return EXIT_OK;
}

static int explain(const options *o) {
    char *text = NULL;
    const char *device = opt_text(o, O_kernels_device), *cache = opt_text(o, O_kernels_cache);
    if (!device && !cache) device = "cpu";
    wn_status status =
        wn_plan_explain_on(opt_text(o, O_op), opt_text(o, O_problem) ? opt_text(o, O_problem) : "",
                           device, cache, &text);
    if (status != WN_OK) return report(status);
    fputs(text, stdout);
    free(text);
    return EXIT_OK;
}

/* What the checks of one row of the table came to. */
typedef struct tally {
    int64_t cases, failed;
    double worst;
} tally;

/* ctx: a tally for each row. Cases come op by op, their variants side by side. */
static void on_check(void *ctx, const wn_check_result *r) {
    tally *rows = ctx;
    wn_kernel_info k;
    for (size_t i = 0; i < wn_kernel_count(); i++) {
        wn_kernel_get(i, &k);
        if (strcmp(k.name, r->name) != 0) continue;
        rows[i].cases++;
        rows[i].failed += !r->passed;
        rows[i].worst = fmax(rows[i].worst, r->worst);
    }
    if (!r->passed) fprintf(stderr, "%s %s: %s\n", r->name, r->problem, r->message);
}

static void print_tally(json_out *j, const char *name, const tally *t) {
    if (!j) {
        printf("%-28s %4lld cases  %s  largest error %.3f of its bound\n", name,
               (long long)t->cases, t->failed ? "FAILED" : "ok    ", t->worst);
        return;
    }
    put_open(j, NULL, '{');
    put_text(j, "name", name);
    put_int(j, "cases", t->cases);
    put_int(j, "failed", t->failed);
    put_real(j, "worst", t->worst);
    put_close(j, '}');
}

static void print_tallies(bool json, const tally *rows) {
    json_out j = {.file = stdout};
    wn_kernel_info k;
    if (json) put_open(&j, NULL, '[');
    for (size_t i = 0; i < wn_kernel_count(); i++) {
        wn_kernel_get(i, &k);
        if (rows[i].cases > 0) print_tally(json ? &j : NULL, k.name, &rows[i]);
    }
    if (!json) return;
    put_close(&j, ']');
    putchar('\n');
}

static int check(const options *o) {
    wn_check_options c = {.op = opt_text(o, O_op),
                          .variant = opt_text(o, O_variant),
                          .seed = (uint64_t)opt_int(o, O_seed),
                          .threads = (int)opt_int(o, O_threads),
                          .quick = opt_flag(o, O_quick),
                          .problem = opt_text(o, O_problem)};
    int64_t cases = 0, failed = 0;
    tally *rows = calloc(wn_kernel_count(), sizeof *rows);
    if (!rows) {
        fputs("winnow: out of memory\n", stderr);
        return EXIT_FAILED;
    }
    wn_status status = wn_kernels_check(&c, on_check, rows, &cases, &failed);
    print_tallies(opt_flag(o, O_json), rows);
    free(rows);
    if (status != WN_OK) return report(status);
    if (!opt_flag(o, O_json))
        printf("%lld cases, %lld failed\n", (long long)cases, (long long)failed);
    return failed ? EXIT_INVALID_MODEL : EXIT_OK;
}

typedef struct time_state {
    json_out *json;
    double first; /* seconds of the first line, the comparison of the others */
} time_state;

static void on_time(void *ctx, const wn_time_result *r) {
    time_state *s = ctx;
    if (s->json) {
        put_open(s->json, NULL, '{');
        put_text(s->json, "name", r->name);
        put_real(s->json, "seconds", r->seconds);
        put_real(s->json, "flops", r->flops);
        put_real(s->json, "bytes", r->bytes);
        put_close(s->json, '}');
        return;
    }
    if (s->first == 0) s->first = r->seconds;
    printf("%-28s %10.1f us  %8.1f GFLOP/s  %7.1f GB/s  %6.2fx\n", r->name, r->seconds * 1e6,
           r->flops / r->seconds / 1e9, r->bytes / r->seconds / 1e9, s->first / r->seconds);
}

static int time_variants(const options *o) {
    json_out j = {.file = stdout};
    time_state s = {.json = opt_flag(o, O_json) ? &j : NULL};
    if (!opt_text(o, O_op))
        return usage_error("--time needs --op, as --op matmul --problem m=512,n=512,k=512");
    if (s.json) put_open(&j, NULL, '[');
    wn_status status =
        wn_kernels_time(opt_text(o, O_op), opt_text(o, O_variant),
                        opt_text(o, O_problem) ? opt_text(o, O_problem) : "",
                        (int)opt_int(o, O_threads), (int)opt_int(o, O_repeats), on_time, &s);
    if (s.json) {
        put_close(&j, ']');
        putchar('\n');
    }
    return report(status);
}

static void on_tune(void *ctx, const wn_tune_result *r) {
    (void)ctx;
    if (*r->refused)
        printf("  %-28s %s%s%s\n", r->name, r->way, *r->way ? ": " : "", r->refused);
    else
        printf("%c %-28s %10.2f us%s%s\n", r->chosen ? '*' : ' ', r->name, r->seconds * 1e6,
               *r->way ? "  " : "", r->way);
}

static int tune(const options *o) {
    const char *cache = opt_text(o, O_kernels_cache), *device = opt_text(o, O_kernels_device);
    char *text = NULL;
    if (!opt_text(o, O_op))
        return usage_error("--tune needs --op, as --op matmul --problem m=512,n=512,k=512");
    if (cache && !can_replace_file(cache)) return EXIT_FAILED;
    const wn_tune_options t = {.op = opt_text(o, O_op),
                               .problem = opt_text(o, O_problem),
                               .variant = opt_text(o, O_variant),
                               .device = device ? device : "cpu",
                               .cache = cache,
                               .threads = (int)opt_int(o, O_threads),
                               .repeats = (int)opt_int(o, O_repeats)};
    int code = report(wn_kernels_tune(&t, on_tune, NULL, &text));
    if (code == EXIT_OK && cache && !replace_file(cache, text, strlen(text))) code = EXIT_FAILED;
    if (code == EXIT_OK && !cache) fputs(text, stdout);
    free(text);
    return code;
}

/* --kernel NAME as --op and --variant, and forced where something is planned. */
static int choose_kernel(const options *given, options *o) {
    const char *name = opt_text(given, O_kernel);
    *o = *given;
    if (!name) return EXIT_OK;
    if (opt_text(o, O_op) || opt_text(o, O_variant))
        return usage_error("--kernel says the op and the variant: leave out --op and --variant");
    for (size_t i = 0; i < wn_kernel_count(); i++) {
        wn_kernel_info k;
        wn_kernel_get(i, &k);
        if (strcmp(k.name, name) != 0) continue;
        o->value[O_op].text = k.op;
        o->value[O_variant].text = k.variant;
        return setenv("WN_KERNEL", name, 1) == 0 ? EXIT_OK : EXIT_FAILED;
    }
    fprintf(stderr, "winnow: no kernel is called '%.60s'; 'winnow kernels' lists all\n", name);
    return EXIT_USAGE;
}

int command_KERNELS(const options *given) {
    options mine, *o = &mine;
    int code = choose_kernel(given, &mine);
    if (code != EXIT_OK) return code;
    if (opt_flag(o, O_tune)) return tune(o);
    if (opt_flag(o, O_check)) return check(o);
    if (opt_flag(o, O_time)) return time_variants(o);
    if (opt_text(o, O_problem) && !opt_text(o, O_op)) return usage_error("--problem needs --op");
    if (opt_text(o, O_problem)) return explain(o);
    return opt_flag(o, O_json) ? list_json(o) : list(o);
}
