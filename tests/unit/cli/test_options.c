// SPDX-License-Identifier: MIT
/* The option parser: spellings, types, ranges, suggestions, configuration files, JSON; and the
 * charts' ranges by what they draw. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chart.h"
#include "options.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static char error[600];

#define PARSE(o, ...) parse(o, (const char *const[]){"winnow", __VA_ARGS__, NULL})
static bool parse(options *o, const char *const *argv) {
    int argc = 0;
    while (argv[argc])
        argc++;
    error[0] = '\0';
    return options_parse(o, argc, argv, error, sizeof error);
}

static void test_spellings(void **state) {
    (void)state;
    options o;
    assert_true(PARSE(&o, "train", "--batch_size", "4", "--seq-len=64", "-n", "2k", "--sparse",
                      "True", "--no-shuffle", "--tie-embeddings", "False", "-s9"));
    assert_int_equal(opt_int(&o, O_batch_size), 4);
    assert_int_equal(opt_int(&o, O_seq_len), 64);
    assert_int_equal(opt_int(&o, O_steps), 2000);
    assert_int_equal(opt_int(&o, O_seed), 9);
    assert_true(opt_flag(&o, O_sparse));
    assert_false(opt_flag(&o, O_shuffle));
    assert_false(opt_flag(&o, O_tie_embeddings));
    options_free(&o);
}

static void test_bare_flag_leaves_the_next_word(void **state) {
    (void)state;
    options o;
    assert_true(PARSE(&o, "generate", "--ignore-eos", "model", "--cache=False"));
    assert_true(opt_flag(&o, O_ignore_eos));
    assert_false(opt_flag(&o, O_cache));
    assert_int_equal(o.arguments, 1);
    assert_string_equal(o.argument[0], "model");
    options_free(&o);
}

static void test_lists_keep_their_order(void **state) {
    (void)state;
    options o;
    assert_true(PARSE(&o, "train", "--sparsity", "mlp.*=2:4", "--sparsity=mlp.down*=dense"));
    assert_int_equal(o.value[O_sparsity].count, 2);
    assert_string_equal(o.value[O_sparsity].list[1], "mlp.down*=dense");
    options_free(&o);
}

static void expect_refusal(const char *const *argv, const char *fragment) {
    options o;
    assert_false(parse(&o, argv));
    if (!strstr(error, fragment)) fail_msg("'%s' does not hold '%s'", error, fragment);
    options_free(&o);
}

static void test_refusals_name_the_nearest(void **state) {
    (void)state;
    expect_refusal((const char *const[]){"winnow", "train", "--sparsty", "x", NULL},
                   "the nearest is --sparsity");
    expect_refusal((const char *const[]){"winnow", "trian", NULL}, "the nearest is 'train'");
    expect_refusal((const char *const[]){"winnow", "train", "--layers", "0", NULL},
                   "the nearest legal value is 1");
    expect_refusal((const char *const[]){"winnow", "train", "--layers", "2.5", NULL},
                   "not a whole number");
    expect_refusal((const char *const[]){"winnow", "train", "--lr", "nan", NULL}, "not a number");
    expect_refusal((const char *const[]){"winnow", "train", "--lr", "0x10", NULL}, "not a number");
    expect_refusal((const char *const[]){"winnow", "train", "--sparse=maybe", NULL},
                   "not True or False");
    expect_refusal((const char *const[]){"winnow", "train", "--data", NULL},
                   "--data needs a value");
    expect_refusal((const char *const[]){"winnow", "train", "extra", NULL}, "takes no arguments");
    expect_refusal((const char *const[]){"winnow", "eval", NULL}, "needs MODEL");
    expect_refusal((const char *const[]){"winnow", "doctor", "--lr", "1", NULL},
                   "'winnow doctor' has no --lr, which is an option of: train, ks");
    expect_refusal((const char *const[]){"winnow", "eval", "m", "--device=cuda", NULL},
                   "'winnow eval' has no --device, which is an option of: ");
    expect_refusal((const char *const[]){"winnow", "doctor", "--lrx", "1", NULL},
                   "unknown option --lrx of 'winnow doctor'; the nearest is --");
    expect_refusal((const char *const[]){"winnow", NULL}, "no command");
}

static void test_configuration_file(void **state) {
    (void)state;
    options o;
    assert_true(PARSE(&o, "train", "--lr", "0.5"));
    assert_true(options_parse_file(
        &o, "# a run\nlr = 0.1\nbatch_size = 3 # small\n\nsparsity = mlp.*=2:4\nsparse = true",
        "run.conf", error, sizeof error));
    assert_true(opt_real(&o, O_lr) == 0.5); /* the command line wins */
    assert_int_equal(opt_int(&o, O_batch_size), 3);
    assert_string_equal(o.value[O_sparsity].list[0], "mlp.*=2:4");
    assert_false(options_parse_file(&o, "x\n", "run.conf", error, sizeof error));
    assert_non_null(strstr(error, "run.conf: line 1: expected 'name = value'"));
    assert_false(options_parse_file(&o, "\nlayer = 3\n", "run.conf", error, sizeof error));
    assert_non_null(strstr(error, "line 2: unknown option 'layer'; the nearest is 'layers'"));
    /* a mark of byte order is no part of the first name, as of none behind it */
    assert_true(
        options_parse_file(&o, "\xEF\xBB\xBFwarmup = 7\n", "run.conf", error, sizeof error));
    assert_int_equal(opt_int(&o, O_warmup), 7);
    assert_false(options_parse_file(&o, "\n\xEF\xBB\xBFlr = 1\n", "run.conf", error, sizeof error));
    /* twice in one file, in whatever spelling, also where the command line wins; lists grow */
    assert_false(options_parse_file(&o, "lr = 1\n\nlr = 1\n", "run.conf", error, sizeof error));
    assert_non_null(strstr(error, "run.conf: line 3: 'lr' is given a second time, line 1 has it"));
    assert_false(options_parse_file(&o, "min-lr-ratio=1\nmin_lr_ratio=0\n", "run.conf", error,
                                    sizeof error));
    assert_non_null(strstr(error, "line 2: 'min_lr_ratio' is given a second time"));
    assert_true(options_parse_file(&o, "sparsity=a=2:4\nsparsity=b=dense\nseed=1\n", "run.conf",
                                   error, sizeof error));
    assert_true(options_parse_file(&o, "seed=2\n", "run.conf", error, sizeof error));
    options_free(&o);
}

