// SPDX-License-Identifier: MIT
/* Charts: ranges, round tick steps, and the two renderings. Points that are not finite, or too
 * large for their differences to be numbers, are skipped. A y range is cut at the 98th percentile
 * of the values when the very first ones would flatten the rest. */
#include "chart.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct range {
    double low, high, step;
} range;

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A step of 1, 2 or 5 times a power of ten that gives about `ticks` ticks; bounds rounded outwards
 * to it. */
static range round_range(double low, double high, int ticks) {
    double room = 1e-9 * fmax(fabs(low), fabs(high)) + 1e-290;
    if (!(high - low > room)) high = low + fmax(fabs(low) * 0.1, room == 1e-290 ? 1 : 1e-280);
    double raw = (high - low) / ticks, power = pow(10, floor(log10(raw))), unit = raw / power;
    double step = power * (unit <= 1 ? 1 : unit <= 2 ? 2 : unit <= 5 ? 5 : 10);
    return (range){floor(low / step + 1e-9) * step, ceil(high / step - 1e-9) * step, step};
}

static bool drawable(const chart_line *l, size_t j) {
    return fabs(l->x[j]) < 1e15 && fabs(l->y[j]) < 1e300;
}

static range x_range(const chart *c) {
    double low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < c->count; i++)
        for (size_t j = 0; j < c->line[i].count; j++)
            if (drawable(&c->line[i], j)) {
                low = fmin(low, c->line[i].x[j]);
                high = fmax(high, c->line[i].x[j]);
            }
    if (!(low <= high)) low = 0, high = 1;
    range r = round_range(low, high, 8);
    if (c->powers) r.step = ceil(fmax(r.step, 1));
    r.low = low;
    r.high = high - low > 1e-9 * fabs(high) ? high : low + fmax(1, 1e-3 * fabs(low));
    return r;
}

static range y_range(const chart *c) {
    size_t total = 0, n = 0;
    for (size_t i = 0; i < c->count; i++)
        total += c->line[i].count;
    double *all = malloc((total + 1) * sizeof *all);
    if (!all) return round_range(0, 1, 6);
    for (size_t i = 0; i < c->count; i++)
        for (size_t j = 0; j < c->line[i].count; j++)
            if (drawable(&c->line[i], j)) all[n++] = c->line[i].y[j];
    qsort(all, n, sizeof *all, by_value);
    double low = n ? all[0] : 0, high = n ? all[n - 1] : 1, cut = n ? all[(n - 1) * 98 / 100] : 1;
    if (n >= 50 && cut > low && high - low > 1.6 * (cut - low)) high = cut;
    free(all);
    if (c->level != 0) {
        low = fmin(low, c->level);
        high = fmax(high, c->level);
    }
    return round_range(low, high, 6);
}

enum { WIDTH = 860, HEIGHT = 460, LEFT = 72, RIGHT = 24, TOP = 48, BOTTOM = 56 };

static double px(const range *r, double x) {
    return LEFT + (x - r->low) / (r->high - r->low) * (WIDTH - LEFT - RIGHT);
}
static double py(const range *r, double y) {
    return HEIGHT - BOTTOM - (y - r->low) / (r->high - r->low) * (HEIGHT - TOP - BOTTOM);
}

static const char *const palette[] = {"#2f6fde", "#d9480f", "#2b8a3e", "#9c36b5",
                                      "#c2255c", "#0b7285", "#846358", "#495057"};
static const char *colour_of(int i) {
    return palette[(size_t)i % (sizeof palette / sizeof *palette)];
}

static void xml_text(FILE *out, const char *s) {
    for (; *s; s++) {
        if (*s == '<')
            fputs("&lt;", out);
        else if (*s == '&')
            fputs("&amp;", out);
        else if (*s == '>')
            fputs("&gt;", out);
        else if ((unsigned char)*s >= 0x20)
            fputc(*s, out);
    }
}

/* "1200", "20k", "0.05" */
static const char *tick_text(double v, double step, char *out, size_t n) {
    if (fabs(v) < step * 1e-9) v = 0;
    if (fabs(v) >= 1e6)
        snprintf(out, n, "%gM", v / 1e6);
    else if (fabs(v) >= 1e4)
        snprintf(out, n, "%gk", v / 1e3);
    else
        snprintf(out, n, "%.10g", v);
    return out;
}

/* Steps from first to the end of the range; few, however large the values are. */
static int ticks(double first, const range *r) {
    double n = floor((r->high - first) / r->step + 1e-6);
    return n >= 0 && n < 40 ? (int)n : 0;
}

