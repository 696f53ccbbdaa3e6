// SPDX-License-Identifier: MIT
// libFuzzer target: any text as a file of measured choices. What is accepted survives being written
// and read again; a refusal names the file.
#include "kernels/tuned.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition) {
    if (!condition) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    wn__tuned t = {0}, again = {0};
    char *text = calloc(size + 1, 1), *written;
    if (text == NULL) return 0;
    memcpy(text, data, size);
    if (wn__tuned_parse(&t, text, "fuzz") != WN_OK) {
        require(strstr(wn_last_error(), "fuzz") != NULL);
    } else {
        require(wn__tuned_text(&t, &written) == WN_OK);
        require(wn__tuned_parse(&again, written, "fuzz") == WN_OK && again.count == t.count);
        for (size_t i = 0; i < t.count; i++)
            require(strcmp(t.line[i].class, again.line[i].class) == 0);
        free(written);
    }
    wn__tuned_free(&t);
    wn__tuned_free(&again);
    free(text);
    return 0;
}
