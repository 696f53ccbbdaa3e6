// SPDX-License-Identifier: MIT
/* Signals that ask for a clean stop: SIGINT, SIGTERM, and SIGHUP unless it is ignored, as under
 * nohup. A second SIGINT or SIGTERM ends the program at once, a lost reader of its output never. */
#ifndef WINNOW_CLI_INTERRUPT_H
#define WINNOW_CLI_INTERRUPT_H

#include <stdbool.h>

/* From now on signals are remembered. `at_once`: they end the program until interrupted() is
 * called, as work that does not ask yet has nothing to lose. */
void interrupts_catch(bool at_once);
/* A wn_stop_fn: whether there was one. */
bool interrupted(void *ctx);

#endif
