// SPDX-License-Identifier: MIT
// What winnow inspect says of files of torch.save and of chains in them: tensors with any strides,
// patterns, layout, ratio; what does not fit together is refused by name.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/safetensors.h"
#include "infer/chain_file.h"
#include "infer/session.h"
#include "unit/base/scratch.h"
#include "unit/base/status.h"
#include <math.h>
#include <stdlib.h>

#define PTH WN_FIXTURES "/formats/pth/"

typedef struct seen {
    int count;
    char name[128], shape[64];
    double mean;
} seen;

static void see(void *ctx, const wn_tensor_report *t) {
    seen *s = ctx;
    s->count++;
    s->mean = t->mean;
    (void)snprintf(s->name, sizeof s->name, "%s %s", t->name, t->dtype);
    (void)snprintf(s->shape, sizeof s->shape, "%d: %lld", t->ndim, (long long)t->shape[0]);
}

static void has(const char *text, const char *words) {
    if (strstr(text, words) == NULL) fail_msg("'%s' is not in: %s", words, text);
}

// Views are looked at as they are meant, and a file without a chain has no text.
static void any_file(void **state) {
    (void)state;
    seen s = {0};
    char *text;
    wn__pth p;
    OK(wn_inspect(PTH "transposed.pth", true, see, &s, &text));
    assert_null(text);
    OK(wn__pth_open(PTH "transposed.pth", &p));
    assert_int_equal(s.count, p.count);
    const wn_tensor *view = &p.entry[p.count - 1].view;
    assert_int_equal(atoi(strchr(s.shape, ' ')), view->shape[0]);
    double sum = 0;
    float *copy = malloc(wn__tensor_bytes(view));
    wn__pth_copy(view, copy);
    for (int64_t i = 0; i < wn__tensor_count(view); i++)
        sum += (double)copy[i];
    assert_true(fabs(s.mean - sum / (double)wn__tensor_count(view)) < 1e-12);
    free(copy);
    wn__pth_close(&p);
    s = (seen){0};
    OK(wn_inspect(PTH "bare_legacy.pth", false, see, &s, NULL));
    has(s.name, "(bare tensor) F32");
    static const char *const hostile[][2] = {{"no_system.pth", "posix.system"},
                                             {"no_whole_module.pth", "a pickled module"},
                                             {"no_room.pth", "beyond its storage"},
                                             {"no_pickle.pth", "neither a zip archive"}};
    for (int i = 0; i < 4; i++) {
        char path[512];
        (void)snprintf(path, sizeof path, "%s%s", PTH, hostile[i][0]);
        assert_int_not_equal(wn_inspect(path, true, see, &s, &text), WN_OK);
        has(wn_last_error(), hostile[i][1]);
        has(wn_last_error(), hostile[i][0]);
        assert_null(text);
    }
}

// A checkpoint of the original, which has no tag.
static void original(void **state) {
    (void)state;
    seen s = {0};
    char *text;
    OK(wn_inspect(PTH "chain.pth", false, see, &s, &text));
    has(text,
        "chain of 3 factors for 8 x 8: 48 of 64 parameters, 1.33 times smaller, 25.00 % saved");
    has(text, "\n96 FLOPs for a vector, 128 of the dense matrix\n");
    has(text, "layout groups-cb (no tag: as the original stores it)");
    has(text, " 0  (4,2,2,1)");
    has(text, " 2  (1,2,2,4)");
    has(text, "validation loss 1.25");
    free(text);
}

// ---- checkpoints that say one thing and hold another

enum {
    NOTHING,
    ZERO,
    NEGATIVE,
    THREE,
    REAL,
    UNCHAINED,
    TAG,
    TAG_LAYOUT,
    TAG_PATTERN,
    TAG_LONG,
    MISSING,
    ROWS,
    WHOLE,
    INTEGERS,
    MANY,
    HEAD,
    HEAD_SHAPE,
    HEAD_HALF
};

