// SPDX-License-Identifier: MIT
/* winnow verify */
#include "command.h"
#include "json_out.h"
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

int command_VERIFY(const options *o) {
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
