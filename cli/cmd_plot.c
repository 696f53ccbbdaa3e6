// SPDX-License-Identifier: MIT
/* winnow plot */
#include "command.h"
#include "plot.h"
#include <string.h>

int command_PLOT(const options *o) {
    const char *x = opt_text(o, O_x), *y = opt_text(o, O_y), *out = opt_text(o, O_out);
    if (!x || (strcmp(x, "step") != 0 && strcmp(x, "tokens") != 0 && strcmp(x, "seconds") != 0))
        return usage_error("--x: step, tokens or seconds, not '%.40s'", x ? x : "");
    if (!y) return usage_error("--y needs a name, as loss");
    if (!out && !opt_flag(o, O_text))
        return usage_error("winnow plot needs --out FILE.svg, or --text");
    int code = EXIT_OK;
    if (opt_flag(o, O_text)) code = plot_runs(o->argument, o->arguments, x, y, NULL);
    if (code == EXIT_OK && out) code = plot_runs(o->argument, o->arguments, x, y, out);
    if (code == EXIT_OK && out) printf("%s\n", out);
    return code;
}
