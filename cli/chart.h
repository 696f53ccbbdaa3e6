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
    bool apart;  /* marks alone, nothing drawn between them */
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

/* Values on a common axis: each a dot, their range a bar, the middle one a large dot and a number.
 */
typedef struct chart_span {
    const char *group;   /* a heading, not written again where it is that of the one before; */
    const char *label;   /* so is this, under it */
    const char *part;    /* what the values are of */
    const double *value; /* ascending, above 0 */
    size_t count;
    double middle;
    int colour;
} chart_span;
/* Spans one below the other as a complete SVG document, on an axis of ratios (twice as much and
 * half as much lie equally far from 1), with a line at 1. low, high: what is written on its two
 * sides. */
void chart_spans_svg(FILE *out, const char *title, const char *x_label, const char *low,
                     const char *high, const chart_span *span, size_t count);
/* At most columns x rows characters. */
void chart_text(FILE *out, const chart *c, int columns, int rows);

#endif
