// SPDX-License-Identifier: MIT
/* winnow ks */
#include "command.h"
#include "interrupt.h"
#include "json_out.h"
#include "ks_apply.h"
#include "ks_document.h"
#include "ks_sweep.h"
#include <string.h>
#include <unistd.h>
#include <winnow/ks.h>

typedef struct reporter {
    const options *o;
    bool quiet, terminal, pending; /* pending: the cursor stands behind a line of progress */
} reporter;

/* Over one another on a terminal; elsewhere only where they were asked for. */
static void on_batches(reporter *r, const wn_ks_epoch *e) {
    if (!r->terminal && !opt_flag(r->o, O_verbose) && !r->o->value[O_log_interval].given) return;
    fprintf(stderr, "%sepoch %lld/%lld | batch %lld/%lld | loss %.6g | gnorm %.4g | lr %.4g%s",
            r->terminal ? "\r" : "", (long long)e->epoch, (long long)e->epochs, (long long)e->batch,
            (long long)e->batches, e->train_loss, e->grad_norm, e->lr, r->terminal ? "" : "\n");
    r->pending = r->terminal;
}

static void on_epoch(void *ctx, const wn_ks_epoch *e) {
    reporter *r = ctx;
    if (r->quiet) return;
    if (e->batch > 0) {
        on_batches(r, e);
        return;
    }
    if (r->pending) fputs("\r\033[K", stderr);
    r->pending = false;
    fprintf(stderr,
            "epoch %lld/%lld | train %.6g | val %.6g | gnorm %.4g | lr %.4g | %.4g ms a step%s\n",
            (long long)e->epoch, (long long)e->epochs, e->train_loss, e->val_loss, e->grad_norm,
            e->lr, 1e3 * e->seconds, e->best ? " | best" : "");
    if (!opt_flag(r->o, O_log_grad_norm)) return;
    fprintf(stderr, "  factors");
    for (int t = 0; t < e->factors; t++)
        fprintf(stderr, " %.4g", e->factor_norm[t]);
    fprintf(stderr, "\n");
}

static void show(const wn_ks_result *r) {
    printf("%lld x %lld in %d factors: %lld of %lld parameters, %.2fx, %.2f %% saved\n",
           (long long)r->out, (long long)r->in, r->factors, (long long)r->params,
           (long long)r->dense, r->ratio, 100 * r->saved);
    printf("relative error %.6f", r->relative_error);
    if (r->least > 0) printf(" (no chain of these patterns is below %.6f)", r->least);
    if (r->activation_error > 0)
        printf("\nrelative error of the outputs %.6f", r->activation_error);
    printf("\nval loss %.6g", r->val_loss);
    if (r->best_epoch > 0)
        printf(", best %.6g in epoch %lld", r->best_val_loss, (long long)r->best_epoch);
    else if (r->best_val_loss < r->val_loss)
        printf(", best %.6g is the closed form's", r->best_val_loss);
    if (r->sweeps > 0) printf(", %lld sweeps", (long long)r->sweeps);
    printf("\n%s, %.1f s\n", r->final_path, r->seconds);
}

static void show_json(const wn_ks_result *r) {
    json_out j = {.file = stdout};
    put_open(&j, NULL, '{');
    put_int(&j, "out_features", r->out);
    put_int(&j, "in_features", r->in);
    put_int(&j, "factors", r->factors);
    put_int(&j, "dense_parameters", r->dense);
    put_int(&j, "sparse_parameters", r->params);
    put_real(&j, "compression_ratio", r->ratio);
    put_real(&j, "memory_savings_percent", 100 * r->saved);
    put_real(&j, "relative_error", r->relative_error);
    put_real(&j, "activation_error", r->activation_error);
    put_real(&j, "least_relative_error", r->least);
    put_real(&j, "val_loss", r->val_loss);
    put_real(&j, "best_val_loss", r->best_val_loss);
    put_int(&j, "best_epoch", r->best_epoch);
    put_int(&j, "sweeps", r->sweeps);
    put_text(&j, "path", r->final_path);
    put_real(&j, "seconds", r->seconds);
    put_close(&j, '}');
    putchar('\n');
}

