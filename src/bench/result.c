// SPDX-License-Identifier: MIT
// Results as JSON, and read again.
#include "base/fail.h"
#include "bench/gpu.h"
#include "bench/suite.h"

#include <stdio.h>
#include <string.h>

#define FORMAT_NAME "winnow bench 1"
#define LARGEST     ((size_t)64 << 20)

static const char *const roles[] = {"dense", "structure", "peer"};

// The object grows; a failure stays.
typedef struct object {
    wn__json *o;
    wn_status status;
} object;

static void put(object *j, const char *key, wn__json *value) {
    wn_status status = wn__json_set(j->o, key, value);
    if (j->status == WN_OK) j->status = status;
}
static void put_text(object *j, const char *key, const char *value) {
    put(j, key, wn__json_new_string(value ? value : ""));
}
static void put_real(object *j, const char *key, double value) {
    if (value != 0) put(j, key, wn__json_new_real(value));
}
static void put_spread(object *j, const char *key, const wn_bench_spread *s) {
    if (s->median == 0) return;
    object o = {wn__json_new_object(), WN_OK};
    put_real(&o, "median", s->median);
    put_real(&o, "least", s->least);
    put_real(&o, "most", s->most);
    put(j, key, o.o);
}

static wn__json *finish(object *j) {
    if (j->status == WN_OK) return j->o;
    wn__json_free(j->o);
    return NULL;
}

wn__json *wn__row_json(const wn_bench_row *r) {
    object j = {wn__json_new_object(), WN_OK};
    put_text(&j, "suite", r->suite);
    put_text(&j, "work", r->work);
    put_text(&j, "dtype", r->dtype);
    put_text(&j, "name", r->name);
    put_text(&j, "role", roles[r->role]);
    if (r->out) put(&j, "out", wn__json_new_int(r->out));
    if (r->in) put(&j, "in", wn__json_new_int(r->in));
    if (r->rows) put(&j, "rows", wn__json_new_int(r->rows));
    put_spread(&j, "seconds", &r->seconds);
    put_real(&j, "flops", r->flops);
    put_real(&j, "bytes", r->bytes);
    put_real(&j, "tokens", r->tokens);
    put_real(&j, "peak_share", r->peak_share);
    put_real(&j, "stream_share", r->stream_share);
    put_spread(&j, "over_dense", &r->dense);
    put_spread(&j, "over_peer", &r->peer);
    put_spread(&j, "over_best", &r->best);
    put_spread(&j, "over_bmm", &r->bmm);
    if (r->peer_name[0]) put_text(&j, "peer", r->peer_name);
    put_real(&j, "watts", r->watts);
    put_real(&j, "megahertz", r->megahertz);
    if (r->interrupted) put(&j, "interrupted", wn__json_new_int(r->interrupted));
    return finish(&j);
}

static wn_bench_spread read_spread(const wn__json *j, const char *key) {
    const wn__json *s = wn__json_get(j, key);
    return (wn_bench_spread){wn__json_real(wn__json_get(s, "median")),
                             wn__json_real(wn__json_get(s, "least")),
                             wn__json_real(wn__json_get(s, "most"))};
}

static wn_status read_role(const wn__json *j, const char *path, wn_bench_role *out) {
    const char *role;
    WN_TRY(wn__json_get_string(j, path, "role", NULL, &role));
    for (int i = 0; i < 3; i++)
        if (strcmp(role, roles[i]) == 0) {
            *out = (wn_bench_role)i;
            return WN_OK;
        }
    return wn__fail(WN_FORMAT, "%s: 'role': dense, structure or peer, not '%.40s'", path, role);
}

