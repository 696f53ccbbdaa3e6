// SPDX-License-Identifier: MIT
/* Line charts, as SVG text or as characters. */
#ifndef WN_CLI_CHART_H
#define WN_CLI_CHART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef struct chart_line {
    const char *label;
    const double *x, *y;
    size_t count;
    bool points; /* few values: marked, and not smoothed */
    int colour;  /* lines of one run share it */
} chart_line;

typedef struct chart {
    const char *title, *x_label, *y_label;
    const chart_line *line;
    size_t count;
} chart;

/* A complete SVG document; light and dark backgrounds both read well. */
void chart_svg(FILE *out, const chart *c);
/* At most columns x rows characters. */
void chart_text(FILE *out, const chart *c, int columns, int rows);

#endif
