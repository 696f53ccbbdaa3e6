// SPDX-License-Identifier: MIT
/* Charts of runs' metrics. */
#ifndef WN_CLI_PLOT_H
#define WN_CLI_PLOT_H

#include <stdbool.h>
#include <stddef.h>

/* Draws value y over x of every run (training lines and evaluations) to an SVG file, or to the
 * terminal when path is NULL. Reports what goes wrong and returns the exit code. */
int plot_runs(const char *const *run, size_t count, const char *x, const char *y, const char *path);

#endif
