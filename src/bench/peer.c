// SPDX-License-Identifier: MIT
// Finding libraries at run time. None is linked for this, and their names stay out of the
// process's: two BLAS libraries would answer to the same ones.
#include "bench/peer.h"

#include "base/fail.h"
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

extern const wn__peer_type wn__peer_openblas, wn__peer_blis, wn__peer_onednn;

static const wn__peer_type *const types[WN__PEERS] = {&wn__peer_openblas, &wn__peer_blis,
                                                      &wn__peer_onednn};

wn__peer_function *wn__peer_find(const wn__peer *p, const char *name) {
    void *symbol = dlsym(p->handle, name);
    wn__peer_function *function = NULL;
    memcpy(&function, &symbol, sizeof function); // POSIX: they have one representation
    return function;
}

wn_status wn__peer_lookup(wn__peer *p, int first, const char *const *name, int count) {
    for (int i = 0; i < count; i++) {
        p->call[first + i] = wn__peer_find(p, name[i]);
        if (!p->call[first + i]) return wn__fail(WN_UNSUPPORTED, "%s has no %s", p->path, name[i]);
    }
    return WN_OK;
}

void wn__peer_threads(const wn__peer *p, int threads) {
    if (p->type->threads) {
        p->type->threads(p, threads);
        return;
    }
    wn__peer_function *set = wn__peer_find(p, "omp_set_num_threads"); // also in what it links
    if (set) ((void (*)(int))set)(threads);
}

// The file as it was found.
static void find_path(wn__peer *p, const char *name) {
    char at[WN__PEER_TEXT] = "";
    (void)snprintf(p->path, sizeof p->path, "%s", name);
    if (dlinfo(p->handle, RTLD_DI_ORIGIN, at) != 0 || at[0] == '\0') return;
    (void)snprintf(p->path, sizeof p->path, "%.150s/%.40s", at, name);
}

static void open_peer(wn__peer *p) {
    for (const char *const *file = p->type->file; *file && !p->handle; file++) {
        p->handle = dlopen(*file, RTLD_NOW | RTLD_LOCAL);
        if (p->handle) find_path(p, *file);
    }
    if (!p->handle) {
        (void)snprintf(p->why, sizeof p->why, "not found (%s)", p->type->file[0]);
        return;
    }
    if (p->type->open(p) == WN_OK) return;
    (void)snprintf(p->why, sizeof p->why, "%s", wn_last_error());
    (void)dlclose(p->handle);
    p->handle = NULL;
}

// Whether the list names it. A word is looked up whole.
static bool listed(const char *list, const char *name, size_t length) {
    for (const char *word = list; *word; word += *word == ',') {
        size_t n = strcspn(word, ",");
        if (n == length && strncmp(word, name, n) == 0) return true;
        word += n;
    }
    return false;
}

static wn_status check_words(const char *wanted) {
    for (const char *word = wanted; *word; word += *word == ',') {
        size_t n = strcspn(word, ",");
        bool known = n == 4 && strncmp(word, "none", n) == 0;
        for (int i = 0; i < WN__PEERS; i++)
            known = known || (strlen(types[i]->name) == n && strncmp(types[i]->name, word, n) == 0);
        if (!known)
            return wn__fail(WN_INVALID,
                            "no peer is called '%.*s'; there are openblas, blis, onednn, and none",
                            (int)(n > 40 ? 40 : n), word);
        word += n;
    }
    return WN_OK;
}

wn_status wn__peers_open(wn__peers *peers, const char *wanted) {
    *peers = (wn__peers){0};
    for (int i = 0; i < WN__PEERS; i++)
        peers->peer[i].type = types[i];
    if (wanted) WN_TRY(check_words(wanted));
    for (int i = 0; i < WN__PEERS; i++) {
        wn__peer *p = peers->peer + i;
        if (!wanted || listed(wanted, p->type->name, strlen(p->type->name)))
            open_peer(p);
        else
            (void)snprintf(p->why, sizeof p->why, "not asked for");
    }
    return WN_OK;
}

// Ends the threads of OpenMP. What was opened stays mapped: a runtime may have left more behind.
void wn__peers_close(wn__peers *peers) {
    enum { HARD = 2 }; // omp_pause_hard of omp.h
    for (int i = 0; i < WN__PEERS; i++) {
        wn__peer *p = peers->peer + i;
        wn__peer_function *pause = p->handle ? wn__peer_find(p, "omp_pause_resource_all") : NULL;
        if (pause) (void)((int (*)(int))pause)(HARD);
        p->handle = NULL;
    }
}
