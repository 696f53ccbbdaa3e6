// SPDX-License-Identifier: MIT
// Structures as text, both ways: the grammar of structure.h and the names in tables.
#include "base/fail.h"
#include "nn/lowrank_init.h"
#include "nn/structure.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What may follow each first word.
#define LEGAL_24                                                                                   \
    "2:4[:tile|row|greedy|sste|mvue][+mvue|+mvue-approx] (2:4 is 2:4:tile), "                      \
    "2:4:tile|row with +kept"
#define LEGAL_LOWRANK "lowrank:R[+2:4[:in|out]][+mvue|+mvue-approx]"
#define LEGAL_KRON    "kron:butterfly and kron:monarch:B[xC][:R], both with +lowrank:K"
#define LEGAL_IN      "in2:4:soft|mvue[+mvue|+mvue-approx|+dense-dw]"
#define LEGAL_ACT     "act2:4[:naive|mvue|soft|soft_weights|soft_dynamic]"
#define LEGAL                                                                                      \
    "dense, " LEGAL_24 ", " LEGAL_LOWRANK " and adapter:R[:ALPHA] with R of at least 1, "          \
    "ALPHA above 0, " LEGAL_KRON ", " LEGAL_IN ", " LEGAL_ACT

static const char *const weight_methods[] = {"tile", "row", "greedy", "sste", "mvue"};
enum { METHOD_TILE, METHOD_ROW, METHOD_GREEDY, METHOD_SSTE, METHOD_MVUE };
static const char *const mvue_words[] = {"mvue", "mvue-approx"}; // from WN_MVUE_EXACT on
static const char *const factor_words[] = {"in", "out"};
static const char *const in_methods[] = {"soft", "mvue"}; // of wn__in24_method
static const char *const gradient_words[] = {"mvue", "mvue-approx", "dense-dw"};
static const char *const act_methods[] = {"naive", "mvue", "soft", "soft_weights", "soft_dynamic"};
#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

wn__structure wn__structure_defaults(void) {
    return (wn__structure){.kind = WN_STRUCTURE_DENSE,
                           .method = WN_MASK24_TILE,
                           .mask_every = 1,
                           .init = "xavier",
                           .backward = WN_ACT24_SPLIT,
                           .act_warmup = 1000,
                           .act_dense = 0.05,
                           .act_every = 10,
                           .act_samples = 100};
}

static wn_status check_base(const wn__structure *base) {
    if (base->mask_every < 1)
        return wn__fail(WN_INVALID, "masks every %lld steps: at least 1",
                        (long long)base->mask_every);
    if (base->freeze_after < 0)
        return wn__fail(WN_INVALID, "masks frozen after step %lld: at least 0 (0: never)",
                        (long long)base->freeze_after);
    if (base->dense_after < 0)
        return wn__fail(WN_INVALID, "dense weights from update %lld on: at least 0 (0: never)",
                        (long long)base->dense_after);
    if (!(base->decay >= 0)) // also a NaN
        return wn__fail(WN_INVALID, "masked decay %g: at least 0", base->decay);
    return WN_OK;
}

static wn_status check_act(const wn__structure *s) {
    if (s->act_warmup < 0)
        return wn__fail(WN_INVALID, "%lld dense updates before 2:4 activations: at least 0",
                        (long long)s->act_warmup);
    if (!(s->act_dense >= 0 && s->act_dense <= 1))
        return wn__fail(WN_INVALID, "a share of %g of the features dense along tokens: 0 to 1",
                        s->act_dense);
    bool dynamic = s->act == WN_ACT24_SOFT_DYNAMIC;
    if (dynamic && (s->act_every < 1 || s->act_samples < 1))
        return wn__fail(WN_INVALID, "a scale every %lld updates from %lld rows: at least 1 each",
                        (long long)s->act_every, (long long)s->act_samples);
    return WN_OK;
}

// ---- reading; *p stays where something is not understood ----

// The word, if it ends there: at the end of the text, or before ':' or '+'.
static bool take(const char **p, const char *word) {
    size_t n = strlen(word);
    if (strncmp(*p, word, n) != 0 || strchr(":+", (*p)[n]) == NULL) return false; // '\0' is found
    *p += n;
    return true;
}

// After a ':', or a '+', one of the words; -1: none of them.
static int choose(const char **p, char before, const char *const *words, int count) {
    if (**p != before) return -1;
    const char *from = *p + 1;
    for (int i = 0; i < count; i++) {
        if (!take(&from, words[i])) continue;
        *p = from;
        return i;
    }
    return -1;
}

static bool read_rank(const char **p, int64_t *rank) {
    if (**p != ':' || (*p)[1] < '0' || (*p)[1] > '9') return false;
    char *end;
    long long value = strtoll(*p + 1, &end, 10);
    if (value < 1 || value > INT32_MAX || strchr(":+", *end) == NULL) return false;
    *rank = value;
    *p = end;
    return true;
}

