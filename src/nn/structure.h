// SPDX-License-Identifier: MIT
/* What structure a linear layer has, as written on the command line: 'PATTERN=STRUCTURE'.
 *
 * STRUCTURE here: dense | 2:4 | 2:4:row | 2:4:tile | 2:4:greedy ("2:4" alone means tile). PATTERN
 * is a glob (fnmatch) matched against a layer's full name
 * ("model.layers.3.mlp.up_proj") and against each of its suffixes that begin after a dot, so
 * 'mlp.*' means every MLP layer. The last matching rule wins. */
#ifndef WN_NN_STRUCTURE_H
#define WN_NN_STRUCTURE_H

#include "kernels/mask24.h"
#include "winnow/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum wn__structure_kind { WN_STRUCTURE_DENSE, WN_STRUCTURE_SPARSE24 } wn__structure_kind;

typedef struct wn__structure {
    wn__structure_kind kind;
    wn__mask24_method method; /* SPARSE24 */
    int64_t mask_every;       /* recompute the mask every N optimizer steps, >= 1 */
    int64_t freeze_after;     /* no new masks from this step on; 0: never frozen */
    double decay;             /* masked decay lambda (SR-STE), 0: off */
} wn__structure;

typedef struct wn__structure_rule {
    char *pattern;
    char *text; /* the structure as written */
    wn__structure structure;
    bool matched; /* set by wn__structure_of */
} wn__structure_rule;

typedef struct wn__structure_rules {
    wn__structure_rule *rule;
    size_t count;
} wn__structure_rules;

/* Parses "2:4:tile" with the defaults of base for the rest. INVALID names the text and lists what
 * is legal. */
WN_NODISCARD wn_status wn__structure_parse(const char *text, const wn__structure *base,
                                           wn__structure *out);
/* Parses 'PATTERN=STRUCTURE' strings. */
WN_NODISCARD wn_status wn__structure_rules_parse(const char *const *text, size_t count,
                                                 const wn__structure *base,
                                                 wn__structure_rules *out);
void wn__structure_rules_free(wn__structure_rules *rules);
/* The structure of a layer; dense when no rule matches. */
wn__structure wn__structure_of(wn__structure_rules *rules, const char *layer);
/* INVALID names the first rule that no layer matched and lists the layer names given. Call after
 * every layer was looked up. */
WN_NODISCARD wn_status wn__structure_rules_unmatched(const wn__structure_rules *rules,
                                                     const char *const *layers, size_t count);
/* "dense", "2:4 tile"; static storage. */
const char *wn__structure_name(const wn__structure *s);

#endif
