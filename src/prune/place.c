// SPDX-License-Identifier: MIT
// Choosing, filling and publishing an output directory. Nothing of the model may be lost: the
// output is neither inside the model nor around it, and only a model directory with nothing else in
// it is ever replaced.
#include "prune/place.h"

#include "base/fail.h"
#include "base/file.h"
#include "base/file_sync.h"
#include "base/log.h"
#include "formats/hf_config.h"
#include "prune/leftover.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// ---- which files ----

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), k = strlen(end);
    return n >= k && strcmp(s + n - k, end) == 0;
}

// config.json and the index are written by others.
static bool is_written(const char *name) {
    return strcmp(name, "config.json") == 0 || strcmp(name, "model.safetensors.index.json") == 0;
}

// An index of other weights, or the state of a run, says nothing of the pruned model.
static bool is_copied(const char *name) {
    static const char *const ends[] = {".json", ".txt", ".model", ".jinja", ".tiktoken"};
    static const char *const begins[] = {"LICENSE", "NOTICE", "USE_POLICY"};
    if (ends_with(name, ".index.json") || strcmp(name, "state.json") == 0) return false;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (ends_with(name, ends[i])) return true;
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++)
        if (strncmp(name, begins[i], strlen(begins[i])) == 0) return true;
    return false;
}

// Names that a pruned model may have: of what is written, and of what is copied. The state of a run
// is neither.
bool wn__place_is_of_a_model(const char *name) {
    bool weights = ends_with(name, ".safetensors") && strcmp(name, "training.safetensors") != 0;
    return weights || is_written(name) || is_copied(name);
}

// ---- whether it may be there ----

static wn_status set_out(const char *out, wn__place *p) {
    size_t n = strlen(out);
    while (n > 1 && out[n - 1] == '/')
        n--;
    if (n == 0) return wn__fail(WN_INVALID, "the output directory has an empty name");
    if (n + 64 > sizeof p->out)
        return wn__fail(WN_INVALID, "%.64s...: a path of %zu bytes, at most %zu", out, n,
                        sizeof p->out - 64);
    memcpy(p->out, out, n);
    p->out[n] = '\0';
    return WN_OK;
}

// Nothing that prune would not have made itself is removed with the rest.
static wn_status check_entry(const char *out, const char *name) {
    char path[WN_PLACE_PATH];
    struct stat st;
    WN_TRY(wn__path_join(path, sizeof path, out, name));
    if (lstat(path, &st) != 0) return wn__fail_errno("%s: cannot stat", path);
    if (S_ISREG(st.st_mode) && wn__place_is_of_a_model(name)) return WN_OK;
    return wn__fail(WN_INVALID,
                    "%s: not replaced, as it holds %s '%s', which is no part of a pruned model",
                    out,
                    S_ISDIR(st.st_mode)   ? "the directory"
                    : S_ISLNK(st.st_mode) ? "the symbolic link"
                                          : "the file",
                    name);
}

static wn_status check_entries(const char *out, const wn__names *names) {
    char config[WN_PLACE_PATH];
    WN_TRY(wn__path_join(config, sizeof config, out, "config.json"));
    if (names->count > 0 && !wn__file_exists(config))
        return wn__fail(WN_INVALID,
                        "%s: %zu entries and no config.json: not a model directory, so it is not "
                        "replaced",
                        out, names->count);
    for (size_t i = 0; i < names->count; i++)
        WN_TRY(check_entry(out, names->name[i]));
    return WN_OK;
}

// What --force may remove: a model directory with nothing else in it, or an empty one.
static wn_status check_replaceable(const char *out) {
    wn__names names;
    WN_TRY(wn__dir_list(out, &names));
    wn_status status = check_entries(out, &names);
    wn__names_free(&names);
    return status;
}