static bool read_alpha(const char **p, double *alpha) {
    if ((*p)[1] == '\0' || strchr("+-.0123456789", (*p)[1]) == NULL) return false;
    char *end;
    double value = strtod(*p + 1, &end);
    if (!isfinite(value) || value <= 0 || *end != '\0') return false;
    *alpha = value;
    *p = end;
    return true;
}

// "+2:4[:in|out]", "+mvue", "+mvue-approx", "+kept", each at most once, in any order.
static bool read_options(const char **p, bool factors, bool pruned, wn__structure *s) {
    bool sparse = !factors,
         freezes = s->kind == WN_STRUCTURE_SPARSE24 && s->method != WN_MASK24_GREEDY;
    while (**p == '+') {
        const char *from = *p + 1;
        int mvue = pruned ? -1 : choose(p, '+', mvue_words, COUNT(mvue_words));
        if (mvue >= 0) {
            s->mvue = (wn__mvue)(WN_MVUE_EXACT + mvue);
            pruned = true;
        } else if (!sparse && take(&from, "2:4")) {
            int one = choose(&from, ':', factor_words, COUNT(factor_words));
            s->sparse_in = one != 1;
            s->sparse_out = one != 0;
            *p = from;
            sparse = true;
        } else if (freezes && !s->kept && take(&from, "kept")) {
            s->kept = true;
            *p = from;
        } else {
            return false;
        }
    }
    return **p == '\0';
}

static bool read_dense(const char **p, wn__structure *s) {
    s->kind = WN_STRUCTURE_DENSE;
    s->mvue = WN_MVUE_OFF;
    return **p == '\0';
}

static bool read_weight24(const char **p, wn__structure *s) {
    int method = METHOD_TILE;
    if (**p == ':') method = choose(p, ':', weight_methods, COUNT(weight_methods));
    if (method < 0) return false;
    s->kind = method == METHOD_SSTE ? WN_STRUCTURE_SSTE : WN_STRUCTURE_SPARSE24;
    s->method = method == METHOD_ROW || method == METHOD_SSTE ? WN_MASK24_ROW
                : method == METHOD_GREEDY                     ? WN_MASK24_GREEDY
                                                              : WN_MASK24_TILE;
    if (method == METHOD_MVUE) s->mvue = WN_MVUE_EXACT;
    return read_options(p, false, method == METHOD_MVUE, s);
}

static bool read_lowrank(const char **p, wn__structure *s) {
    s->kind = WN_STRUCTURE_LOWRANK;
    s->method = WN_MASK24_ROW;
    s->sparse_in = s->sparse_out = false;
    return read_rank(p, &s->rank) && read_options(p, true, false, s);
}

static bool read_adapter(const char **p, wn__structure *s) {
    s->kind = WN_STRUCTURE_ADAPTER;
    s->sparse_in = s->sparse_out = false;
    s->mvue = WN_MVUE_OFF;
    if (!read_rank(p, &s->rank)) return false;
    s->alpha = (double)s->rank;
    return **p == '\0' || (**p == ':' && read_alpha(p, &s->alpha));
}

static bool read_in24(const char **p, wn__structure *s) {
    static const wn__mvue mvue[] = {WN_MVUE_EXACT, WN_MVUE_APPROX, WN_MVUE_OFF};
    int method = choose(p, ':', in_methods, COUNT(in_methods));
    if (method < 0) return false;
    int gradient = choose(p, '+', gradient_words, COUNT(gradient_words));
    s->kind = WN_STRUCTURE_IN24;
    s->in24 = (wn__in24_method)(WN_IN24_SOFT + method);
    s->mvue = mvue[gradient > 0 ? gradient : 0];
    return **p == '\0';
}

// A number from 1 on.
static bool read_count(const char **p, int64_t *out) {
    if (**p < '1' || **p > '9') return false;
    char *end;
    long long value = strtoll(*p, &end, 10);
    if (value > INT32_MAX) return false;
    *out = value;
    *p = end;
    return true;
}

// "+lowrank:K", the head beside a chain.
static bool read_head(const char **p, int64_t *rank) {
    const char *from = *p + 1;
    *rank = 0;
    if (**p == '\0') return true;
    if (**p != '+' || !take(&from, "lowrank")) return false;
    *p = from;
    return read_rank(p, rank) && **p == '\0';
}

static bool read_kron(const char **p, wn__structure *s) {
    static const char *const words[] = {"butterfly", "monarch"};
    int which = choose(p, ':', words, COUNT(words));
    s->kind = WN_STRUCTURE_KRON;
    s->mvue = WN_MVUE_OFF;
    s->rank = 1;
    s->kron_b = s->kron_c = 0;
    if (which < 1) return which == 0 && read_head(p, &s->kron_head);
    if (**p != ':') return false;
    ++*p;
    if (!read_count(p, &s->kron_b)) return false;
    s->kron_c = s->kron_b;
    if (**p == 'x' && (++*p, !read_count(p, &s->kron_c))) return false;
    if (**p == ':' && !read_rank(p, &s->rank)) return false;
    return read_head(p, &s->kron_head);
}

