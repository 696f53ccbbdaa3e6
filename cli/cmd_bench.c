// SPDX-License-Identifier: MIT
/* winnow bench */
#include "bench_rows.h"
#include "command.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <winnow/printable.h>

typedef struct table {
    bench_rows kept;
    char cell[160];              /* what the last row belongs to */
    bool gpu, sustained, chains; /* chains: of ks, which leaves out no zeros */
} table;

static void on_head(void *ctx, const wn_bench_head *h) {
    table *t = ctx;
    bench_keep_head(&t->kept, h);
    printf("%s  %s  winnow %s %s\n", h->date, h->machine, h->version, h->commit);
    t->gpu = strcmp(h->device, "cuda") == 0;
    t->sustained = strcmp(h->protocol, "sustained") == 0;
    if (t->gpu) {
        printf("%s samples; %s peak ", t->sustained ? "sustained" : "burst",
               t->chains ? "dense" : "2:4");
        if (h->peak > 0)
            printf("%.0f TFLOP/s at the highest clock", h->peak / 1e12);
        else
            printf("not known");
        printf(", memory copied at %.2f TB/s\n", h->stream / 1e12);
        fflush(stdout);
        return;
    }
    printf("%d thread%s: multiply-add peak %.1f GFLOP/s in float32, memory read at %.1f GB/s\n",
           h->threads, h->threads == 1 ? "" : "s", h->peak / 1e9, h->stream / 1e9);
}

static void on_library(void *ctx, const wn_bench_library *l) {
    table *t = ctx;
    bench_keep_library(&t->kept, l);
    if (*l->why)
        printf("%-9s %s\n", l->name, l->why);
    else
        printf("%-9s %s, %s\n", l->name, l->version, l->path);
}

static void on_note(void *ctx, const char *text) {
    (void)ctx;
    printf("note: %s\n", text);
}

/* "1.56 (1.51-1.60)", or as many blanks. */
static const char *spread_text(const wn_bench_spread *s, char *out, size_t n) {
    if (s->median > 0)
        snprintf(out, n, "%.2f (%.2f-%.2f)", s->median, s->least, s->most);
    else
        snprintf(out, n, "-");
    return out;
}

static void number(double value, double scale, const char *fmt) {
    if (value > 0)
        printf(fmt, value / scale);
    else
        printf("%8s", "-");
}

static void title(table *t, const wn_bench_row *r) {
    char cell[160], rows[32] = "";
    if (r->rows) snprintf(rows, sizeof rows, ", %lld rows", (long long)r->rows);
    if (r->out)
        snprintf(cell, sizeof cell, "%s %lld x %lld%s, %s", r->work, (long long)r->out,
                 (long long)r->in, rows, r->dtype);
    else
        snprintf(cell, sizeof cell, "%s, %s", r->work, r->dtype);
    if (strcmp(cell, t->cell) == 0) return;
    snprintf(t->cell, sizeof t->cell, "%s", cell);
    bool prune = strcmp(r->suite, "prune") == 0;
    if (t->gpu) {
        printf("\n%-50s %9s %8s %8s %8s %8s %9s  %-20s %s\n", cell, "us", "TFLOP/s", "of peak",
               "TB/s", "of copy", t->sustained ? "W, MHz" : "MHz", prune ? "x copy" : "x dense",
               strcmp(r->suite, "ks") == 0 ? "x bmm" : "x best peer");
        return;
    }
    printf("\n%-48s %9s %8s %8s %8s %8s  %-20s %s\n", cell, "ms", "GFLOP/s", "of peak", "GB/s",
           r->tokens > 0 ? "tok/s" : "of read", prune ? "x memcpy" : "x our dense",
           strcmp(r->suite, "ks") == 0 ? "x best peer           x bmm" : "x best peer");
}

static void gpu_row(const wn_bench_row *r) {
    char name[160], dense[40], peer[40], power[32] = "";
    const wn_bench_spread *other = strcmp(r->suite, "ks") == 0 ? &r->bmm : &r->peer;
    double seconds = r->seconds.median;
    if (r->watts > 0)
        snprintf(power, sizeof power, "%.0f, %.0f", r->watts, r->megahertz);
    else if (r->megahertz > 0)
        snprintf(power, sizeof power, "%.0f", r->megahertz);
    printf("  %-48s %9.2f", wn_printable(r->name, name, sizeof name), seconds * 1e6);
    number(r->flops / seconds, 1e12, " %8.1f");
    number(r->peak_share, 0.01, " %7.1f%%");
    number(r->bytes / seconds, 1e12, " %8.2f");
    number(r->stream_share, 0.01, " %7.1f%%");
    printf(" %9s  %-20s %s\n", power, spread_text(&r->dense, dense, sizeof dense),
           r->role == WN_BENCH_PEER ? "" : spread_text(other, peer, sizeof peer));
    fflush(stdout);
}

