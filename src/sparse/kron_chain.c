// SPDX-License-Identifier: MIT
// Chains of Kronecker-sparse factors: how they are made, counted and written down.
#include "base/fail.h"
#include "base/log.h"
#include "sparse/kron.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

wn_status wn__kron_chain_check(const wn__kron_chain *c) {
    char l[WN__KRON_PATTERN_TEXT], r[WN__KRON_PATTERN_TEXT];
    if (c->count < 1 || c->count > WN__KRON_MAX)
        return wn__fail(WN_INVALID, "a chain of %d factors, 1 to %d expected", c->count,
                        WN__KRON_MAX);
    for (int t = 0; t < c->count; t++)
        WN_TRY(wn__kron_check(&c->factor[t]));
    for (int t = 1; t < c->count; t++)
        if (wn__kron_columns(&c->factor[t]) != wn__kron_rows(&c->factor[t - 1]))
            return wn__fail(WN_INVALID,
                            "factor %d, %s, takes %lld numbers, but factor %d, %s, gives %lld", t,
                            wn__kron_text(&c->factor[t], l, sizeof l),
                            (long long)wn__kron_columns(&c->factor[t]), t - 1,
                            wn__kron_text(&c->factor[t - 1], r, sizeof r),
                            (long long)wn__kron_rows(&c->factor[t - 1]));
    return WN_OK;
}

wn_status wn__kron_chain_product(const wn__kron_chain *c, wn__kron *out) {
    WN_TRY(wn__kron_chain_check(c));
    wn__kron all = c->factor[0];
    for (int t = 1; t < c->count; t++) {
        wn__kron pair;
        WN_TRY(wn__kron_product(&c->factor[t], &c->factor[t - 1], &pair, NULL));
        WN_TRY(wn__kron_product(&c->factor[t], &all, &all, NULL));
    }
    *out = all;
    return WN_OK;
}

int wn__kron_chain_redundant(const wn__kron_chain *c) {
    for (int t = 1; t < c->count; t++)
        if (wn__kron_redundant(&c->factor[t], &c->factor[t - 1])) return t - 1;
    return -1;
}

static void push(wn__kron_chain *chain, int64_t a, int64_t b, int64_t c, int64_t d) {
    chain->factor[chain->count++] = (wn__kron){a, b, c, d};
}

static bool power_of_two(int64_t n) {
    return n > 0 && (n & (n - 1)) == 0;
}

// The power of two from n on, at most 2^53.
static int64_t round_up(int64_t n) {
    int64_t p = 1;
    while (p < n && p < (int64_t)1 << 53)
        p *= 2;
    return p;
}

static void push_butterfly(wn__kron_chain *chain, int64_t n) {
    for (int64_t a = n / 2; a >= 1; a /= 2)
        push(chain, a, 2, 2, n / 2 / a);
}

wn_status wn__kron_chain_butterfly(int64_t n, wn__kron_chain *out) {
    *out = (wn__kron_chain){0};
    if (n < 2 || !power_of_two(n))
        return wn__fail(WN_INVALID,
                        "a butterfly has a size that is a power of two, not %lld (%lld)",
                        (long long)n, (long long)(n < 2 ? 2 : round_up(n)));
    wn__kron_chain c = {.count = 0};
    push_butterfly(&c, n);
    WN_TRY(wn__kron_chain_check(&c));
    *out = c;
    return WN_OK;
}

// The original's chain of the power of two p.
static void build_legacy(int64_t out_features, int64_t in_features, int64_t rank, int64_t p,
                         wn__kron_chain *c) {
    *c = (wn__kron_chain){.count = 0};
    if (in_features != p) {
        push(c, 1, rank, in_features, 1);
        push(c, 1, p, rank, 1);
    }
    push_butterfly(c, p);
    if (out_features != p) {
        push(c, 1, rank, p, 1);
        push(c, 1, out_features, rank, 1);
    }
}

