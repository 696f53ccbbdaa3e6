// SPDX-License-Identifier: MIT
/* See interrupt.h. A handler can reach nothing but a global. */
#include "interrupt.h"
#include "command.h"
#include <signal.h>
#include <stdlib.h>

static volatile sig_atomic_t stopped, waits;

/* Who loses a terminal is told twice, by the shell and by the kernel: SIGHUP hurries nobody. */
static void on_signal(int number) {
    if ((stopped && number != SIGHUP) || !waits) _Exit(EXIT_INTERRUPTED);
    stopped = 1;
}

void interrupts_catch(bool at_once) {
    static const int number[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_signal}, before;
    sigemptyset(&action.sa_mask);
    /* '2>&1 | tee log' and Ctrl-C: tee is gone before the checkpoint is saved. */
    signal(SIGPIPE, SIG_IGN);
    waits = !at_once;
    for (size_t i = 0; i < sizeof number / sizeof *number; i++) {
        if (number[i] == SIGHUP && sigaction(SIGHUP, NULL, &before) == 0 &&
            before.sa_handler == SIG_IGN)
            continue;
        sigaction(number[i], &action, NULL);
    }
}

bool interrupted(void *ctx) {
    (void)ctx;
    waits = 1;
    return stopped != 0;
}
