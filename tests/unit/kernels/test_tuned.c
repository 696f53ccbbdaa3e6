// SPDX-License-Identifier: MIT
// Files of measured choices: what they may hold, bad lines by number, and that plans heed them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/block24.h"
#include "kernels/cuda/images.h"
#include "kernels/matmul.h"
#include "kernels/spmm24_blocks.h"
#include "kernels/tuned.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEAD  "winnow choices 2\n"
#define LINE  "GPU\t13000\tmatmul\ta=BF16:16x64\tcublaslt\t-\t12.5\tm=8\tcublaslt=12.5\n"
#define HEAD1 "winnow choices 1\n"
#define LINE1 "GPU\t13000\tmatmul\ta=BF16:16x64\tcublaslt\t12.5\tm=8\n"

static void test_lines(void **state) {
    (void)state;
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"", "f: an empty file of choices"},
        {"winnow choices 3\n", "f:1: a file of choices begins with 'winnow choices 2'"},
        {HEAD "GPU\t13000\tmatmul\n", "f:2: fewer than 9 fields between tabs"},
        {HEAD LINE1, "f:2: fewer than 9 fields between tabs"},
        {HEAD "GPU\t1\tmatmul\tc\tref\t-\t1\tx\ty\tz\n", "f:2: more than 9 fields"},
        {HEAD1 "GPU\t13000\tmatmul\n", "f:2: fewer than 7 fields between tabs"},
        {HEAD1 "\n# told\nGPU\t1\tmatmul\tc\tref\t1\tx\ty\tz\n", "f:4: more than 8 fields"},
        {HEAD LINE "GPU\t\tmatmul\tc\tref\t-\t1\tx\ty\n", "f:3: a field is empty"},
        {HEAD1 "GPU\t1\tmatmul\tc\tref\tsoon\tx\n", "f:2: 'soon' is not a number of microseconds"},
        {HEAD "GPU\t1\tmatmul\tc\tref\t-\t-1\tx\ty\n", "f:2: '-1' is not a number of microseconds"},
        {HEAD "GPU\t1\tmatmul\tc\tref\t-\tnan\tx\ty\n", "f:2: 'nan' is not a number of"},
        {HEAD "CPU\t-\tmatmul\tc\tref\tany\t1\tx\ty\n", "f:2: matmul_ref has no ways, as 'any'"},
        {"winnow choices 2", "f:1: the file is cut off: its last line has no end of line"},
        {HEAD "# device, dr", "f:2: the file is cut off"},
        {HEAD LINE "CPU\t-\tmatmul\tc\tref\t-\t1\tx\tref=1 cblas=1", "f:3: the file is cut off"},
        {HEAD1 "GPU\t1\tmatmull\tc\tref\t1\tx\n", "f:2: "},
        {HEAD1 "CPU\t-\tmatmul\tc\treff\t1\tx\n", "f:2: "},
        {HEAD1 "CPU\t-\tmatmul\tc\tref,x\t1\tx\n", "f:2: "},
        {HEAD1 "GPU\t1\tmatmul\tc\tref\t1\tx\x1b[31m\n", "f:2: a field is not text of one line"},
        {HEAD1 "GPU\xff\t1\tmatmul\tc\tref\t1\tx\n", "f:2: a field is not text of one line"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        wn__tuned t = {0};
        assert_int_equal(wn__tuned_parse(&t, bad[i].text, "f"), WN_FORMAT);
        if (strncmp(wn_last_error(), bad[i].why, strlen(bad[i].why)) != 0)
            print_error("%s: %s\n", bad[i].why, wn_last_error());
        assert_int_equal(strncmp(wn_last_error(), bad[i].why, strlen(bad[i].why)), 0);
        wn__tuned_free(&t);
    }
}

// What a GPU's variants are called is known with device code alone; without it a file of choices
// made elsewhere can be read all the same.
static void test_gpu(void **state) {
    (void)state;
    wn__tuned t = {0};
    const wn_status wrong = wn__device_code_built() ? WN_FORMAT : WN_OK;
    assert_int_equal(wn__tuned_parse(&t, HEAD LINE, "f"), WN_OK);
    assert_int_equal(t.count, 1);
    assert_int_equal(wn__tuned_parse(&t, HEAD1 "GPU\t1\tmatmul\tc\treff\t1\tx\n", "f"), wrong);
    assert_int_equal(wn__tuned_parse(&t, HEAD1 "GPU\t1\tmatmull\tc\tref\t1\tx\n", "f"), WN_FORMAT);
    assert_int_equal(wn__tuned_parse(&t, HEAD1 "GPU\t1\tmatmul\tc\tref,x\t1\tx\n", "f"), WN_FORMAT);
    wn__tuned_free(&t);
}