wn_status wn__kron_chain_legacy(int64_t out_features, int64_t in_features, int64_t rank,
                                wn__kron_chain *out) {
    *out = (wn__kron_chain){0};
    if (out_features < 1 || in_features < 1)
        return wn__fail(WN_INVALID, "no chain has %lld outputs and %lld inputs: at least 1 each",
                        (long long)out_features, (long long)in_features);
    if (rank < 1) return wn__fail(WN_INVALID, "rank %lld: at least 1 expected", (long long)rank);
    int64_t most = out_features > in_features ? out_features : in_features, p = round_up(most);
    if (most == 1)
        return wn__fail(WN_INVALID, "1 x 1 has no butterfly: a power of two from 2 on expected");
    if (p > most)
        wn__log(WN_LOG_WARN,
                "neither %lld outputs nor %lld inputs is a power of two that holds both: the "
                "butterfly is of %lld, behind bottlenecks of rank %lld",
                (long long)out_features, (long long)in_features, (long long)p, (long long)rank);
    wn__kron_chain c;
    build_legacy(out_features, in_features, rank, p, &c);
    WN_TRY(wn__kron_chain_check(&c));
    *out = c;
    return WN_OK;
}

int64_t wn__kron_chain_legacy_rank(const wn__kron_chain *c) {
    if (c->count < 3) return 0; // two of a bottleneck, one of a butterfly
    int64_t out = wn__kron_chain_rows(c), in = wn__kron_chain_columns(c);
    int64_t p = round_up(out > in ? out : in);
    if (in == p && out == p) return 0;
    int64_t rank = in != p ? c->factor[0].b : c->factor[c->count - 1].c;
    wn__kron_chain same;
    build_legacy(out, in, rank, p, &same);
    if (same.count != c->count) return 0;
    for (int t = 0; t < c->count; t++)
        if (!wn__kron_same(&same.factor[t], &c->factor[t])) return 0;
    return rank;
}

int64_t wn__kron_divisor(int64_t n, int64_t wanted) {
    int64_t best = 1;
    for (int64_t small = 1; small <= n / small; small++) {
        if (n % small != 0) continue;
        const int64_t both[2] = {small, n / small};
        for (int i = 0; i < 2; i++) {
            int64_t away = llabs(both[i] - wanted), least = llabs(best - wanted);
            if (away < least || (away == least && both[i] > best)) best = both[i];
        }
    }
    return best;
}

static wn_status check_block(const char *what, int64_t size, int64_t block) {
    if (block >= 1 && size % block == 0) return WN_OK;
    return wn__fail(WN_INVALID, "blocks of %lld do not divide %lld %s; the nearest that do: %lld",
                    (long long)block, (long long)size, what,
                    (long long)wn__kron_divisor(size, block));
}

wn_status wn__kron_chain_monarch(int64_t out_features, int64_t in_features, int64_t b, int64_t c,
                                 int64_t r, wn__kron_chain *out) {
    *out = (wn__kron_chain){0};
    if (out_features < 1 || in_features < 1)
        return wn__fail(WN_INVALID, "no chain has %lld outputs and %lld inputs: at least 1 each",
                        (long long)out_features, (long long)in_features);
    WN_TRY(check_block("outputs", out_features, b));
    WN_TRY(check_block("inputs", in_features, c));
    int64_t full = b < c ? b : c;
    if (r < 1 || r > full)
        return wn__fail(WN_INVALID, "blocks of %lld by %lld have a rank from 1 to %lld, not %lld",
                        (long long)b, (long long)c, (long long)full, (long long)r);
    wn__kron_chain chain = {.count = 0};
    push(&chain, in_features / c, out_features / b * r, c, 1);
    push(&chain, 1, b, in_features / c * r, out_features / b);
    WN_TRY(wn__kron_chain_check(&chain));
    *out = chain;
    return WN_OK;
}

wn_status wn__kron_chain_merged(const wn__kron_chain *c, int64_t radix, wn__kron_chain *out,
                                int *first) {
    WN_TRY(wn__kron_chain_check(c));
    wn__kron_chain merged = {.count = 0};
    for (int t = 0; t < c->count;) {
        wn__kron all = c->factor[t], next;
        if (first != NULL) first[merged.count] = t;
        while (++t < c->count && wn__kron_product(&c->factor[t], &all, &next, NULL) == WN_OK &&
               next.b <= radix && next.c <= radix)
            all = next;
        merged.factor[merged.count++] = all;
    }
    if (first != NULL) first[merged.count] = c->count;
    *out = merged;
    return WN_OK;
}

