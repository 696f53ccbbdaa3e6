// SPDX-License-Identifier: MIT
// libFuzzer target: any bytes as a config.json. What is accepted must pass the check and have a
// number of parameters.
#include "formats/hf_config.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition) {
    if (!condition) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    wn__model_config c;
    if (wn__hf_config_parse((const char *)data, size, "fuzz", &c) != WN_OK) {
        require(strstr(wn_last_error(), "fuzz") != NULL && c.vocab_size == 0);
        return 0;
    }
    require(wn__model_config_check(&c) == WN_OK);
    int64_t params = wn__model_config_params(&c);
    require(params > 0 && params < INT64_MAX);
    require(c.heads % c.kv_heads == 0 && c.eos_count >= 0 && c.eos_count <= WN_MAX_EOS);
    return 0;
}