static void on_row(void *ctx, const wn_bench_row *r) {
    table *t = ctx;
    char name[160], dense[40], peer[40], bmm[40];
    bench_keep_row(&t->kept, r);
    title(t, r);
    if (t->gpu) {
        gpu_row(r);
        return;
    }
    double seconds = r->seconds.median;
    printf("  %-46s %9.3f", wn_printable(r->name, name, sizeof name), seconds * 1e3);
    number(r->flops / seconds, 1e9, " %8.1f");
    number(r->peak_share, 0.01, " %7.1f%%");
    number(r->bytes / seconds, 1e9, " %8.1f");
    if (r->tokens > 0)
        number(r->tokens / seconds, 1, " %8.0f");
    else
        number(r->stream_share, 0.01, " %7.1f%%");
    printf("  %-20s %-21s %s\n", spread_text(&r->dense, dense, sizeof dense),
           r->role == WN_BENCH_PEER ? "" : spread_text(&r->peer, peer, sizeof peer),
           r->bmm.median > 0 ? spread_text(&r->bmm, bmm, sizeof bmm) : "");
    if (r->interrupted) printf("%50s%d of its samples interrupted\n", "", r->interrupted);
    fflush(stdout);
}

/* A word as a shell takes it back. */
static void put_word(FILE *f, const char *word) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_./,:@%+=-";
    if (*word && word[strspn(word, plain)] == '\0') {
        fputs(word, f);
        return;
    }
    fputc('\'', f);
    for (; *word; word++) {
        if (*word == '\'')
            fputs("'\\''", f);
        else
            fputc(*word, f);
    }
    fputc('\'', f);
}

static void put_option(FILE *f, option_id id, const option_value *v) {
    const option_type type = option_at(id)->type;
    char name[OPTION_NAME_MAX];
    option_name(id, name);
    if (type == FLAG) fprintf(f, " --%s%s", v->number != 0 ? "" : "no-", name);
    if (type != FLAG && type != TEXT && type != LIST) fprintf(f, " --%s %.12g", name, v->number);
    for (size_t i = 0; i < (type == TEXT ? 1 : v->count); i++) {
        fprintf(f, " --%s ", name);
        put_word(f, type == TEXT ? v->text : v->list[i]);
    }
}

/* The command line, as kept in the result, to be given again; malloc'ed, or NULL. */
static char *command_text(const options *o) {
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f) return NULL;
    fprintf(f, "winnow bench %s", o->argument[0]);
    for (int i = 0; i < O_COUNT; i++) {
        const bool kept = o->value[i].given && (option_at((option_id)i)->commands & C_BENCH) &&
                          i != O_json_file && i != O_svg && i != O_commit && i != O_merge;
        if (kept) put_option(f, (option_id)i, &o->value[i]);
    }
    const bool bad = ferror(f) != 0;
    if (fclose(f) == 0 && !bad) return text;
    free(text);
    return NULL;
}

static int run_suite(const options *o) {
    char *json = NULL;
    table t = {.chains = strcmp(o->argument[0], "ks") == 0};
    const char *file = opt_text(o, O_json_file), *picture = opt_text(o, O_svg);
    if ((file && !can_replace_file(file)) || (picture && !can_replace_file(picture)))
        return EXIT_FAILED; /* an hour's figures are not to be lost for a folder's name */
    char *command = command_text(o);
    if (!command) {
        fputs("winnow: out of memory\n", stderr);
        return EXIT_FAILED;
    }
    const wn_bench_options b = {.protocol = opt_text(o, O_protocol),
                                .tuned = opt_text(o, O_tuned),
                                .suite = o->argument[0],
                                .device = opt_text(o, O_device),
                                .dtype = opt_text(o, O_bench_dtype),
                                .shapes = opt_text(o, O_shapes),
                                .rows = opt_text(o, O_rows),
                                .work = opt_text(o, O_work),
                                .peers = opt_text(o, O_peers),
                                .kernels = opt_text(o, O_kernels),
                                .sparsity = o->value[O_bench_sparsity].list,
                                .sparsity_count = o->value[O_bench_sparsity].count,
                                .threads = (int)opt_int(o, O_threads),
                                .repeats = (int)opt_int(o, O_bench_repeats),
                                .hidden_size = opt_int(o, O_bench_hidden),
                                .layers = opt_int(o, O_bench_layers),
                                .heads = opt_int(o, O_bench_heads),
                                .vocab_size = opt_int(o, O_bench_vocab),
                                .seq_len = opt_int(o, O_bench_seq),
                                .batch_size = opt_int(o, O_bench_batch),
                                .mlp = opt_text(o, O_bench_mlp),
                                .command = command,
                                .commit = opt_text(o, O_commit),
                                .merge = opt_text(o, O_merge),
                                .no_dense = !opt_flag(o, O_bench_dense)};
    const wn_bench_events events = {on_head, on_library, on_row, on_note, &t};
    int code = report(wn_bench(&b, &events, &json));
    bool ok = code == EXIT_OK && !t.kept.failed;
    if (ok && file) ok = replace_file(file, json, strlen(json));
    if (ok && picture) ok = bench_draw(&t.kept, picture);
    if (code == EXIT_OK && t.kept.failed) fputs("winnow: out of memory\n", stderr);
    bench_rows_free(&t.kept);
    free(json);
    free(command);
    return code != EXIT_OK ? code : ok ? EXIT_OK : EXIT_FAILED;
}