static bool read_act24(const char **p, wn__structure *s) {
    int method = 0;
    if (**p == ':') method = choose(p, ':', act_methods, COUNT(act_methods));
    if (method < 0 || **p != '\0') return false;
    s->kind = WN_STRUCTURE_ACT24;
    s->mvue = WN_MVUE_OFF;
    s->act = (wn__act24_method)(WN_ACT24_NAIVE + method);
    return true;
}

static const struct {
    const char *word;
    bool (*read)(const char **p, wn__structure *s);
    const char *legal;
} heads[] = {{"dense", read_dense, "dense"},
             {"2:4", read_weight24, LEGAL_24},
             {"lowrank", read_lowrank, LEGAL_LOWRANK " with R of at least 1"},
             {"adapter", read_adapter, "adapter:R[:ALPHA] with R of at least 1, ALPHA above 0"},
             {"in2:4", read_in24, LEGAL_IN},
             {"act2:4", read_act24, LEGAL_ACT},
             {"kron", read_kron, LEGAL_KRON}};

static wn_status refuse(const char *text, const char *at, const char *legal) {
    if (at == text)
        return wn__fail(WN_INVALID, "structure '%s' is unknown; legal: %s", text, legal);
    if (*at == '\0')
        return wn__fail(WN_INVALID, "structure '%s' ends too early; legal: %s", text, legal);
    return wn__fail(WN_INVALID, "structure '%s' is unknown from '%s' on; legal: %s", text, at,
                    legal);
}

static wn_status check_parsed(const wn__structure *s) {
    wn__lowrank_init unused;
    if (s->kind == WN_STRUCTURE_ACT24) return check_act(s);
    if (s->kind == WN_STRUCTURE_LOWRANK || s->kind == WN_STRUCTURE_ADAPTER)
        return wn__lowrank_init_parse(s->init, &unused);
    return WN_OK;
}

wn_status wn__structure_parse(const char *text, const wn__structure *base, wn__structure *out) {
    WN_TRY(check_base(base));
    const char *p = text;
    wn__structure s = *base;
    for (int i = 0; i < COUNT(heads); i++) {
        if (!take(&p, heads[i].word)) continue;
        if (!heads[i].read(&p, &s)) return refuse(text, p, heads[i].legal);
        WN_TRY(check_parsed(&s));
        *out = s;
        return WN_OK;
    }
    return refuse(text, p, LEGAL);
}

// ---- names ----

static const char *mvue_name(const wn__structure *s) {
    static const char *const names[] = {"", " + mvue", " + mvue-approx"};
    return names[s->mvue];
}

static const char *weight_method(const wn__structure *s) {
    static const char *const names[] = {"row", "tile", "greedy"}; // of wn__mask24_method
    return s->kind == WN_STRUCTURE_SSTE ? "sste" : names[s->method];
}

static const char *sparse_factors(const wn__structure *s) {
    if (s->sparse_in && s->sparse_out) return " + 2:4";
    return s->sparse_in ? " + 2:4 in" : s->sparse_out ? " + 2:4 out" : "";
}

static void kron_name(const wn__structure *s, char *out, size_t n) {
    char head[32] = "";
    if (s->kron_head > 0)
        (void)snprintf(head, sizeof head, " + lowrank %lld", (long long)s->kron_head);
    if (s->kron_b == 0)
        (void)snprintf(out, n, "kron butterfly%s", head);
    else
        (void)snprintf(out, n, "kron monarch %lldx%lld rank %lld%s", (long long)s->kron_b,
                       (long long)s->kron_c, (long long)s->rank, head);
}

const char *wn__structure_name(const wn__structure *s, char *out, size_t n) {
    switch (s->kind) {
    case WN_STRUCTURE_SPARSE24:
    case WN_STRUCTURE_SSTE:
        (void)snprintf(out, n, "2:4 %s%s%s", weight_method(s), mvue_name(s),
                       s->kept ? " + kept" : "");
        break;
    case WN_STRUCTURE_LOWRANK:
        (void)snprintf(out, n, "lowrank %lld%s%s", (long long)s->rank, sparse_factors(s),
                       mvue_name(s));
        break;
    case WN_STRUCTURE_ADAPTER:
        (void)snprintf(out, n, "adapter %lld", (long long)s->rank);
        if (s->alpha != (double)s->rank)
            (void)snprintf(out, n, "adapter %lld, alpha %g", (long long)s->rank, s->alpha);
        break;
    case WN_STRUCTURE_IN24:
        (void)snprintf(out, n, "in 2:4 %s%s", in_methods[s->in24], mvue_name(s));
        break;
    case WN_STRUCTURE_KRON:
        kron_name(s, out, n);
        break;
    case WN_STRUCTURE_ACT24:
        (void)snprintf(out, n, "act 2:4 %s", act_methods[s->act]);
        break;
    case WN_STRUCTURE_DENSE:
        (void)snprintf(out, n, "dense");
        break;
    }
    return out;
}

const char *wn__structure_method(const wn__structure *s) {
    if (s->kind == WN_STRUCTURE_ACT24) return act_methods[s->act];
    return s->kind == WN_STRUCTURE_IN24 ? in_methods[s->in24] : NULL;
}
