// SPDX-License-Identifier: MIT
// A Kronecker-sparse chain in place of a weight, by training on random vectors and in closed form:
// 03_ks WEIGHT DIR [EPOCHS [RANK]]. WEIGHT is a .pth or .safetensors with one matrix.
#include <stdio.h>
#include <stdlib.h>
#include <winnow/ks.h>

static void on_epoch(void *ctx, const wn_ks_epoch *e) {
    (void)ctx;
    printf("epoch %lld of %lld: train %.5g, held out %.5g, gradient %.4g, rate %.2g%s\n",
           (long long)e->epoch, (long long)e->epochs, e->train_loss, e->val_loss, e->grad_norm,
           e->lr, e->best ? ", best so far" : "");
    for (int t = 0; t < e->factors; t++)
        printf("%s%.3g", t > 0 ? " " : "  factors' gradients ", e->factor_norm[t]);
    printf("\n");
}

static void show(const char *how, const wn_ks_result *r) {
    printf("%s: %lld x %lld in %d factors, %lld of %lld parameters: %.2f times smaller, %.2f %% "
           "of the memory saved\n",
           how, (long long)r->out, (long long)r->in, r->factors, (long long)r->params,
           (long long)r->dense, r->ratio, 100 * r->saved);
    printf("  relative error %.4f, loss %.5g, %.1f s, %s\n", r->relative_error, r->val_loss,
           r->seconds, r->final_path);
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: %s WEIGHT DIR [EPOCHS [RANK]]\n", argv[0]);
        return 2;
    }
    wn_ks_options o = {.chain = "legacy",
                       .rank = argc > 4 ? atol(argv[4]) : 4,
                       .method = "sgd",
                       .data_std = 2,
                       .samples = 1000,
                       .val_split = 0.2,
                       .batch_size = 64,
                       .epochs = argc > 3 ? atol(argv[3]) : 10,
                       .lr = 1e-3,
                       .weight_decay = 1e-4,
                       .patience = 10,
                       .factor = 0.5,
                       .step_size = 30,
                       .gamma = 0.1,
                       .max_grad_norm = 1,
                       .output_dir = argv[2],
                       .prefix = "trained",
                       .save_interval = 10,
                       .seed = 1};
    wn_ks_result trained, closed;
    wn_status status = wn_ks_fit(argv[1], &o, on_epoch, NULL, &trained);
    o.method = "svd";
    o.prefix = "closed";
    if (status == WN_OK) status = wn_ks_fit(argv[1], &o, NULL, NULL, &closed);
    if (status != WN_OK) {
        fprintf(stderr, "%s: %s\n", wn_status_text(status), wn_last_error());
        return 1;
    }
    show("trained", &trained);
    show("closed form", &closed);
    return 0;
}