static wn_ks_options options_of(const options *o) {
    return (wn_ks_options){.tensor = opt_text(o, O_tensor),
                           .chain = opt_text(o, O_chain),
                           .rank = opt_int(o, O_ks_rank),
                           .method = opt_text(o, O_ks_method),
                           .data = opt_text(o, O_ks_data),
                           .calib = opt_text(o, O_calib),
                           .calib_tokens = opt_int(o, O_calib_tokens),
                           .seq_len = o->value[O_seq_len].given ? opt_int(o, O_seq_len) : 0,
                           .data_std = opt_real(o, O_data_std),
                           .samples = opt_int(o, O_num_samples),
                           .val_split = opt_real(o, O_val_split),
                           .batch_last = opt_flag(o, O_bs_last),
                           .impl = opt_text(o, O_impl),
                           // what is right without it depends on the device
                           .dtype = o->value[O_ks_dtype].given ? opt_text(o, O_ks_dtype) : NULL,
                           .device = opt_text(o, O_ks_device),
                           .batch_size = opt_int(o, O_ks_batch),
                           .epochs = opt_int(o, O_num_epochs),
                           .lr = opt_real(o, O_ks_lr),
                           .weight_decay = opt_real(o, O_ks_decay),
                           .optimizer = opt_text(o, O_ks_optimizer),
                           .scheduler = opt_text(o, O_ks_scheduler),
                           .patience = opt_int(o, O_scheduler_patience),
                           .factor = opt_real(o, O_scheduler_factor),
                           .step_size = opt_int(o, O_step_size),
                           .gamma = opt_real(o, O_gamma),
                           .max_grad_norm = opt_real(o, O_max_grad_norm),
                           .output_dir = opt_text(o, O_output_dir),
                           .prefix = opt_text(o, O_save_prefix),
                           .save_interval = opt_int(o, O_save_interval),
                           .log_interval = opt_int(o, O_log_interval),
                           .resume = opt_text(o, O_ks_resume),
                           .seed = (uint64_t)opt_int(o, O_seed),
                           .threads = (int)opt_int(o, O_threads)};
}

// Options of the other half of the command would be without effect: 0, or the code after saying so.
static int check_given(const options *o, const char *half, const option_id *other, size_t n) {
    char name[OPTION_NAME_MAX];
    for (size_t i = 0; i < n; i++) {
        if (!o->value[other[i]].given) continue;
        option_name(other[i], name);
        return usage_error("winnow ks %s has no --%s", half, name);
    }
    return EXIT_OK;
}

static int fit(const options *o) {
    static const option_id of_apply[] = {
        O_out,      O_sparsity,  O_force,        O_ratio,      O_search,
        O_rounds,   O_recover,   O_recover_lr,   O_ks_distill, O_distill_temperature,
        O_ks_merge, O_eval_data, O_eval_fraction};
    int code = check_given(o, "fit", of_apply, sizeof of_apply / sizeof *of_apply);
    if (code != EXIT_OK) return code;
    const char *path = o->arguments > 1 ? o->argument[1] : opt_text(o, O_weight_path);
    if (!path || (o->arguments > 1 && opt_text(o, O_weight_path)))
        return usage_error("winnow ks fit needs one weight: WEIGHT or --weight-path");
    const char *device = opt_text(o, O_ks_device);
    if (device && strcmp(device, "cpu") != 0 && strncmp(device, "cuda", 4) != 0)
        return usage_error("--device %s: cpu or cuda expected", device);
    reporter r = {o, opt_flag(o, O_quiet), isatty(STDERR_FILENO), false};
    wn_ks_options k = options_of(o);
    ks_document(o, &k);
    wn_ks_result result;
    k.stop = interrupted;
    if (opt_text(o, O_ranks)) return ks_sweep(o, path, &k);
    interrupts_catch(true);
    wn_status status = wn_ks_fit(path, &k, on_epoch, &r, &result);
    if (status == WN_CANCELLED) fprintf(stderr, "%s\n", wn_last_error());
    if (status != WN_OK) return report(status);
    if (opt_flag(o, O_json))
        show_json(&result);
    else
        show(&result);
    return EXIT_OK;
}

// A device that is there for other commands is no mistake of the command line.
static int check_apply_device(const options *o) {
    const char *device = o->value[O_ks_device].given ? opt_text(o, O_ks_device) : "cpu";
    if (strcmp(device, "cpu") == 0) return EXIT_OK;
    if (strncmp(device, "cuda", 4) != 0)
        return usage_error("winnow ks apply --device %s: cpu expected", device);
    (void)usage_error("winnow ks apply --device %s: cpu expected; its closed forms and least "
                      "squares have no GPU code, the gradients of ks fit have",
                      device);
    return EXIT_UNSUPPORTED;
}

int command_KS(const options *o) {
    static const option_id of_fit[] = {O_weight_path,
                                       O_tensor,
                                       O_chain,
                                       O_ks_rank,
                                       O_ranks,
                                       O_ks_method,
                                       O_ks_data,
                                       O_data_std,
                                       O_num_samples,
                                       O_val_split,
                                       O_bs_last,
                                       O_impl,
                                       O_ks_dtype,
                                       O_num_epochs,
                                       O_ks_lr,
                                       O_ks_decay,
                                       O_ks_optimizer,
                                       O_ks_scheduler,
                                       O_scheduler_patience,
                                       O_scheduler_factor,
                                       O_step_size,
                                       O_gamma,
                                       O_max_grad_norm,
                                       O_log_grad_norm,
                                       O_output_dir,
                                       O_save_prefix,
                                       O_save_interval,
                                       O_ks_resume,
                                       O_log_interval,
                                       O_verbose};
    if (strcmp(o->argument[0], "fit") == 0) return fit(o);
    if (strcmp(o->argument[0], "apply") != 0)
        return usage_error("winnow ks %s: fit or apply expected", o->argument[0]);
    int code = check_apply_device(o);
    if (code != EXIT_OK) return code;
    code = check_given(o, "apply", of_fit, sizeof of_fit / sizeof *of_fit);
    return code == EXIT_OK ? ks_apply(o) : code;
}
