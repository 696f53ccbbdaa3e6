// SPDX-License-Identifier: MIT
/* Signals that ask for a clean stop: SIGINT, SIGTERM, and SIGHUP unless it is ignored, as under
 * nohup. A second SIGINT or SIGTERM ends the program at once. A lost reader of its output does not. */
#ifndef WINNOW_CLI_INTERRUPT_H
#define WINNOW_CLI_INTERRUPT_H

#include <stdbool.h>

/* From now on signals are remembered. `at_once`: as long as nothing would be lost they end the
 * program, until interrupts_wait(). */
void interrupts_catch(bool at_once);
void interrupts_wait(void);
/* A wn_stop_fn: whether there was one. */
bool interrupted(void *ctx);

#endif