wn_status wn__kron_chain_counts(const wn__kron_chain *c, int64_t head, wn__kron_counts *out) {
    *out = (wn__kron_counts){0};
    WN_TRY(wn__kron_chain_check(c));
    int64_t rows = wn__kron_chain_rows(c), columns = wn__kron_chain_columns(c);
    const wn__kron dense = {1, rows, columns, 1};
    WN_TRY(wn__kron_check(&dense));
    if (head < 0 || head > (rows < columns ? rows : columns))
        return wn__fail(WN_INVALID, "a head of %lld by %lld has a rank from 0 to %lld, not %lld",
                        (long long)rows, (long long)columns,
                        (long long)(rows < columns ? rows : columns), (long long)head);
    int64_t params = head * (rows + columns);
    for (int t = 0; t < c->count; t++)
        params += wn__kron_params(&c->factor[t]);
    *out = (wn__kron_counts){.dense = rows * columns,
                             .params = params,
                             .flops = 2.0 * (double)params,
                             .ratio = (double)(rows * columns) / (double)params,
                             .saved = 1 - (double)params / (double)(rows * columns)};
    return WN_OK;
}

#define HEADING "kron 1 rightmost-first "

wn_status wn__kron_chain_format(const wn__kron_chain *c, wn__kron_layout layout, char **out) {
    *out = NULL;
    WN_TRY(wn__kron_chain_check(c));
    size_t room = 64 + (size_t)c->count * WN__KRON_PATTERN_TEXT;
    char *text = malloc(room), pattern[WN__KRON_PATTERN_TEXT];
    if (text == NULL) return wn__fail(WN_NOMEM, "out of memory for %zu bytes of text", room);
    int at = snprintf(text, room, HEADING "%s", wn__kron_layout_name(layout));
    for (int t = 0; t < c->count; t++)
        at += snprintf(text + at, room - (size_t)at, " %s",
                       wn__kron_text(&c->factor[t], pattern, sizeof pattern));
    *out = text;
    return WN_OK;
}

// A number of 1 to 16 digits that does not begin with 0.
static bool read_number(const char **at, int64_t *out) {
    int64_t value = 0;
    int digits = 0;
    for (; **at >= '0' && **at <= '9' && digits < 16; (*at)++, digits++)
        value = 10 * value + (**at - '0');
    *out = value;
    return digits > 0 && value > 0 && (*at)[-digits] != '0';
}

// " (a,b,c,d)".
static bool read_pattern(const char **at, wn__kron *out) {
    int64_t *number[4] = {&out->a, &out->b, &out->c, &out->d};
    const char *p = *at;
    if (strncmp(p, " (", 2) != 0) return false;
    p += 2;
    for (int i = 0; i < 4; i++)
        if (!read_number(&p, number[i]) || *p++ != (i < 3 ? ',' : ')')) return false;
    *at = p;
    return true;
}

wn_status wn__kron_chain_parse(const char *text, wn__kron_chain *out, wn__kron_layout *layout) {
    *out = (wn__kron_chain){0};
    size_t heading = sizeof HEADING - 1;
    if (strncmp(text, HEADING, heading) != 0)
        return wn__fail(WN_INVALID, "a chain begins with '" HEADING "', not '%.40s'", text);
    const char *at = text + heading;
    size_t n = strcspn(at, " ");
    wn__kron_layout found;
    WN_TRY(wn__kron_layout_parse(at, n, &found));
    wn__kron_chain c = {.count = 0};
    for (at += n; *at != 0; c.count++) {
        if (c.count == WN__KRON_MAX)
            return wn__fail(WN_INVALID, "a chain has at most %d factors", WN__KRON_MAX);
        if (!read_pattern(&at, &c.factor[c.count]))
            return wn__fail(WN_INVALID, "factor %d of a chain: ' (a,b,c,d)' expected, not '%.40s'",
                            c.count, at);
    }
    WN_TRY(wn__kron_chain_check(&c));
    *out = c;
    *layout = found;
    return WN_OK;
}
