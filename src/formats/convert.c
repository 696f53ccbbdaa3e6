// SPDX-License-Identifier: MIT
// Weights from one kind of file to another: what every kind of file is read as, a list of names and
// views, is all that every kind is written from.
#include "winnow/convert.h"

#include "base/fail.h"
#include "formats/hf_config.h"
#include "formats/notes.h"
#include "formats/pth.h"
#include "formats/safetensors.h"
#include "tensor/tensor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct source {
    const char *path;
    wn__pth pth;
    wn__safetensors st;
    wn__hf_weights *weights;
    wn__st_item *item; // names and views, in the order of the names
    size_t count;
    void *packed; // the tensor being written
    wn__notes notes;
} source;

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), k = strlen(end);
    return n >= k && strcmp(s + n - k, end) == 0;
}

static wn_status room(source *s, size_t count) {
    s->count = count;
    s->item = calloc(count + 1, sizeof *s->item);
    return s->item != NULL ? WN_OK : wn__fail(WN_NOMEM, "%s: out of memory", s->path);
}

static wn_status open_pth(source *s) {
    WN_TRY(wn__pth_open(s->path, &s->pth));
    WN_TRY(room(s, s->pth.count));
    for (size_t i = 0; i < s->count; i++)
        s->item[i] = (wn__st_item){.name = s->pth.entry[i].name, .view = s->pth.entry[i].view};
    return wn__notes_of_pth(&s->notes, &s->pth);
}

static wn_status open_safetensors(source *s) {
    WN_TRY(wn__safetensors_open(s->path, &s->st));
    WN_TRY(room(s, s->st.count));
    for (size_t i = 0; i < s->count; i++)
        s->item[i] = (wn__st_item){.name = s->st.entry[i].name, .view = s->st.entry[i].view};
    return wn__notes_of_safetensors(&s->notes, &s->st);
}

static wn_status open_directory(source *s) {
    const char *file;
    char dir[WN_PATH_MAX]; // of weights alone where there is no config.json
    if (wn__model_dir(s->path, dir) != WN_OK) WN_TRY(wn__path_join(dir, sizeof dir, s->path, "."));
    WN_TRY(wn__hf_weights_open(dir, &s->weights));
    WN_TRY(room(s, wn__hf_weights_count(s->weights)));
    for (size_t i = 0; i < s->count; i++)
        wn__hf_weights_at(s->weights, i, &s->item[i].name, &s->item[i].view, &file);
    for (size_t i = 0; i < wn__hf_weights_files(s->weights); i++)
        WN_TRY(wn__notes_of_safetensors(&s->notes, wn__hf_weights_file(s->weights, i)));
    return WN_OK;
}

static wn_status open_source(source *s) {
    wn__map map;
    if (wn__dir_exists(s->path)) return open_directory(s);
    WN_TRY(wn__map_open(s->path, &map));
    bool torch = wn__pth_begins(map.data, map.size) || !ends_with(s->path, ".safetensors");
    wn__map_close(&map);
    return torch ? open_pth(s) : open_safetensors(s);
}

static void close_source(source *s) {
    wn__pth_close(&s->pth);
    wn__safetensors_close(&s->st);
    wn__hf_weights_close(s->weights);
    wn__notes_free(&s->notes);
    free(s->item);
    free(s->packed);
}

static wn_status choose(source *s, const char *tensor) {
    for (size_t i = 0; tensor != NULL && i < s->count; i++) {
        if (strcmp(s->item[i].name, tensor) != 0) continue;
        s->item[0] = s->item[i];
        s->count = 1;
        wn__notes_free(&s->notes); // of a whole
        return WN_OK;
    }
    if (tensor != NULL)
        return wn__fail(WN_INVALID, "%s: no tensor '%s' among its %zu", s->path, tensor, s->count);
    return s->count > 0 ? WN_OK : wn__fail(WN_INVALID, "%s: holds no tensor", s->path);
}

// Any strides and alignment, packed.
static wn_status make_packed(void *ctx, size_t which, wn_tensor *out) {
    source *s = ctx;
    const wn_tensor *view = &s->item[which].view;
    size_t bytes = wn__tensor_bytes(view);
    void *grown = realloc(s->packed, bytes > 0 ? bytes : 1);
    if (grown == NULL) return wn__fail(WN_NOMEM, "%s: out of memory for %zu bytes", s->path, bytes);
    s->packed = grown;
    wn__pth_copy(view, s->packed);
    *out = wn__tensor(s->packed, view->dtype, view->ndim, view->shape);
    return WN_OK;
}

