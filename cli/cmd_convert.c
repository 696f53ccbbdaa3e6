// SPDX-License-Identifier: MIT
/* winnow convert */
#include "command.h"
#include "json_out.h"
#include <winnow/convert.h>

int command_CONVERT(const options *o) {
    const wn_convert_options c = {.tensor = opt_text(o, O_tensor), .force = opt_flag(o, O_force)};
    wn_convert_result r;
    char bytes[24];
    wn_status status = wn_convert(o->argument[0], o->argument[1], &c, &r);
    if (status != WN_OK) return report(status);
    if (opt_flag(o, O_json)) {
        json_out j = {.file = stdout};
        put_open(&j, NULL, '{');
        put_text(&j, "out", o->argument[1]);
        put_int(&j, "tensors", (int64_t)r.tensors);
        put_int(&j, "bytes", (int64_t)r.bytes);
        put_close(&j, '}');
        putchar('\n');
        return EXIT_OK;
    }
    printf("%s: %zu tensor%s, %s\n", o->argument[1], r.tensors, r.tensors == 1 ? "" : "s",
           bytes_text((double)r.bytes, bytes, sizeof bytes));
    return EXIT_OK;
}