static void put_patterns(wn__pth_writer *w, int what) {
    static const int64_t number[2][4] = {{2, 3, 2, 1}, {1, 2, 3, 2}};
    wn__pth_put_text(w, "patterns");
    if (what == WHOLE) {
        wn__pth_put_int(w, 4);
        return;
    }
    wn__pth_begin(w, WN__PICKLE_LIST);
    for (int t = 0; t < (what == MANY ? WN__KRON_MAX + 1 : 2); t++) {
        wn__pth_begin(w, WN__PICKLE_TUPLE);
        for (int i = 0; i < (what == THREE && t == 1 ? 3 : 4); i++) {
            int64_t n = number[t % 2][i];
            bool here = t == 1 && i == 2;
            if (here && what == ZERO) n = 0;
            if (here && what == NEGATIVE) n = -3;
            if (here && what == UNCHAINED) n = 6;
            if (here && what == REAL)
                wn__pth_put_real(w, 3);
            else
                wn__pth_put_int(w, n);
        }
        wn__pth_end(w);
    }
    wn__pth_end(w);
}

static void put_tag(wn__pth_writer *w, int what) {
    char text[4097] = "kron 1 rightmost-first groups-cb (2,3,2,1) (1,2,3,2)";
    if (what < TAG || what > TAG_LONG) return;
    size_t used = strlen(text);
    if (what == TAG_LONG) memset(text + used, ' ', sizeof text - 1 - used);
    wn__pth_put_text(w, "winnow");
    wn__pth_begin(w, WN__PICKLE_DICT);
    wn__pth_put_text(w, "chain");
    wn__pth_put_text(w,
                     what == TAG           ? "kron 1 leftmost-first groups-cb (2,3,2,1) (1,2,3,2)"
                     : what == TAG_LAYOUT  ? "kron 1 rightmost-first groups-bc (2,3,2,1) (1,2,3,2)"
                     : what == TAG_PATTERN ? "kron 1 rightmost-first groups-cb (2,3,2,1) (1,3,3,2)"
                                           : text);
    wn__pth_end(w);
}

static void put_head(wn__pth_writer *w, int what) {
    static float number[12];
    const wn_tensor v = wn__tensor2(number, WN_DTYPE_F32, 2, 4);
    const wn_tensor u = wn__tensor2(number, WN_DTYPE_F32, 4, what == HEAD_SHAPE ? 3 : 2);
    if (what < HEAD) return;
    wn__pth_put_text(w, "head");
    wn__pth_begin(w, WN__PICKLE_DICT);
    wn__pth_put_text(w, "in");
    wn__pth_put_tensor(w, &v);
    if (what != HEAD_HALF) {
        wn__pth_put_text(w, "out");
        wn__pth_put_tensor(w, &u);
    }
    wn__pth_end(w);
}

// [a d, c, b] of (2,3,2,1) and (1,2,3,2).
static const char *write_chain(void **state, int what) {
    static float number[12];
    static int64_t whole[12];
    const char *path = scratch_path(state, "chain.pth");
    wn__pth_writer *w;
    OK(wn__pth_create(path, &w));
    wn__pth_begin(w, WN__PICKLE_DICT);
    put_patterns(w, what);
    put_tag(w, what);
    put_head(w, what);
    wn__pth_put_text(w, "model_state_dict");
    wn__pth_begin_ordered(w);
    for (int t = 0; t < (what == MISSING ? 1 : 2); t++) {
        const int64_t columns[2][3] = {{2, 2, 3}, {2, 3, 2}}, rows[3] = {2, 2, 3};
        wn_tensor view =
            wn__tensor(number, WN_DTYPE_F32, 3, what == ROWS && t == 1 ? rows : columns[t]);
        if (what == INTEGERS && t == 1) view = wn__tensor(whole, WN_DTYPE_I64, 3, columns[t]);
        wn__pth_put_text(w, t == 0 ? "weights.0" : "weights.1");
        wn__pth_put_tensor(w, &view);
    }
    wn__pth_end(w);
    wn__pth_end(w);
    OK(wn__pth_commit(w));
    return path;
}