// A way is one that cuBLASLt may have listed, of any version; what is none is named by its line,
// before anything shows it or has the library look for it.
static void test_way(void **state) {
    (void)state;
    static const struct {
        const char *way;
        bool good;
    } ways[] = {
        {"cublaslt/130200/3/9f3ac17be0d24c11", true},
        {"cublaslt/1/0/0000000000000000", true},
        {"cublaslt/130200/3/9f3ac17be0d24c1", false},
        {"cublaslt/130200/3/9f3ac17be0d24c110", false},
        {"cublaslt/130200/3/9F3AC17BE0D24C11", false},
        {"cublaslt/130200/-3/9f3ac17be0d24c11", false},
        {"cublaslt/130200/3/9f3ac17be0d24cxx", false},
        {"cublaslt/+1/3/9f3ac17be0d24c11", false},
        {"cublaslt/130200", false},
        {"fastest", false},
    };
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        wn__tuned t = {0};
        char text[400];
        (void)snprintf(text, sizeof text,
                       HEAD "GPU\t13000\tmatmul\ta=BF16:16x64\tcublaslt\t%s\t12.5\tm=8\t-\n",
                       ways[i].way);
        assert_int_equal(wn__tuned_parse(&t, text, "f"), ways[i].good ? WN_OK : WN_FORMAT);
        assert_int_equal(t.count, ways[i].good ? 1 : 0);
        (void)snprintf(text, sizeof text, "f:2: '%s' is no way of a product", ways[i].way);
        if (!ways[i].good) assert_non_null(strstr(wn_last_error(), text));
        wn__tuned_free(&t);
    }
}

// A file that is too long for looking through it line by line is refused at once.
static void test_large(void **state) {
    (void)state;
    char path[] = "/tmp/winnow-choices-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *f = fdopen(fd, "w");
    assert_non_null(f);
    fputs(HEAD1, f);
    for (int i = 0; i < 100000; i++)
        fprintf(f, "GPU\t1\tmatmul\tc%d\tref\t1\ta problem of some length\n", i);
    assert_int_equal(fclose(f), 0);
    wn__tuned t = {0};
    const wn_status status = wn__tuned_read(&t, path);
    (void)unlink(path);
    assert_int_equal(status, WN_FORMAT);
    assert_int_equal(t.count, 0);
    wn__tuned_free(&t);
}

// So are short lines of a file that is not too long, as soon as there are too many.
static void test_many(void **state) {
    (void)state;
    enum { MOST = 10000 };
    char *text = NULL;
    size_t size;
    wn__tuned t = {0}, more = {0};
    FILE *f = open_memstream(&text, &size);
    assert_non_null(f);
    fputs(HEAD1, f);
    for (int i = 0; i < MOST; i++)
        fprintf(f, "CPU\t-\tmatmul\tc%d\tref\t1\tx\n", i);
    fprintf(f, "CPU\t-\tmatmul\tc0\tref\t2\tx\n");
    fflush(f);
    assert_int_equal(wn__tuned_parse(&t, text, "f"), WN_OK);
    assert_int_equal(t.count, MOST);
    fprintf(f, "CPU\t-\tmatmul\tc\tref\t1\tx\n");
    assert_int_equal(fclose(f), 0);
    assert_int_equal(wn__tuned_parse(&more, text, "f"), WN_FORMAT);
    assert_non_null(strstr(wn_last_error(), "more than 10000 choices"));
    wn__tuned_free(&more);
    wn__tuned_free(&t);
    free(text);
}

// A file that went through an editor of other line ends; one of before may lack the last of them.
static void test_line_ends(void **state) {
    (void)state;
    wn__tuned t = {0};
    assert_int_equal(wn__tuned_parse(&t,
                                     "winnow choices 1\r\n# told\r\n\r\n"
                                     "CPU\t-\tmatmul\tc\tref\t2\tm=8\tref=2\r\n"
                                     "CPU\t-\tmatmul\td\tref\t2\tm=8",
                                     "f"),
                     WN_OK);
    assert_int_equal(t.count, 2);
    assert_string_equal(t.line[0].times, "ref=2");
    wn__tuned_free(&t);
}