wn_status wn__row_read(const wn__json *j, const char *path, wn_bench_row *out) {
    static const char *const none = "";
    static const int64_t zero = 0;
    wn_bench_row r = {.peer_name = none};
    WN_TRY(wn__json_get_string(j, path, "suite", NULL, &r.suite));
    WN_TRY(wn__json_get_string(j, path, "work", NULL, &r.work));
    WN_TRY(wn__json_get_string(j, path, "dtype", NULL, &r.dtype));
    WN_TRY(wn__json_get_string(j, path, "name", NULL, &r.name));
    WN_TRY(wn__json_get_string(j, path, "peer", &none, &r.peer_name));
    WN_TRY(read_role(j, path, &r.role));
    WN_TRY(wn__json_get_int(j, path, "out", &zero, &r.out));
    WN_TRY(wn__json_get_int(j, path, "in", &zero, &r.in));
    WN_TRY(wn__json_get_int(j, path, "rows", &zero, &r.rows));
    r.seconds = read_spread(j, "seconds");
    if (!(r.seconds.median > 0))
        return wn__fail(WN_FORMAT, "%s: 'seconds' of %.60s: a median above 0 is missing", path,
                        r.name);
    r.flops = wn__json_real(wn__json_get(j, "flops"));
    r.bytes = wn__json_real(wn__json_get(j, "bytes"));
    r.tokens = wn__json_real(wn__json_get(j, "tokens"));
    r.peak_share = wn__json_real(wn__json_get(j, "peak_share"));
    r.stream_share = wn__json_real(wn__json_get(j, "stream_share"));
    r.watts = wn__json_real(wn__json_get(j, "watts"));
    r.megahertz = wn__json_real(wn__json_get(j, "megahertz"));
    r.dense = read_spread(j, "over_dense");
    r.peer = read_spread(j, "over_peer");
    r.best = read_spread(j, "over_best");
    r.bmm = read_spread(j, "over_bmm");
    int64_t interrupted;
    WN_TRY(wn__json_get_int(j, path, "interrupted", &zero, &interrupted));
    r.interrupted = interrupted > 0 && interrupted < 1 << 30 ? (int)interrupted : 0;
    *out = r;
    return WN_OK;
}

static wn_bench_library library_of(const wn__peer *p) {
    return (wn_bench_library){.name = p->type->name,
                              .version = p->version,
                              .path = p->path,
                              .why = p->handle ? "" : p->why};
}

// Library i of those that a suite looked for.
static bool library_at(const wn__suite *s, int i, wn_bench_library *out) {
    const wn__gpu_bench *g = s->gpu;
    if (g == NULL) {
        if (i < WN__PEERS) *out = library_of(s->peers.peer + i);
        return i < WN__PEERS;
    }
    const bool first = i == 0, there = first ? g->have_cublaslt : g->have_cusparselt;
    const char *text = first ? g->cublaslt : g->cusparselt;
    *out = (wn_bench_library){.name = first ? "cublaslt" : "cusparselt",
                              .version = there ? text : "",
                              .path = there ? (first ? g->cublaslt_file : g->cusparselt_file) : "",
                              .why = there ? "" : text};
    return i < 2;
}

void wn__tell_libraries(const wn__suite *s) {
    wn_bench_library l;
    for (int i = 0; s->events->library && library_at(s, i, &l); i++)
        s->events->library(s->events->ctx, &l);
}

static wn__json *libraries_json(const wn__suite *s) {
    wn__json *list = wn__json_new_array();
    wn_status status = WN_OK;
    wn_bench_library l;
    for (int i = 0; status == WN_OK && library_at(s, i, &l); i++) {
        object j = {wn__json_new_object(), WN_OK};
        put_text(&j, "name", l.name);
        put(&j, "found", wn__json_new_bool(l.why[0] == '\0'));
        put_text(&j, "version", l.version);
        put_text(&j, "path", l.path);
        if (l.why[0]) put_text(&j, "why", l.why);
        status = wn__json_append(list, finish(&j));
    }
    // of another process: in the words of its own result
    const wn__json *merged = wn__json_get(s->merged, "libraries");
    for (size_t i = 0; status == WN_OK && i < wn__json_count(merged); i++)
        status = wn__json_append(list, wn__json_ref(wn__json_at(merged, i)));
    if (status == WN_OK) return list;
    wn__json_free(list);
    return NULL;
}

