// SPDX-License-Identifier: MIT
/* winnow doctor */
#include "command.h"
#include <stdlib.h>
#include <winnow/model.h>

int command_DOCTOR(const options *o) {
    char *text = NULL;
    bool healthy = false;
    wn_status status = wn_doctor(opt_flag(o, O_json), opt_flag(o, O_quick), &text, &healthy);
    if (status != WN_OK) return report(status);
    fputs(text, stdout);
    free(text);
    return healthy ? EXIT_OK : EXIT_INVALID_MODEL;
}