// The nearest name is said.
static void test_names(void **state) {
    (void)state;
    wn__tuned t = {0};
    assert_int_equal(wn__tuned_parse(&t, HEAD1 "G\t1\tmatmull\tc\tref\t1\tx\n", "f"), WN_FORMAT);
    assert_non_null(strstr(wn_last_error(), "'matmul'"));
    wn__tuned_free(&t);
}

static void test_round_trip(void **state) {
    (void)state;
    wn__tuned t = {0}, again = {0};
    wn__tuned_line l = {.device = "GPU",
                        .driver = "1",
                        .op = "matmul",
                        .class = "c",
                        .variant = "ref",
                        .seconds = 3e-6,
                        .checked = "m=8",
                        .times = "ref_few=2 ref=3 cublaslt=4.25"};
    char *text;
    for (int i = 0; i < 9; i++) {
        l.class[0] = (char)('a' + i % 7); // two of them take the place of others
        assert_int_equal(wn__tuned_put(&t, &l), WN_OK);
    }
    assert_int_equal(t.count, 7);
    assert_int_equal(wn__tuned_text(&t, &text), WN_OK);
    assert_int_equal(wn__tuned_parse(&again, text, "f"), WN_OK);
    assert_int_equal(again.count, 7);
    assert_string_equal(again.line[6].class, "g");
    assert_true(again.line[6].seconds == 3e-6);
    assert_string_equal(again.line[6].times, "ref_few=2 ref=3 cublaslt=4.25");
    assert_true(wn__tuned_seconds(&again.line[6], "ref") == 3e-6);
    assert_true(wn__tuned_seconds(&again.line[6], "cublaslt") == 4.25e-6);
    assert_true(wn__tuned_seconds(&again.line[6], "cublas") == 0);
    assert_true(wn__tuned_seconds(&again.line[6], "re") == 0);
    free(text);
    wn__tuned_free(&t);
    wn__tuned_free(&again);
}

// Files of before, with times and without, are read and written as those of today.
static void test_before(void **state) {
    (void)state;
    wn__tuned t = {0}, again = {0};
    char *text;
    assert_int_equal(
        wn__tuned_parse(&t, HEAD1 LINE1 "GPU\t13000\tmatmul\tb\tref\t3\tm=8\tref=3 x=4\n", "f"),
        WN_OK);
    assert_int_equal(t.count, 2);
    assert_string_equal(t.line[0].times, "");
    assert_string_equal(t.line[1].times, "ref=3 x=4");
    assert_int_equal(wn__tuned_text(&t, &text), WN_OK);
    assert_int_equal(strncmp(text, HEAD, strlen(HEAD)), 0);
    assert_int_equal(wn__tuned_parse(&again, text, "f"), WN_OK);
    assert_int_equal(again.count, 2);
    for (int i = 0; i < 2; i++) {
        assert_string_equal(again.line[i].way, "");
        assert_string_equal(again.line[i].times, t.line[i].times);
        assert_string_equal(again.line[i].class, t.line[i].class);
        assert_true(again.line[i].seconds == t.line[i].seconds);
    }
    free(text);
    wn__tuned_free(&t);
    wn__tuned_free(&again);
}

#ifdef WN_HAVE_DEVICE_CODE
// Rows that are there to be checked are in no choice, whoever wrote it.
static void test_checked_only(void **state) {
    (void)state;
    size_t rows;
    const wn__kernel *table = wn__kernel_table(&rows);
    int found = 0;
    for (size_t i = 0; i < rows; i++) {
        const bool only = strncmp(table[i].variant, "sm90a_parts", 11) == 0 ||
                          strcmp(table[i].name, "sddmm24_avx512_cut") == 0 ||
                          strncmp(table[i].variant, "sm90a_256x192r", 14) == 0 ||
                          strncmp(table[i].variant, "sm90a_256x192x2r", 16) == 0;
        assert_int_equal(table[i].rank == WN__CHECKED_ONLY, only);
        assert_true(only || table[i].rank >= 0);
        found += only;
    }
    assert_int_equal(found, 11);
}
#endif

static wn_tensor matrix(int64_t rows, int64_t columns) {
    return wn__tensor2(NULL, WN_DTYPE_F32, rows, columns);
}

