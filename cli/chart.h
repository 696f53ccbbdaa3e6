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
    bool powers;  /* x is the exponent of 2 of what the axis says */
    double level; /* a dashed line to compare with; 0: none */
} chart;

/* A complete SVG document; light and dark backgrounds both read well. */
void chart_svg(FILE *out, const chart *c);
/* One of several charts below one another. */
void chart_panels_svg(FILE *out, const chart *c, size_t count);

/* A range on a common axis. */
typedef struct chart_span {
    const char *label; /* the same as the one before: not written again */
    const char *part;  /* what is ranged over, under the label */
    double low, middle, high;
    int colour;
} chart_span;
/* Ranges one below the other, with a line at `level` (0: none), as a complete SVG document. */
void chart_spans_svg(FILE *out, const char *title, const char *x_label, const chart_span *span,
                     size_t count, double level);
/* At most columns x rows characters. */
void chart_text(FILE *out, const chart *c, int columns, int rows);

#endif