static wn_status write_safetensors(source *s, const char *to) {
    wn__st_item *items = calloc(s->count + 1, sizeof *items);
    if (items == NULL) return wn__fail(WN_NOMEM, "%s: out of memory", s->path);
    for (size_t i = 0; i < s->count; i++) {
        const wn_tensor *view = &s->item[i].view;
        bool bare = s->count == 1 && s->item[i].name[0] == 0;
        items[i] = (wn__st_item){.name = bare ? "weight" : s->item[i].name,
                                 .view = wn__tensor(NULL, view->dtype, view->ndim, view->shape),
                                 .make = make_packed,
                                 .ctx = s,
                                 .which = i};
    }
    wn_status status =
        wn__safetensors_write(to, items, s->count, s->notes.item, s->notes.count, NULL, NULL);
    free(items);
    return status;
}

static void put_tensor(const source *s, size_t i, size_t skip, wn__pth_writer *w) {
    wn__pth_put_text(w, s->item[i].name + skip);
    wn__pth_put_tensor(w, &s->item[i].view);
}

// A checkpoint of a chain has its factors, and its head, in dictionaries of their own.
static void put_checkpoint(const source *s, const wn__json *patterns, wn__pth_writer *w) {
    static const char *const inner[] = {"head.", "model_state_dict."};
    if (wn__notes_has_layers(&s->notes)) // they are the state of an OrderedDict
        wn__pth_begin_ordered(w);
    else
        wn__pth_begin(w, WN__PICKLE_DICT);
    for (size_t i = 0, end; i < s->count; i = end) {
        const char *prefix = NULL;
        for (int k = 0; k < 2; k++)
            if (strncmp(s->item[i].name, inner[k], strlen(inner[k])) == 0) prefix = inner[k];
        end = i + 1;
        if (prefix == NULL) {
            put_tensor(s, i, 0, w);
            continue;
        }
        char name[32];
        (void)snprintf(name, sizeof name, "%.*s", (int)strlen(prefix) - 1, prefix);
        wn__pth_put_text(w, name);
        wn__pth_begin_ordered(w);
        put_tensor(s, i, strlen(prefix), w);
        for (; end < s->count && strncmp(s->item[end].name, prefix, strlen(prefix)) == 0; end++)
            put_tensor(s, end, strlen(prefix), w);
        wn__pth_end(w);
    }
    wn__notes_put_chain(&s->notes, patterns, w);
    wn__pth_end(w);
    wn__notes_put_layers(&s->notes, w);
}

static int compare_names(const void *a, const void *b) {
    return strcmp(((const wn__st_item *)a)->name, ((const wn__st_item *)b)->name);
}

// *out: the patterns of a checkpoint whose factors are all there, to be freed; else NULL.
static wn_status find_patterns(const source *s, wn__json **out) {
    char name[64];
    const wn__st_item key = {.name = name};
    WN_TRY(wn__notes_patterns(&s->notes, out));
    for (size_t t = 0; t < wn__json_count(*out); t++) {
        (void)snprintf(name, sizeof name, "model_state_dict.weights.%zu", t);
        if (bsearch(&key, s->item, s->count, sizeof key, compare_names) != NULL) continue;
        wn__json_free(*out);
        *out = NULL;
    }
    return WN_OK;
}

static wn_status write_pth(const source *s, const char *to, bool bare) {
    wn__pth_writer *w;
    wn__json *patterns = NULL;
    WN_TRY(find_patterns(s, &patterns));
    wn_status status = wn__pth_create(to, &w);
    if (status != WN_OK) {
        wn__json_free(patterns);
        return status;
    }
    if (bare) {
        wn__pth_put_tensor(w, &s->item[0].view);
    } else if (patterns != NULL) {
        put_checkpoint(s, patterns, w);
    } else {
        wn__pth_begin_ordered(w);
        for (size_t i = 0; i < s->count; i++)
            put_tensor(s, i, 0, w);
        wn__pth_end(w);
        wn__notes_put_layers(&s->notes, w);
    }
    wn__json_free(patterns);
    return wn__pth_commit(w);
}

static wn_status convert(source *s, const char *to, const wn_convert_options *o,
                         wn_convert_result *out) {
    bool pth = ends_with(to, ".pth");
    if (!pth && !ends_with(to, ".safetensors"))
        return wn__fail(WN_INVALID, "%s: a name that ends in .pth or .safetensors expected", to);
    if (!o->force && wn__file_exists(to))
        return wn__fail(WN_INVALID, "%s: is there; choose another, or --force to replace it", to);
    WN_TRY(open_source(s));
    WN_TRY(choose(s, o->tensor));
    *out = (wn_convert_result){.tensors = s->count};
    for (size_t i = 0; i < s->count; i++)
        out->bytes += wn__tensor_bytes(&s->item[i].view);
    bool bare = o->tensor != NULL || (s->count == 1 && s->item[0].name[0] == 0);
    return pth ? write_pth(s, to, bare) : write_safetensors(s, to);
}

wn_status wn_convert(const char *from, const char *to, const wn_convert_options *o,
                     wn_convert_result *out) {
    source s = {.path = from};
    *out = (wn_convert_result){0};
    wn_status status = convert(&s, to, o, out);
    close_source(&s);
    return status;
}