static void test_plan(void **state) {
    (void)state;
    wn__tuned t = {0};
    wn__exec x = {.tuned = &t};
    const wn__kernel *k, *usual;
    wn__matmul p = {.a = matrix(5, 9), .b = matrix(9, 16), .c = matrix(5, 16)};
    wn__tuned_line l = {.op = "matmul", .variant = "ref", .seconds = 1e-6, .checked = "-"};
    wn__class_of(WN__OP_matmul, &p, l.class);
    assert_string_equal(l.class, "a=F32:8x16,b=F32:16x16,c=F32:8x16");
    wn__tuned_device(&x, &l);
    assert_int_equal(wn__plan(&x, WN__OP_matmul, &p, &usual), WN_OK);
    assert_int_equal(wn__tuned_put(&t, &l), WN_OK);
    assert_int_equal(wn__plan(&x, WN__OP_matmul, &p, &k), WN_OK);
    assert_string_equal(k->name, "matmul_ref");
    x.force = "matmul:nothing";
    assert_int_equal(wn__plan(&x, WN__OP_matmul, &p, &k), WN_INVALID); // forced goes first
    x.force = NULL;
    p.a = matrix(50, 9); // another class
    p.c = matrix(50, 16);
    assert_int_equal(wn__plan(&x, WN__OP_matmul, &p, &k), WN_OK);
    assert_ptr_equal(k, usual);
    // one that cannot run here is not heeded
    p.a = matrix(5, 9);
    p.c = matrix(5, 16);
    strcpy(l.variant, "amx");
    assert_int_equal(wn__tuned_put(&t, &l), WN_OK);
    assert_int_equal(wn__plan(&x, WN__OP_matmul, &p, &k), WN_OK);
    assert_ptr_equal(k, usual);
    wn__tuned_free(&t);
}

// Where W is given written out too, a choice is for these sizes and no others.
static void test_exact(void **state) {
    (void)state;
    char class[WN__CLASS_TEXT];
    wn__spmm24_blocks p = {.x = wn__tensor2(NULL, WN_DTYPE_BF16, 700, 100),
                           .blocks = wn__block24_tensor(72, 100),
                           .y = wn__tensor2(NULL, WN_DTYPE_BF16, 700, 72),
                           .values = WN_DTYPE_BF16};
    wn__class_of(WN__OP_spmm24_blocks, &p, class);
    assert_string_equal(class, "x=BF16:1024x128,blocks=U8:2x2x8192,y=BF16:1024x128");
    p.dense = wn__tensor2(NULL, WN_DTYPE_BF16, 72, 100);
    wn__class_of(WN__OP_spmm24_blocks, &p, class);
    assert_string_equal(class, "x=BF16:700x100,blocks=U8:2x2x4608,dense=BF16:72x100,y=BF16:700x72");
}

// What was chosen without W written out is heeded where nothing was chosen with it.
static void test_without(void **state) {
    (void)state;
    wn__tuned t = {0};
    const wn__exec x = {.tuned = &t};
    wn__spmm24_blocks p = {.x = wn__tensor2(NULL, WN_DTYPE_BF16, 700, 100),
                           .blocks = wn__block24_tensor(72, 100),
                           .y = wn__tensor2(NULL, WN_DTYPE_BF16, 700, 72),
                           .values = WN_DTYPE_BF16};
    wn__tuned_line with, without = {.op = "spmm24_blocks", .variant = "ref", .checked = "-"};
    wn__tuned_device(&x, &without);
    with = without;
    wn__class_of(WN__OP_spmm24_blocks, &p, without.class);
    p.dense = wn__tensor2(NULL, WN_DTYPE_BF16, 72, 100);
    wn__class_of(WN__OP_spmm24_blocks, &p, with.class);
    assert_int_equal(wn__tuned_put(&t, &without), WN_OK);
    assert_non_null(wn__tuned_find(&x, WN__OP_spmm24_blocks, &p));
    assert_string_equal(wn__tuned_find(&x, WN__OP_spmm24_blocks, &p)->class, without.class);
    assert_int_equal(wn__tuned_put(&t, &with), WN_OK);
    assert_string_equal(wn__tuned_find(&x, WN__OP_spmm24_blocks, &p)->class, with.class);
    p.dense = (wn_tensor){0}; // and never the other way round
    t.line[0].op[0] = '-';
    assert_null(wn__tuned_find(&x, WN__OP_spmm24_blocks, &p));
    wn__tuned_free(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),        cmocka_unit_test(test_names),
        cmocka_unit_test(test_gpu),          cmocka_unit_test(test_way),
        cmocka_unit_test(test_large),        cmocka_unit_test(test_many),
        cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_plan),
        cmocka_unit_test(test_exact),        cmocka_unit_test(test_without),
        cmocka_unit_test(test_before),       cmocka_unit_test(test_line_ends),
#ifdef WN_HAVE_DEVICE_CODE
        cmocka_unit_test(test_checked_only),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