static wn_status check_there(wn__place *p, bool force) {
    struct stat st;
    if (lstat(p->out, &st) != 0) {
        if (errno == ENOENT) return WN_OK;
        return wn__fail_errno("%s: cannot stat", p->out);
    }
    if (!S_ISDIR(st.st_mode))
        return wn__fail(WN_INVALID, "%s: %s is there, where a directory is to be made", p->out,
                        S_ISLNK(st.st_mode) ? "a symbolic link" : "a file");
    if (!force)
        return wn__fail(WN_INVALID, "%s: is there; choose another, or --force to replace it",
                        p->out);
    WN_TRY(check_replaceable(p->out));
    p->replace = true;
    return WN_OK;
}

// The real path that `path` would have, of which the last components may not be there yet.
static wn_status real_path(const char *path, char out[2 * WN_PLACE_PATH]) {
    char have[WN_PLACE_PATH], missing[WN_PLACE_PATH] = "", *real;
    (void)snprintf(have, sizeof have, "%s", path);
    while ((real = realpath(have, NULL)) == NULL && errno == ENOENT) {
        char *slash = strrchr(have, '/'), rest[WN_PLACE_PATH];
        const char *last = slash != NULL ? slash + 1 : have;
        if (strcmp(last, "..") == 0)
            return wn__fail(WN_INVALID, "%s: '..' below a directory that is not there", path);
        (void)snprintf(rest, sizeof rest, "/%.*s%.*s", WN_PLACE_PATH / 2 - 2, last,
                       WN_PLACE_PATH / 2 - 2, missing);
        memcpy(missing, rest, sizeof rest);
        if (slash == NULL)
            memcpy(have, ".", 2);
        else
            slash[slash == have] = '\0'; // "/name" lies in "/"
    }
    if (real == NULL) return wn__fail_errno("%s: cannot resolve", path);
    (void)snprintf(out, (size_t)2 * WN_PLACE_PATH, "%s%s", strcmp(real, "/") == 0 ? "" : real,
                   missing);
    free(real);
    return WN_OK;
}

