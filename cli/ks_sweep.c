// SPDX-License-Identifier: MIT
/* A fit for each of several ranks: folders rank_R of what each writes, and a table of all. */
#include "ks_sweep.h"
#include "command.h"
#include "interrupt.h"
#include "json_out.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RANKS = 64, PATH = 1100 };

typedef enum listing { READ, UNREADABLE, REPEATED } listing;

/* What a fit came to. Without epochs the losses are those of the closed form. */
typedef struct outcome {
    long long rank, epochs, least_train_epoch, least_val_epoch;
    double train, val, least_train, least_val;
    wn_ks_result result;
} outcome;

static void on_epoch(void *ctx, const wn_ks_epoch *e) {
    outcome *s = ctx;
    s->epochs = e->epoch;
    s->train = e->train_loss;
    s->val = e->val_loss;
    if (e->train_loss < s->least_train) {
        s->least_train = e->train_loss;
        s->least_train_epoch = e->epoch;
    }
    if (e->val_loss < s->least_val) {
        s->least_val = e->val_loss;
        s->least_val_epoch = e->epoch;
    }
}

/* "2,4,8" */
static listing parse_ranks(const char *text, long long rank[RANKS], size_t *count) {
    *count = 0;
    while (*text) {
        char *end;
        errno = 0;
        long long value = strtoll(text, &end, 10);
        if (end == text || errno != 0 || value < 1 || (*end && *end != ',') || *count == RANKS)
            return UNREADABLE;
        for (size_t i = 0; i < *count; i++)
            if (rank[i] == value) return REPEATED;
        rank[(*count)++] = value;
        text = end + (*end == ',' && end[1] != '\0');
        if (*text == ',') return UNREADABLE;
    }
    return *count > 0 ? READ : UNREADABLE;
}

static int fit_one(const char *path, const wn_ks_options *k, bool table, outcome *s) {
    wn_ks_options one = *k;
    char folder[PATH], prefix[40];
    snprintf(folder, sizeof folder, "%.1000s/rank_%lld", k->output_dir, s->rank);
    snprintf(prefix, sizeof prefix, "rank_%lld", s->rank);
    one.rank = s->rank;
    one.output_dir = folder;
    one.prefix = prefix;
    s->least_train = s->least_val = INFINITY;
    wn_status status = wn_ks_fit(path, &one, on_epoch, s, &s->result);
    if (status == WN_CANCELLED)
        fprintf(stderr,
                "rank %lld: %s\nthere --rank %lld --output-dir %s --save-prefix %s stand for "
                "--ranks\n",
                s->rank, wn_last_error(), s->rank, folder, prefix);
    if (status != WN_OK) return report(status);
    if (s->epochs == 0) s->train = s->val = s->least_train = s->least_val = s->result.val_loss;
    if (!table) return EXIT_OK;
    printf("rank %6lld  %12lld parameters  %8.2fx  relative error %.6f  val loss %.6g\n", s->rank,
           (long long)s->result.params, s->result.ratio, s->result.relative_error, s->val);
    fflush(stdout);
    return EXIT_OK;
}

static void write_csv(FILE *f, const outcome *s, size_t count) {
    fprintf(f, "rank,final_train_loss,final_val_loss,min_train_loss,min_val_loss,min_train_epoch,"
               "min_val_epoch,num_epochs,parameters,relative_error\n");
    for (size_t i = 0; i < count; i++, s++)
        fprintf(f, "%lld,%.9g,%.9g,%.9g,%.9g,%lld,%lld,%lld,%lld,%.9g\n", s->rank, s->train, s->val,
                s->least_train, s->least_val, s->least_train_epoch, s->least_val_epoch, s->epochs,
                (long long)s->result.params, s->result.relative_error);
}

static void write_json(FILE *f, const outcome *s, size_t count) {
    json_out j = {.file = f};
    put_open(&j, NULL, '[');
    for (size_t i = 0; i < count; i++, s++) {
        put_open(&j, NULL, '{');
        put_int(&j, "rank", s->rank);
        put_real(&j, "final_train_loss", s->train);
        put_real(&j, "final_val_loss", s->val);
        put_real(&j, "min_train_loss", s->least_train);
        put_real(&j, "min_val_loss", s->least_val);
        put_int(&j, "min_train_epoch", s->least_train_epoch);
        put_int(&j, "min_val_epoch", s->least_val_epoch);
        put_int(&j, "num_epochs", s->epochs);
        put_int(&j, "parameters", s->result.params);
        put_real(&j, "relative_error", s->result.relative_error);
        put_close(&j, '}');
    }
    put_close(&j, ']');
    fputc('\n', f);
}

static bool write_table(const char *folder, const char *name, const outcome *s, size_t count,
                        void (*write)(FILE *, const outcome *, size_t)) {
    char path[PATH], *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    snprintf(path, sizeof path, "%.1000s/%s", folder, name);
    if (f) write(f, s, count);
    bool drawn = f && fclose(f) == 0;
    if (!drawn) fputs("winnow: out of memory\n", stderr);
    bool ok = drawn && replace_file(path, text, size);
    free(text);
    return ok;
}

/* Every fit, and the files of all; to standard output too where JSON was asked for. */
static int fit_all(const char *path, const wn_ks_options *k, bool json, outcome *all,
                   size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && interrupted(NULL)) {
            fprintf(stderr, "stopped before rank %lld\n", all[i].rank);
            return EXIT_INTERRUPTED;
        }
        int code = fit_one(path, k, !json, &all[i]);
        if (code != EXIT_OK) return code;
    }
    bool ok = write_table(k->output_dir, "rank_sweep_summary.csv", all, count, write_csv) &&
              write_table(k->output_dir, "rank_sweep_summary.json", all, count, write_json);
    if (!ok) return EXIT_FAILED;
    if (json) write_json(stdout, all, count);
    return EXIT_OK;
}

int ks_sweep(const options *o, const char *path, const wn_ks_options *k) {
    long long rank[RANKS];
    size_t count;
    const char *text = opt_text(o, O_ranks);
    listing what = parse_ranks(text, rank, &count);
    if (what == UNREADABLE)
        return usage_error("--ranks %s: up to %d numbers from 1 on, joined by ',', expected", text,
                           RANKS);
    if (what == REPEATED) return usage_error("--ranks %s: the same one twice, in one folder", text);
    if (k->resume) return usage_error("--ranks begins every fit anew: no --resume");
    if (strcmp(k->chain, "legacy") != 0 && strncmp(k->chain, "legacy+", 7) != 0)
        return usage_error("--ranks is of legacy chains; '%s' has its own rank", k->chain);
    outcome *all = calloc(count, sizeof *all);
    if (!all) {
        fputs("winnow: out of memory\n", stderr);
        return EXIT_FAILED;
    }
    for (size_t i = 0; i < count; i++)
        all[i].rank = rank[i];
    interrupts_catch(true);
    int code = fit_all(path, k, opt_flag(o, O_json), all, count);
    free(all);
    return code;
}