static void svg_axes(FILE *out, const chart *c, const range *x, const range *y) {
    char text[40];
    for (int i = 0; i <= ticks(y->low, y); i++) {
        double v = y->low + i * y->step;
        fprintf(out, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT,
                WIDTH - RIGHT, py(y, v), py(y, v));
        fprintf(out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", LEFT - 8,
                py(y, v) + 4, tick_text(v, y->step, text, sizeof text));
    }
    double first = ceil(x->low / x->step - 1e-9) * x->step;
    for (int i = 0; i <= ticks(first, x); i++) {
        double v = first + i * x->step;
        fprintf(out, "<line class=\"tick\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>", px(x, v),
                px(x, v), HEIGHT - BOTTOM, HEIGHT - BOTTOM + 5);
        fprintf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", px(x, v),
                HEIGHT - BOTTOM + 20,
                tick_text(c->powers ? exp2(v) : v, x->step, text, sizeof text));
    }
    fprintf(out,
            "<line class=\"tick\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/>\n<text class=\"title\" "
            "x=\"%d\" y=\"26\">",
            LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, HEIGHT - BOTTOM, LEFT);
    xml_text(out, c->title);
    fprintf(out, "</text>\n<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">",
            (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14);
    xml_text(out, c->x_label);
    fprintf(out,
            "</text>\n<text transform=\"translate(18 %d) rotate(-90)\" text-anchor=\"middle\">",
            (TOP + HEIGHT - BOTTOM) / 2);
    xml_text(out, c->y_label);
    fputs("</text>\n", out);
}

static void svg_path(FILE *out, const chart_line *l, const range *x, const range *y, double smooth,
                     const char *style) {
    bool pen = false;
    double mean = 0, weight = 0;
    fprintf(out, "<path clip-path=\"url(#area)\" fill=\"none\" stroke=\"%s\" %s d=\"",
            colour_of(l->colour), style);
    for (size_t j = 0; j < l->count; j++) {
        if (!drawable(l, j)) continue;
        mean = smooth * mean + (1 - smooth) * l->y[j];
        weight = smooth * weight + (1 - smooth);
        fprintf(out, "%c%.1f %.1f", pen ? 'L' : 'M', px(x, l->x[j]), py(y, mean / weight));
        pen = true;
    }
    fputs("\"/>\n", out);
}

static void svg_line(FILE *out, const chart_line *l, const range *x, const range *y) {
    if (l->points) {
        if (!l->apart) svg_path(out, l, x, y, 0, "stroke-width=\"1.6\" stroke-dasharray=\"5 3\"");
        for (size_t j = 0; j < l->count; j++)
            if (drawable(l, j) && l->y[j] <= y->high)
                fprintf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.4\" fill=\"%s\"/>",
                        px(x, l->x[j]), py(y, l->y[j]), colour_of(l->colour));
        fputc('\n', out);
    } else if (l->count > 40) {
        svg_path(out, l, x, y, 0, "stroke-width=\"1\" opacity=\"0.35\"");
        svg_path(out, l, x, y, 0.9, "stroke-width=\"2\"");
    } else {
        svg_path(out, l, x, y, 0, "stroke-width=\"2\"");
    }
}

/* Below the axis, where nothing else is drawn: two beside one another unless a label is too long.
 */
enum { LEGEND = 18, LEGEND_SHORT = 44 };

static int legend_columns(const chart *c) {
    for (size_t i = 0; i < c->count; i++)
        if (strlen(c->line[i].label) > LEGEND_SHORT) return 1;
    return 2;
}

static int panel_height(const chart *c) {
    int columns = legend_columns(c);
    return HEIGHT + LEGEND * (((int)c->count + columns - 1) / columns);
}

static void svg_legend(FILE *out, const chart *c) {
    int columns = legend_columns(c);
    for (int i = 0; i < (int)c->count; i++) {
        const chart_line *l = &c->line[i];
        int x = LEFT + i % columns * ((WIDTH - LEFT - RIGHT) / columns);
        int y = HEIGHT + LEGEND * (i / columns);
        fprintf(
            out,
            "<line x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\" stroke=\"%s\" stroke-width=\"2\"%s/>", x,
            x + 24, y, y, colour_of(l->colour), l->points ? " stroke-dasharray=\"5 3\"" : "");
        if (l->points)
            fprintf(out, "<circle cx=\"%d\" cy=\"%d\" r=\"3.4\" fill=\"%s\"/>", x + 12, y,
                    colour_of(l->colour));
        fprintf(out, "<text x=\"%d\" y=\"%d\">", x + 32, y + 4);
        xml_text(out, l->label);
        fputs("</text>\n", out);
    }
}