static void test_defaults_are_legal(void **state) {
    (void)state;
    for (int i = 0; i < O_COUNT; i++) {
        const option_row *r = option_at((option_id)i);
        if (r->type == INT || r->type == COUNT || r->type == REAL || r->type == SECONDS) {
            char *end = NULL;
            double v = strtod(r->fallback, &end);
            assert_true(*r->fallback && !*end && v >= r->min && v <= r->max);
        }
        assert_true(r->commands != 0);
        assert_true(*r->help != '\0');
    }
}

static void test_json(void **state) {
    (void)state;
    options o;
    assert_true(PARSE(&o, "eval", "m", "--data", "a\"b\n\xff", "--threads", "2"));
    char *text = options_json(&o);
    assert_non_null(text);
    assert_non_null(strstr(text, "\"data\": \"a\\\"b\\n\\ufffd\""));
    assert_non_null(strstr(text, "\"threads\": 2"));
    assert_null(strstr(text, "\"lr\""));
    free(text);
    options_free(&o);
}

static void test_help_lists_every_option(void **state) {
    (void)state;
    for (int i = 0; i < CMD_COUNT; i++)
        assert_int_equal(command_find(command_at((command_id)i)->name), i);
    assert_int_equal(command_find("nothing"), CMD_COUNT);
}

static void test_chart_skips_what_is_not_finite(void **state) {
    (void)state;
    double x[] = {0, 1, 2, 3}, y[] = {4, (double)NAN, 2, (double)INFINITY};
    chart_line line = {.label = "a<b", .x = x, .y = y, .count = 4};
    chart c = {.title = "t & u", .x_label = "step", .y_label = "loss", .line = &line, .count = 1};
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    assert_non_null(f);
    chart_svg(f, &c);
    chart_text(f, &c, 60, 10);
    assert_int_equal(fclose(f), 0);
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "inf"));
    assert_non_null(strstr(text, "a&lt;b"));
    assert_non_null(strstr(text, "t &amp; u"));
    free(text);
}

/* Labels stand below the axis and end inside of the picture: 13 px letters are at most 8 px wide.
 */
static void test_chart_labels_are_read(void **state) {
    (void)state;
    static const char *const labels[] = {"2048 x 512 mvue24_tokens_avx512 + spmm24_rows_avx512vl",
                                         "1028 x 516 sddmm24_avx512", "third"};
    double x[] = {0, 1}, y[] = {1, 2};
    for (size_t first = 0; first < 2; first++) {
        chart_line line[2];
        for (size_t i = 0; i < 2; i++)
            line[i] = (chart_line){.label = labels[first + i], .x = x, .y = y, .count = 2};
        chart c = {.title = "t", .x_label = "tokens", .y_label = "r", .line = line, .count = 2};
        char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);
        assert_non_null(f);
        chart_panels_svg(f, (const chart[]){c, c}, 2);
        assert_int_equal(fclose(f), 0);
        int width = 0, height = 0, axis = 0;
        const char *box = strstr(text, "viewBox");
        assert_int_equal(sscanf(box, "viewBox=\"0 0 %d %d\"", &width, &height), 2);
        for (const char *at = text; (at = strstr(at, "<text x=\"")) != NULL; at++) {
            int left = 0, below = 0;
            char label[80] = "";
            if (sscanf(at, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%79[^<]", &left, &below,
                       label) == 3 &&
                strcmp(label, "tokens") == 0)
                axis = below;
            if (sscanf(at, "<text x=\"%d\" y=\"%d\">%79[^<]", &left, &below, label) != 3) continue;
            assert_true(strcmp(label, labels[first]) == 0 || strcmp(label, labels[first + 1]) == 0);
            assert_true(below > axis && 2 * below < height);
            assert_true(left + 8 * (int)strlen(label) <= width);
        }
        assert_true(axis > 0);
        free(text);
    }
}

/* A range of a few units in the last place must not keep the axes busy for ever. */
static void test_chart_of_huge_values_ends(void **state) {
    (void)state;
    double x[] = {1e300, 1e300 * (1 + 4e-16)}, y[] = {1e17, 1e17 + 16};
    chart_line line = {.label = "a", .x = x, .y = y, .count = 2};
    chart c = {.title = "t", .x_label = "step", .y_label = "loss", .line = &line, .count = 1};
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    assert_non_null(f);
    chart_svg(f, &c);
    assert_int_equal(fclose(f), 0);
    assert_non_null(strstr(text, "</svg>"));
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chart_of_huge_values_ends),
        cmocka_unit_test(test_chart_labels_are_read),
        cmocka_unit_test(test_spellings),
        cmocka_unit_test(test_bare_flag_leaves_the_next_word),
        cmocka_unit_test(test_lists_keep_their_order),
        cmocka_unit_test(test_refusals_name_the_nearest),
        cmocka_unit_test(test_configuration_file),
        cmocka_unit_test(test_defaults_are_legal),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_help_lists_every_option),
        cmocka_unit_test(test_chart_skips_what_is_not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