static void refused(void **state) {
    static const struct {
        int what;
        const char *words;
    } cases[] = {{ZERO, "patterns.1.2 is below 1"},
                 {NEGATIVE, "patterns.1.2 is below 1"},
                 {MANY, "patterns has 65 factors, 1 to 64 expected"},
                 {UNCHAINED, "patterns: factor 1, (1,2,6,2), takes 12 numbers"},
                 {TAG, "winnow.chain: a chain begins with"},
                 {TAG_LAYOUT, "'model_state_dict.weights.0' is"},
                 {TAG_PATTERN, "factor 1 is (1,3,3,2) in winnow.chain, (1,2,3,2) in patterns"},
                 {TAG_LONG, "winnow.chain is a string, a line of text below 4096 bytes expected"},
                 {MISSING, "'model_state_dict.weights.1' is missing"},
                 {ROWS, "the layout groups-cb has"},
                 {INTEGERS, "'model_state_dict.weights.1' is"},
                 {HEAD_SHAPE, "'head.out' is"},
                 {HEAD_HALF, "'head.out' is missing"}};
    seen s;
    char *text;
    OK(wn_inspect(write_chain(state, NOTHING), true, see, &s, &text));
    has(text,
        "chain of 2 factors for 4 x 4: 24 of 16 parameters, 0.67 times smaller, -50.00 % saved");
    free(text);
    OK(wn_inspect(write_chain(state, HEAD), true, see, &s, &text));
    has(text, "chain of 2 factors for 4 x 4: 40 of 16 parameters");
    has(text, "and a head of rank 2, head.out times head.in, beside it");
    free(text);
    static const int others[] = {REAL, THREE, WHOLE}; // fields of that name, of something else
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        s.count = 0;
        OK(wn_inspect(write_chain(state, others[i]), true, see, &s, &text));
        assert_null(text);
        assert_int_equal(s.count, 2);
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *path = write_chain(state, cases[i].what);
        assert_int_equal(wn_inspect(path, true, see, &s, &text), WN_FORMAT);
        has(wn_last_error(), cases[i].words);
        has(wn_last_error(), "chain.pth: ");
        assert_null(text);
    }
}

// The tag of a layer in the metadata of a safetensors file: (2,3,2,1)(1,2,3,2), and a head.
static void tags(void **state) {
    static float number[16];
    static const struct {
        const char *tag;
        int64_t rows, head; // of factor_1, of head_out
        const char *words;
    } cases[] = {{"kron 1 rightmost-first groups-cb (2,3,2,1) (1,2,3,2)", 6, 4, NULL},
                 {"kron 1 rightmost-first groups-bc (2,3,2,1) (1,2,3,2)", 6, 4, "layout groups-bc"},
                 {"kron 1 rightmost-first groups-cb (2,3,2,1) (1,2,6,2)", 6, 4, "takes 12 numbers"},
                 {"kron 2", 6, 4, "a chain begins with"},
                 {"kron 1 rightmost-first groups-cb (2,3,2,1) (1,2,3,2)", 3, 4, "'l.factor_1' is"},
                 {"kron 1 rightmost-first groups-cb (2,3,2,1) (1,2,3,2)", 6, 3, "'l.head_out' is"},
                 {"kron 1 rightmost-first groups-cb (2,3,2,1) (1,2,3,2) (1,1,4,1)", 6, 4,
                  "'l.factor_2' is missing"}};
    const char *path = scratch_path(state, "chain.safetensors");
    char *text, key[] = "kron:l";
    seen s;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char value[96];
        const wn__st_meta meta = {key, value};
        const wn__st_item items[] = {
            {.name = "l.factor_0", .view = wn__tensor2(number, WN_DTYPE_F32, 4, 3)},
            {.name = "l.factor_1", .view = wn__tensor2(number, WN_DTYPE_F32, cases[i].rows, 2)},
            {.name = "l.head_in", .view = wn__tensor2(number, WN_DTYPE_F32, 1, 4)},
            {.name = "l.head_out", .view = wn__tensor2(number, WN_DTYPE_F32, cases[i].head, 1)}};
        (void)snprintf(value, sizeof value, "%s", cases[i].tag);
        OK(wn__safetensors_write(path, items, 4, &meta, 1, NULL, NULL));
        wn_status status = wn_inspect(path, true, see, &s, &text);
        if (cases[i].words == NULL) {
            OK(status);
            has(text, "1 layer is a chain, patterns (a,b,c,d) rightmost first, layout groups-cb");
            has(text, "4 x 4 lowrank:1 + (2,3,2,1) (1,2,3,2): 32 of 16 parameters");
            free(text);
            continue;
        }
        assert_int_equal(status, WN_FORMAT);
        has(wn_last_error(), cases[i].words);
        has(wn_last_error(), "chain.safetensors: ");
        assert_null(text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_file), cmocka_unit_test(original),
        cmocka_unit_test_setup_teardown(refused, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(tags, scratch_setup, scratch_teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