static void svg_begin(FILE *out, int height) {
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d "
            "%d\">\n"
            "<style>text{font:13px "
            "system-ui,sans-serif;fill:#343a40}.title{font-size:16px;font-weight:600}.grid{stroke:#"
            "dee2e6}.tick{stroke:#868e96}.level{stroke:#868e96;stroke-dasharray:2 3}</style>\n"
            "<defs><clipPath id=\"area\"><rect x=\"%d\" y=\"%d\" width=\"%d\" "
            "height=\"%d\"/></clipPath></defs>\n<rect width=\"100%%\" height=\"100%%\" "
            "fill=\"#ffffff\"/>\n",
            WIDTH, height, WIDTH, height, LEFT, TOP - 4, WIDTH - LEFT - RIGHT,
            HEIGHT - TOP - BOTTOM + 8);
}

static void svg_panel(FILE *out, const chart *c) {
    range x = x_range(c), y = y_range(c);
    svg_axes(out, c, &x, &y);
    if (c->level != 0)
        fprintf(out, "<line class=\"level\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>\n", LEFT,
                WIDTH - RIGHT, py(&y, c->level), py(&y, c->level));
    for (size_t i = 0; i < c->count; i++)
        svg_line(out, &c->line[i], &x, &y);
    svg_legend(out, c);
}

void chart_svg(FILE *out, const chart *c) {
    svg_begin(out, panel_height(c));
    svg_panel(out, c);
    fputs("</svg>\n", out);
}

void chart_panels_svg(FILE *out, const chart *c, size_t count) {
    int height = 0, y = 0;
    for (size_t i = 0; i < count; i++)
        height += panel_height(&c[i]);
    svg_begin(out, height);
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "<g transform=\"translate(0 %d)\">\n", y);
        svg_panel(out, &c[i]);
        fputs("</g>\n", out);
        y += panel_height(&c[i]);
    }
    fputs("</svg>\n", out);
}

enum { SPAN = 24, HEADING = 34, SPAN_LEFT = 300, SPAN_RIGHT = 90, SPAN_TOP = 74, SPAN_BOTTOM = 60 };

static double span_x(const range *r, double x) {
    return SPAN_LEFT + (log2(x) - r->low) / (r->high - r->low) * (WIDTH - SPAN_LEFT - SPAN_RIGHT);
}

/* The exponents of 2 that hold all values and 1, with a little room. */
static range ratio_range(const chart_span *span, size_t count) {
    double low = -0.25, high = 0.25;
    for (size_t i = 0; i < count; i++) {
        if (span[i].count == 0) continue;
        low = fmin(low, log2(span[i].value[0]) - 0.08);
        high = fmax(high, log2(span[i].value[span[i].count - 1]) + 0.08);
    }
    return (range){low, high, 1};
}

static void svg_span(FILE *out, const chart_span *s, const range *r, int y) {
    const char *colour = colour_of(s->colour);
    if (s->count == 0) return;
    double low = span_x(r, s->value[0]), high = span_x(r, s->value[s->count - 1]);
    fprintf(out,
            "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\" stroke=\"%s\" stroke-width=\"9\" "
            "stroke-linecap=\"round\" opacity=\"0.22\"/>",
            low, high, y, y, colour);
    for (size_t i = 0; i < s->count; i++)
        fprintf(out, "<circle cx=\"%.1f\" cy=\"%d\" r=\"2\" fill=\"%s\" opacity=\"0.55\"/>",
                span_x(r, s->value[i]), y, colour);
    fprintf(out, "<circle cx=\"%.1f\" cy=\"%d\" r=\"5.5\" fill=\"%s\" stroke=\"#ffffff\"/>",
            span_x(r, s->middle), y, colour);
    fprintf(out,
            "<text x=\"%d\" y=\"%d\" class=\"number\">%.2f</text>\n<text x=\"%d\" y=\"%d\" "
            "text-anchor=\"end\">",
            WIDTH - SPAN_RIGHT + 14, y + 4, s->middle, SPAN_LEFT - 14, y + 4);
    xml_text(out, s->part);
    fputs("</text>\n", out);
}

/* Ticks at round ratios, those that are not too close to each other. */
static void ratio_ticks(FILE *out, const range *r, int bottom) {
    static const double ratios[] = {0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.85, 1,
                                    1.2,  1.5,  2,    3,   5,   10,  20,  50,  100};
    double last = 0;
    for (size_t i = 0; i < sizeof ratios / sizeof *ratios; i++) {
        double at = log2(ratios[i]), x = span_x(r, ratios[i]);
        if (at < r->low || at > r->high || x - last < 30) continue;
        last = x;
        fprintf(out, "<line class=\"%s\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>",
                ratios[i] == 1 ? "one" : "grid", x, x, SPAN_TOP - 8, bottom);
        fprintf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%g</text>\n", x, bottom + 18,
                ratios[i]);
    }
}

