// SPDX-License-Identifier: MIT
/* winnow help */
#include "command.h"

int command_HELP(const options *o) {
    if (opt_flag(o, O_man)) {
        help_man(stdout);
    } else if (opt_flag(o, O_completion)) {
        help_completion(stdout);
    } else if (o->arguments == 0) {
        help_overview(stdout);
    } else {
        command_id id = command_find(o->argument[0]);
        if (id == CMD_COUNT)
            return usage_error("unknown command '%.60s'; the nearest is '%s'", o->argument[0],
                               command_nearest(o->argument[0]));
        help_command(stdout, id);
    }
    return EXIT_OK;
}
