// SPDX-License-Identifier: MIT
// The shapes that low-rank pre-training papers train (ReLoRA, GaLore, LORO and what followed), as
// their configuration files have them. Of all: SiLU with a gate, as many key/value heads as heads,
// RMS eps 1e-6, initial weights of standard deviation 0.02, no biases, an embedding of its own for
// the head.
#include "winnow/train.h"
#include <string.h>

static const wn_llama_config configs[] = {
    // name, hidden_size, intermediate_size, layers, heads, vocab_size, max_positions
    {"llama_toy", 16, 20, 4, 4, 32000, 1024},
    {"llama_9m", 128, 352, 4, 4, 32000, 1024},
    {"llama_20m", 256, 688, 4, 4, 32000, 1024},
    {"llama_35m", 384, 1024, 6, 8, 32000, 1024},
    {"llama_40m", 416, 1024, 8, 8, 32000, 1024},
    {"llama_40m4d", 480, 1400, 4, 8, 32000, 1024},
    {"llama_60m", 512, 1376, 8, 8, 32000, 1024},
    {"llama_71m", 512, 1368, 12, 8, 32000, 1024},
    {"llama_94m", 640, 1450, 12, 10, 32100, 1024},
    {"llama_94m6d", 820, 1720, 6, 10, 32100, 1024},
    {"llama_94m8d", 760, 1475, 8, 10, 32100, 1024},
    {"llama_100m", 640, 1708, 12, 10, 32100, 1024},
    {"llama_130m", 768, 2048, 12, 12, 32000, 1024},
    {"llama_185m12d", 1024, 1880, 12, 16, 32000, 1024},
    {"llama_185m", 736, 1640, 24, 16, 32000, 1024},
    {"llama_250m", 768, 2560, 24, 16, 32000, 1024},
    {"llama_350m", 1024, 2736, 24, 16, 32000, 1024},
    {"llama_609m12d", 1984, 4115, 12, 32, 32000, 1024},
    {"llama_609m", 1408, 3250, 24, 32, 32000, 1024},
    {"llama_1b", 2048, 5461, 24, 32, 32000, 1024},
    {"llama_3b", 2560, 6848, 32, 32, 32000, 1024},
    {"llama_7bslim", 4096, 8192, 32, 32, 32000, 2048},
    {"llama_7b", 4096, 11008, 32, 32, 32000, 2048},
};
#define CONFIGS (sizeof configs / sizeof *configs)

const wn_llama_config *wn_llama_configs(size_t *count) {
    *count = CONFIGS;
    return configs;
}

const wn_llama_config *wn_llama_config_find(const char *name) {
    const char *slash = strrchr(name, '/');
    if (slash != NULL) name = slash + 1;
    size_t n = strlen(name);
    if (n > 5 && strcmp(name + n - 5, ".json") == 0) n -= 5;
    if (n > 6 && strncmp(name, "llama_", 6) == 0) {
        name += 6;
        n -= 6;
    }
    for (size_t i = 0; i < CONFIGS; i++) {
        const char *size = configs[i].name + 6; // behind "llama_"
        if (strlen(size) == n && memcmp(size, name, n) == 0) return &configs[i];
    }
    return NULL;
}