static bool heads(const chart_span *span, size_t i) {
    return i == 0 || strcmp(span[i].group, span[i - 1].group) != 0;
}
static bool labels(const chart_span *span, size_t i) {
    return heads(span, i) || strcmp(span[i].label, span[i - 1].label) != 0;
}

static void span_text(FILE *out, const char *class, int x, int y, const char *anchor,
                      const char *text) {
    fprintf(out, "<text class=\"%s\" x=\"%d\" y=\"%d\" text-anchor=\"%s\">", class, x, y, anchor);
    xml_text(out, text);
    fputs("</text>\n", out);
}

void chart_spans_svg(FILE *out, const char *title, const char *x_label, const char *low,
                     const char *high, const chart_span *span, size_t count) {
    range r = ratio_range(span, count);
    int bottom = SPAN_TOP + SPAN / 2, y = SPAN_TOP - SPAN / 2;
    for (size_t i = 0; i < count; i++)
        bottom += SPAN + (labels(span, i) ? SPAN : 0) + (heads(span, i) ? HEADING : 0);
    int one = (int)span_x(&r, 1);
    svg_begin(out, bottom + SPAN_BOTTOM);
    fputs("<style>.group{font-size:14px;font-weight:600}.label{fill:#868e96}.side{fill:#868e96;"
          "font-size:12px}.number{font-weight:600}.one{stroke:#495057}</style>\n",
          out);
    span_text(out, "title", 24, 28, "start", title);
    fprintf(out, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"#f1f8f4\"/>\n", one,
            SPAN_TOP - 8, WIDTH - SPAN_RIGHT - one, bottom - SPAN_TOP + 8);
    ratio_ticks(out, &r, bottom);
    span_text(out, "side", one - 8, SPAN_TOP - 14, "end", low);
    span_text(out, "side", one + 8, SPAN_TOP - 14, "start", high);
    for (size_t i = 0; i < count; i++) {
        if (heads(span, i)) span_text(out, "group", 24, (y += HEADING) + 4, "start", span[i].group);
        if (labels(span, i)) span_text(out, "label", 36, (y += SPAN) + 4, "start", span[i].label);
        svg_span(out, &span[i], &r, y += SPAN);
    }
    span_text(out, "axis", WIDTH - SPAN_RIGHT, bottom + 42, "end", x_label);
    fputs("</svg>\n", out);
}

static char mark_of(size_t i) {
    static const char marks[] = "*o+x#%@&";
    return marks[i % (sizeof marks - 1)];
}

static void text_points(const chart *c, const range *x, const range *y, char *grid, int columns,
                        int rows) {
    for (size_t i = 0; i < c->count; i++)
        for (size_t j = 0; j < c->line[i].count; j++) {
            const chart_line *l = &c->line[i];
            if (!drawable(l, j) || l->y[j] > y->high || l->y[j] < y->low) continue;
            int column = (int)((l->x[j] - x->low) / (x->high - x->low) * (columns - 1) + 0.5);
            int row = rows - 1 - (int)((l->y[j] - y->low) / (y->high - y->low) * (rows - 1) + 0.5);
            grid[row * columns + column] = mark_of(i);
        }
}

void chart_text(FILE *out, const chart *c, int columns, int rows) {
    range x = x_range(c), y = y_range(c);
    char low[40], high[40];
    columns = columns < 30 ? 20 : columns - 10;
    rows = rows < 6 ? 6 : rows;
    char *grid = malloc((size_t)columns * (size_t)rows);
    if (!grid) return;
    memset(grid, ' ', (size_t)columns * (size_t)rows);
    text_points(c, &x, &y, grid, columns, rows);
    fprintf(out, "%s\n", c->title);
    for (int r = 0; r < rows; r++) {
        bool labelled = r % 4 == 0 || r == rows - 1;
        if (labelled)
            fprintf(out, "%8.4g |", y.high - (y.high - y.low) * r / (rows - 1));
        else
            fputs("         |", out);
        fprintf(out, "%.*s\n", columns, grid + (size_t)r * (size_t)columns);
    }
    snprintf(low, sizeof low, "%.4g", x.low);
    snprintf(high, sizeof high, "%.4g", x.high);
    fprintf(out, "         +%s%*s   %s\n", low, columns - 1 - (int)strlen(low), high, c->x_label);
    for (size_t i = 0; i < c->count; i++)
        fprintf(out, "         %c %s\n", mark_of(i), c->line[i].label);
    free(grid);
}