/* Results that are drawn together. */
typedef struct results {
    bench_rows *at;
    size_t count;
} results;

/* Of a folder, what is no result of ours is left out, and said. */
static int add_result(results *r, const char *path, bool of_folder) {
    bench_rows *more = realloc(r->at, (r->count + 1) * sizeof *more);
    if (!more) return fputs("winnow: out of memory\n", stderr), EXIT_FAILED;
    r->at = more;
    bench_rows *rows = &r->at[r->count++];
    *rows = (bench_rows){0};
    const wn_bench_events events = {bench_keep_head, bench_keep_library, bench_keep_row, NULL,
                                    rows};
    wn_status status = wn_bench_read(path, &events);
    if (status == WN_OK || !of_folder) return report(status);
    fprintf(stderr, "winnow: left out: %s\n", wn_last_error());
    bench_rows_free(rows);
    r->count--;
    return EXIT_OK;
}

static int is_json(const struct dirent *e) {
    size_t n = strlen(e->d_name);
    return n > 5 && strcmp(e->d_name + n - 5, ".json") == 0;
}

/* In the order of their names, so by date. */
static int add_folder(results *r, const char *folder) {
    struct dirent **entry;
    int code = EXIT_OK, count = scandir(folder, &entry, is_json, alphasort);
    if (count < 0) {
        fprintf(stderr, "winnow: %s: %s\n", folder, strerror(errno));
        return EXIT_FAILED;
    }
    for (int i = 0; i < count; i++) {
        char path[1000];
        snprintf(path, sizeof path, "%.700s/%.255s", folder, entry[i]->d_name);
        if (code == EXIT_OK) code = add_result(r, path, true);
        free(entry[i]);
    }
    free(entry);
    if (code == EXIT_OK && r->count == 0)
        return fprintf(stderr, "winnow: %s: no results in this folder\n", folder), EXIT_FAILED;
    return code;
}

static int summary(const options *o) {
    const char *picture = opt_text(o, O_svg);
    results r = {0};
    int code = EXIT_OK;
    if (o->arguments < 2) return usage_error("winnow bench summary needs RESULT.json or FOLDER...");
    if (!picture) return usage_error("winnow bench summary needs --svg FILE");
    for (size_t i = 1; code == EXIT_OK && i < o->arguments; i++) {
        struct stat s;
        bool folder = stat(o->argument[i], &s) == 0 && S_ISDIR(s.st_mode);
        code = folder ? add_folder(&r, o->argument[i]) : add_result(&r, o->argument[i], false);
    }
    if (code == EXIT_OK && !bench_draw_summary(r.at, r.count, picture)) code = EXIT_FAILED;
    for (size_t i = 0; i < r.count; i++)
        bench_rows_free(&r.at[i]);
    free(r.at);
    if (code == EXIT_OK) printf("%s\n", picture);
    return code;
}

int command_BENCH(const options *o) {
    static const char *const suites[] = {"gemm", "decode", "prune", "layer", "train", "mlp", "ks"};
    const char *suite = o->argument[0];
    if (strcmp(suite, "summary") == 0) return summary(o);
    for (size_t i = 0; i < sizeof suites / sizeof *suites; i++) {
        if (strcmp(suite, suites[i]) != 0) continue;
        if (o->arguments > 1) return usage_error("winnow bench %s takes no files", suite);
        if (o->value[O_bench_dense].given && strcmp(suite, "ks") != 0)
            return usage_error("winnow bench %s has no --dense or --no-dense: ks has", suite);
        return run_suite(o);
    }
    return usage_error(
        "winnow bench gemm, decode, prune, layer, train, mlp, ks or summary, not '%.40s'", suite);
}