wn_status wn__result_json(const wn__suite *s, const wn_bench_head *h, char **out) {
    object j = {wn__json_new_object(), WN_OK};
    put_text(&j, "format", FORMAT_NAME);
    put_text(&j, "version", h->version);
    put_text(&j, "machine", h->machine);
    put_text(&j, "date", h->date);
    put_text(&j, "commit", h->commit);
    put_text(&j, "command", h->command);
    put_text(&j, "device", h->device);
    if (h->protocol[0]) put_text(&j, "protocol", h->protocol);
    put(&j, "threads", wn__json_new_int(h->threads));
    put(&j, "repeats", wn__json_new_int(s->repeats));
    put_real(&j, "peak_flops", h->peak);
    put_real(&j, "stream_bytes_per_second", h->stream);
    put(&j, "libraries", libraries_json(s));
    put(&j, "notes", wn__json_ref(s->notes));
    put(&j, "rows", wn__json_ref(s->list));
    if (j.status == WN_OK) j.status = wn__json_dump(j.o, 1, out);
    wn__json_free(j.o);
    return j.status;
}

wn_status wn__result_open(const char *path, wn__json **out) {
    const char *format;
    WN_TRY(wn__json_read(path, LARGEST, out));
    wn_status status = wn__json_get_string(*out, path, "format", NULL, &format);
    if (status == WN_OK && strcmp(format, FORMAT_NAME) != 0)
        status =
            wn__fail(WN_FORMAT, "%s: 'format' is '%.40s', not '%s'", path, format, FORMAT_NAME);
    if (status == WN_OK && wn__json_typeof(wn__json_get(*out, "rows")) != WN_JSON_ARRAY)
        status = wn__fail(WN_FORMAT, "%s: 'rows': expected an array", path);
    if (status == WN_OK) return WN_OK;
    wn__json_free(*out);
    *out = NULL;
    return status;
}

static wn_status tell_head(const wn__json *j, const char *path, const wn_bench_events *e) {
    static const char *const none = "", *const cpu = "cpu";
    static const double zero = 0;
    wn_bench_head h = {0};
    int64_t threads;
    WN_TRY(wn__json_get_string(j, path, "machine", NULL, &h.machine));
    WN_TRY(wn__json_get_string(j, path, "date", NULL, &h.date));
    WN_TRY(wn__json_get_string(j, path, "commit", &none, &h.commit));
    WN_TRY(wn__json_get_string(j, path, "command", &none, &h.command));
    WN_TRY(wn__json_get_string(j, path, "version", &none, &h.version));
    WN_TRY(wn__json_get_string(j, path, "device", &cpu, &h.device));
    WN_TRY(wn__json_get_string(j, path, "protocol", &none, &h.protocol));
    WN_TRY(wn__json_get_int(j, path, "threads", NULL, &threads));
    WN_TRY(wn__json_get_real(j, path, "peak_flops", &zero, &h.peak));
    WN_TRY(wn__json_get_real(j, path, "stream_bytes_per_second", &zero, &h.stream));
    h.threads = threads > 0 && threads < 1 << 20 ? (int)threads : 0;
    if (e->head) e->head(e->ctx, &h);
    return WN_OK;
}

static wn_status tell_all(const wn__json *j, const char *path, const wn_bench_events *e) {
    WN_TRY(tell_head(j, path, e));
    const wn__json *libraries = wn__json_get(j, "libraries"), *notes = wn__json_get(j, "notes");
    const wn__json *rows = wn__json_get(j, "rows");
    static const char *const none = "";
    for (size_t i = 0; e->library && i < wn__json_count(libraries); i++) {
        const wn__json *at = wn__json_at(libraries, i);
        wn_bench_library l = {0};
        WN_TRY(wn__json_get_string(at, path, "name", NULL, &l.name));
        WN_TRY(wn__json_get_string(at, path, "version", &none, &l.version));
        WN_TRY(wn__json_get_string(at, path, "path", &none, &l.path));
        WN_TRY(wn__json_get_string(at, path, "why", &none, &l.why));
        e->library(e->ctx, &l);
    }
    for (size_t i = 0; e->note && i < wn__json_count(notes); i++) {
        const char *text = wn__json_string(wn__json_at(notes, i), NULL);
        if (text) e->note(e->ctx, text);
    }
    for (size_t i = 0; i < wn__json_count(rows); i++) {
        wn_bench_row r;
        WN_TRY(wn__row_read(wn__json_at(rows, i), path, &r));
        if (e->row) e->row(e->ctx, &r);
    }
    return WN_OK;
}

wn_status wn_bench_read(const char *path, const wn_bench_events *events) {
    wn__json *j;
    WN_TRY(wn__result_open(path, &j));
    wn_status status = tell_all(j, path, events);
    wn__json_free(j);
    return status;
}