static bool inside(const char *path, const char *dir) {
    size_t n = strlen(dir);
    return strncmp(path, dir, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

wn_status wn__place_check(const char *out, const char *model, bool force, wn__place *place) {
    char real_out[2 * WN_PLACE_PATH], real_model[2 * WN_PLACE_PATH];
    *place = (wn__place){.replace = false};
    WN_TRY(set_out(out, place));
    WN_TRY(real_path(place->out, real_out));
    WN_TRY(real_path(model, real_model));
    if (inside(real_out, real_model))
        return wn__fail(WN_INVALID, "%s: lies in the model's own directory, %s", out, model);
    if (inside(real_model, real_out))
        return wn__fail(WN_INVALID, "%s: holds the model, %s", out, model);
    return check_there(place, force);
}

// ---- making and publishing it ----

static wn_status make_parents(const char *out) {
    char parent[WN_PLACE_PATH];
    (void)snprintf(parent, sizeof parent, "%s", out);
    char *slash = strrchr(parent, '/');
    if (slash == NULL || slash == parent) return WN_OK;
    *slash = '\0';
    return wn__dir_make(parent);
}

// As long as it is locked it is no leftover. BUSY: another prune took it for one before it was.
static bool hold(wn__place *p, const char *name) {
    wn__claim claim = wn__dir_claim(name, &p->lock);
    if (claim == WN_CLAIM_BUSY) return false;
    p->locked = claim == WN_CLAIM_MINE;
    (void)snprintf(p->temporary, sizeof p->temporary, "%s", name);
    return true;
}

static void let_go(wn__place *p) {
    if (p->locked) (void)close(p->lock);
    p->locked = false;
    p->temporary[0] = '\0';
}

wn_status wn__place_begin(wn__place *p) {
    WN_TRY(make_parents(p->out));
    wn__leftovers_remove(p->out);
    for (int n = 0; n < WN_TEMPORARY_TRIES; n++) {
        char *name = wn__temporary_name(p->out, n);
        if (name == NULL) return wn__fail(WN_NOMEM, "%s: out of memory", p->out);
        bool made = mkdir(name, 0777) == 0;
        int cause = errno;
        bool held = made && hold(p, name);
        free(name);
        if (held) return WN_OK;
        errno = made ? EEXIST : cause;
        if (errno != EEXIST) break;
    }
    return wn__fail_errno("%s: cannot make a directory beside it", p->out);
}

// The old directory stands aside until the new one is in its place. Pruning takes a while: it is
// looked at again.
static wn_status swap_held(wn__place *p) {
    char aside[WN_PLACE_PATH + 8];
    WN_TRY(check_replaceable(p->out));
    (void)snprintf(aside, sizeof aside, "%s-old", p->temporary);
    if (rename(p->out, aside) != 0) return wn__fail_errno("%s: cannot move aside", p->out);
    wn_status status = wn__dir_publish(p->temporary, p->out);
    if (status != WN_OK) {
        (void)rename(aside, p->out);
        return status;
    }
    let_go(p);
    return wn__dir_remove(aside);
}

// The old directory is held until it is gone, so that nobody takes it for a leftover.
static wn_status swap(wn__place *p) {
    int old;
    wn__claim claim = wn__dir_claim(p->out, &old);
    if (claim == WN_CLAIM_BUSY)
        return wn__fail(WN_INVALID, "%s: not replaced, as another process is using it", p->out);
    wn_status status = swap_held(p);
    if (claim == WN_CLAIM_MINE) (void)close(old);
    return status;
}

wn_status wn__place_publish(wn__place *p) {
    if (p->replace) return swap(p);
    WN_TRY(wn__dir_publish(p->temporary, p->out));
    let_go(p);
    return WN_OK;
}

void wn__place_abort(wn__place *p) {
    if (p->temporary[0] == '\0') return;
    char why[1024];
    (void)snprintf(why, sizeof why, "%s", wn_last_error());
    // a removal that fails leaves a name that says what it is; the first message is the one to tell
    wn_status status = wn__dir_remove(p->temporary);
    (void)wn__fail(status, "%s", why);
    let_go(p);
}

// ---- the other files ----

static wn_status copy_file(const char *model, const char *from, const char *to) {
    char *bytes;
    size_t size;
    WN_TRY(wn__hf_check_link(model, from));
    WN_TRY(wn__file_read(from, 0, &bytes, &size));
    wn_status status = wn__file_write(to, bytes, size);
    free(bytes);
    return status;
}

// Files of weights were written by now, so what is in the temporary directory is not left out.
static wn_status take_entry(const wn__place *p, const char *model, const char *name, FILE *left) {
    char from[WN_PLACE_PATH], to[WN_PLACE_PATH];
    WN_TRY(wn__path_join(from, sizeof from, model, name));
    WN_TRY(wn__path_join(to, sizeof to, p->temporary, name));
    if (is_written(name) || wn__file_exists(to)) return WN_OK;
    if (is_copied(name) && wn__file_exists(from)) return copy_file(model, from, to);
    (void)fprintf(left, "%s%s", ftell(left) > 0 ? ", " : "", name);
    return WN_OK;
}

wn_status wn__place_copy_files(const wn__place *p, const char *model) {
    wn__names names;
    char *text = NULL;
    size_t size = 0;
    WN_TRY(wn__dir_list(model, &names));
    wn_status status = WN_OK;
    FILE *left = open_memstream(&text, &size);
    if (left == NULL) status = wn__fail(WN_NOMEM, "%s: out of memory", model);
    for (size_t i = 0; i < names.count && status == WN_OK; i++)
        status = take_entry(p, model, names.name[i], left);
    if (left != NULL) (void)fclose(left);
    if (status == WN_OK && size > 0) wn__log(WN_LOG_INFO, "not copied from %s: %s", model, text);
    free(text);
    wn__names_free(&names);
    return status;
}
