// SPDX-License-Identifier: MIT
/* winnow ks fit --weight_path: the defaults of the program that has this flag. */
#include "ks_document.h"
#include <string.h>
#include <winnow/kernels.h>

/* Batched products on a processor need a CBLAS. */
static bool has_bmm(void) {
    wn_kernel_info info;
    for (size_t i = 0; i < wn_kernel_count(); i++) {
        wn_kernel_get(i, &info);
        if (strcmp(info.op, "kron_mul") == 0 && strcmp(info.variant, "cblas") == 0)
            return info.available;
    }
    return false;
}

void ks_document(const options *o, wn_ks_options *k) {
    const option_value *path = &o->value[O_weight_path];
    if (!path->given || !path->underscored) return;
    if (!o->value[O_ks_method].given) k->method = "sgd";
    if (!o->value[O_ks_dtype].given) k->dtype = "float16";
    const char *device = opt_text(o, O_ks_device);
    bool gpu = device && strncmp(device, "cuda", 4) == 0;
    if (!o->value[O_impl].given && !gpu && has_bmm()) k->impl = "bmm";
    if (opt_flag(o, O_quiet)) return;
    fprintf(stderr,
            "--weight_path: method %s, impl %s, dtype %s; 'winnow ks fit WEIGHT' begins with a "
            "closed form and the fused kernels\n",
            k->method, k->impl, k->dtype);
}
