// SPDX-License-Identifier: MIT
/* winnow verify */
#include "command.h"
#include "json_out.h"
#include <string.h>
#include <winnow/verify.h>

typedef struct listing {
    bool json;
    json_out out;
} listing;

static void show(void *ctx, const wn_verify_result *r) {
    listing *l = ctx;
    if (!l->json) {
        printf("%-4s %-40s %s (%.2f s)\n", r->passed ? "ok" : "FAIL", r->name, r->detail,
               r->seconds);
        fflush(stdout);
        return;
    }
    put_open(&l->out, NULL, '{');
    put_text(&l->out, "name", r->name);
    put_bool(&l->out, "passed", r->passed);
    put_text(&l->out, "detail", r->detail);
    put_real(&l->out, "seconds", r->seconds);
    put_close(&l->out, '}');
}

static const char *verdict(bool passed) {
    return passed ? "ok" : "FAIL";
}

static void show_shape_json(json_out *j, const wn_production_result *r) {
    put_open(j, NULL, '{');
    put_int(j, "tokens", r->tokens);
    put_int(j, "out_features", r->out);
    put_int(j, "in_features", r->in);
    put_bool(j, "passed", r->passed);
    put_bool(j, "pattern", r->pattern);
    put_bool(j, "round_trip", r->round_trip);
    put_bool(j, "repeat", r->repeat);
    put_bool(j, "threads", r->threads);
    put_bool(j, "float64", r->bound);
    put_bool(j, "exact_integers", r->exact);
    put_real(j, "worst_of_bound", r->worst);
    put_real(j, "max_error", r->max_error);
    put_real(j, "mean_error", r->mean_error);
    put_bool(j, "guide", r->guide);
    put_text(j, "detail", r->detail);
    put_real(j, "seconds", r->seconds);
    put_close(j, '}');
}

typedef struct production {
    listing l;
    int64_t guide; /* shapes within the guide's limits */
} production;

static void show_shape(void *ctx, const wn_production_result *r) {
    production *p = ctx;
    p->guide += r->guide;
    if (p->l.json) {
        show_shape_json(&p->l.out, r);
        return;
    }
    char shape[64];
    snprintf(shape, sizeof shape, "%lld x %lld x %lld", (long long)r->tokens, (long long)r->out,
             (long long)r->in);
    printf("%-4s %-19s %-4s %8.4f %-5s %-5s %-10s %-7s %-6s %8.1e %9.1e %-5s %6.1f\n",
           verdict(r->passed), shape, verdict(r->bound), r->worst, verdict(r->exact),
           verdict(r->pattern), verdict(r->round_trip), verdict(r->threads), verdict(r->repeat),
           r->max_error, r->mean_error, r->guide ? "ok" : "no", r->seconds);
    if (!r->passed) printf("     %s\n", r->detail);
    fflush(stdout);
}

/* winnow verify --suite production */
static int verify_production(const options *o) {
    production p = {.l = {.json = opt_flag(o, O_json), .out = {.file = stdout}}};
    int64_t shapes = 0, passed = 0;
    if (p.l.json) {
        put_open(&p.l.out, NULL, '{');
        put_open(&p.l.out, "shapes", '[');
    } else {
        printf(
            "     tokens x out x in   f64  of bound exact 2:4   round trip threads repeat max err  "
            "mean err  guide seconds\n");
    }
    wn_status status = wn_verify_production((int)opt_int(o, O_threads), opt_text(o, O_kernels),
                                            opt_flag(o, O_quick), show_shape, &p, &shapes, &passed);
    bool all = status == WN_OK && passed == shapes;
    if (p.l.json) {
        put_close(&p.l.out, ']');
        put_int(&p.l.out, "count", shapes);
        put_int(&p.l.out, "passed", passed);
        put_int(&p.l.out, "guide", p.guide);
        put_bool(&p.l.out, "all", all);
        put_close(&p.l.out, '}');
        putchar('\n');
    } else if (status == WN_OK) {
        printf(
            "%lld/%lld production shapes pass. Judged: float64 within u|y| + in u sum|x||w| (u = "
            "2^-24), exact integers, the pattern, bits after packing, repeating and one thread.\n"
            "%lld/%lld are within the guide's own limits (max err < 0.2, mean err < 0.01), which "
            "are shown, not judged.\n",
            (long long)passed, (long long)shapes, (long long)p.guide, (long long)shapes);
    }
    if (status != WN_OK) return report(status);
    return all ? EXIT_OK : EXIT_INVALID_MODEL;
}

int command_VERIFY(const options *o) {
    const char *suite = opt_text(o, O_suite);
    if (suite && strcmp(suite, "production") != 0)
        return usage_error("no suite '%s'; there is 'production'", suite);
    if (suite) return verify_production(o);
    if (opt_flag(o, O_quick)) return usage_error("--quick goes with --suite production");
    listing l = {.json = opt_flag(o, O_json), .out = {.file = stdout}};
    int64_t checks = 0, failed = 0;
    if (l.json) {
        put_open(&l.out, NULL, '{');
        put_open(&l.out, "checks", '[');
    }
    wn_status status =
        wn_verify((int)opt_int(o, O_threads), opt_text(o, O_kernels), show, &l, &checks, &failed);
    bool passed = status == WN_OK && failed == 0;
    if (l.json) {
        put_close(&l.out, ']');
        put_bool(&l.out, "passed", passed);
        put_close(&l.out, '}');
        putchar('\n');
    } else if (status == WN_OK) {
        printf("%lld checks, %lld failed: %s\n", (long long)checks, (long long)failed,
               passed ? "this build does on this machine what it says"
                      : "do not trust this build on this machine");
    }
    if (status != WN_OK) return report(status);
    return passed ? EXIT_OK : EXIT_INVALID_MODEL;
}
