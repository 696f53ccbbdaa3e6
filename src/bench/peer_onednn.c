// SPDX-License-Identifier: MIT
// oneDNN's matmul, weights in the form it asks for and packed beforehand. Versions 2 and 3: in 2 a
// memory descriptor is a struct that the caller holds, in 3 the library's object; nearly all
// functions take a pointer to it in both.
#include "base/block.h"
#include "base/fail.h"
#include "bench/peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Of dnnl_types.h.
enum { BF16 = 2, F32 = 3, TAG_ANY = 1, CPU = 1, STREAM_IN_ORDER = 1, QUERY_WEIGHTS = 131 };
enum { ARG_SOURCE = 1, ARG_TARGET = 17, ARG_WEIGHTS = 33 };

typedef struct version {
    int major, minor, patch;
    const char *hash;
    unsigned cpu_runtime, gpu_runtime;
} version;
typedef struct argument {
    int which;
    void *memory;
} argument;

enum {
    VERSION,
    ENGINE_CREATE,
    ENGINE_DESTROY,
    STREAM_CREATE,
    STREAM_WAIT,
    STREAM_DESTROY,
    MEMORY_CREATE,
    MEMORY_DESTROY,
    QUERY_MD,
    PD_DESTROY,
    PRIMITIVE_CREATE,
    EXECUTE,
    PRIMITIVE_DESTROY,
    REORDER_PD,
    MD_SIZE,
    BOTH,          // the ones above are in every version
    MATMUL = BOTH, // 2: dnnl_matmul_desc_init; 3: dnnl_matmul_primitive_desc_create
    BY_STRIDES,
    BY_TAG,
    LAST, // 2: dnnl_primitive_desc_create; 3: dnnl_memory_desc_destroy
    COUNT
};

typedef const version *version_fn(void);
typedef int engine_create_fn(void **engine, int kind, size_t index);
typedef int destroy_fn(void *object);
typedef int stream_create_fn(void **stream, void *engine, unsigned flags);
typedef int memory_create_fn(void **memory, const void *md, void *engine, void *data);
typedef size_t md_size_fn(const void *md);
typedef const void *query_md_fn(const void *pd, int what, int index);
typedef int primitive_create_fn(void **primitive, const void *pd);
typedef int execute_fn(const void *primitive, void *stream, int count, const argument *arguments);
typedef int reorder_fn(void **pd, const void *from, void *from_engine, const void *to,
                       void *to_engine, const void *attributes);
typedef int matmul2_fn(void *desc, const void *source, const void *weights, const void *bias,
                       const void *target);
typedef int matmul3_fn(void **pd, void *engine, const void *source, const void *weights,
                       const void *bias, const void *target, const void *attributes);
typedef int strides_fn(void *md, int rank, const int64_t *size, int type, const int64_t *stride);
typedef int tag_fn(void *md, int rank, const int64_t *size, int type, int tag);
typedef int pd_create2_fn(void **pd, const void *desc, const void *attributes, void *engine,
                          const void *hint);

static wn_status open_library(wn__peer *p) {
    static const char *const both[BOTH] = {"dnnl_version",
                                           "dnnl_engine_create",
                                           "dnnl_engine_destroy",
                                           "dnnl_stream_create",
                                           "dnnl_stream_wait",
                                           "dnnl_stream_destroy",
                                           "dnnl_memory_create",
                                           "dnnl_memory_destroy",
                                           "dnnl_primitive_desc_query_md",
                                           "dnnl_primitive_desc_destroy",
                                           "dnnl_primitive_create",
                                           "dnnl_primitive_execute",
                                           "dnnl_primitive_destroy",
                                           "dnnl_reorder_primitive_desc_create",
                                           "dnnl_memory_desc_get_size"};
    static const char *const two[] = {"dnnl_matmul_desc_init", "dnnl_memory_desc_init_by_strides",
                                      "dnnl_memory_desc_init_by_tag", "dnnl_primitive_desc_create"};
    static const char *const three[] = {
        "dnnl_matmul_primitive_desc_create", "dnnl_memory_desc_create_with_strides",
        "dnnl_memory_desc_create_with_tag", "dnnl_memory_desc_destroy"};
    static const char *const runtime[] = {"none", "sequential", "OpenMP"};
    WN_TRY(wn__peer_lookup(p, VERSION, both, BOTH));
    const version *v = ((version_fn *)p->call[VERSION])();
    if (v->major != 2 && v->major != 3)
        return wn__fail(WN_UNSUPPORTED, "%s is version %d.%d, known are 2 and 3", p->path, v->major,
                        v->minor);
    p->generation = v->major;
    WN_TRY(wn__peer_lookup(p, BOTH, v->major == 2 ? two : three, COUNT - BOTH));
    (void)snprintf(p->version, sizeof p->version, "%d.%d.%d %s", v->major, v->minor, v->patch,
                   v->cpu_runtime <= 2 ? runtime[v->cpu_runtime] : "other threads");
    return WN_OK;
}

// Version 2 fills a struct of about 700 bytes (a matmul's: five times that), version 3 a pointer.
typedef union descriptor {
    void *object;
    _Alignas(16) char room[1024];
} descriptor;
typedef union operation {
    _Alignas(16) char room[8192];
} operation;

typedef struct job {
    const wn__peer *p;
    const wn__gemm *g;
    void *engine, *stream, *primitive;
    void *source, *weights, *packed, *target; // memories; packed: NULL unless reordered
    void *block;                              // of packed
} job;

static wn_status fine(int status, const char *what) {
    enum { UNIMPLEMENTED = 3 };
    if (status == 0) return WN_OK;
    if (status == UNIMPLEMENTED)
        return wn__fail(WN_UNSUPPORTED, "oneDNN has no code for %s of this type here", what);
    return wn__fail(WN_UNSUPPORTED, "oneDNN: %s gives status %d", what, status);
}

static const void *as_md(const wn__peer *p, const descriptor *d) {
    return p->generation == 2 ? (const void *)d->room : d->object;
}

static wn_status strided(const wn__peer *p, descriptor *d, int type, int64_t rows, int64_t columns,
                         int64_t row, int64_t column) {
    const int64_t size[12] = {rows, columns}, stride[12] = {row, column};
    return fine(((strides_fn *)p->call[BY_STRIDES])(d, 2, size, type, stride), "a layout");
}

static void drop(const wn__peer *p, const descriptor *d) {
    if (p->generation == 3 && d->object) (void)((destroy_fn *)p->call[LAST])(d->object);
}

// The matmul on those three descriptors.
static wn_status plan(const job *j, const descriptor *s, const descriptor *w, const descriptor *t,
                      void **pd) {
    const wn__peer *p = j->p;
    if (p->generation == 3)
        return fine(((matmul3_fn *)p->call[MATMUL])(pd, j->engine, as_md(p, s), as_md(p, w), NULL,
                                                    as_md(p, t), NULL),
                    "a matmul");
    operation op = {{0}};
    WN_TRY(fine(((matmul2_fn *)p->call[MATMUL])(&op, s->room, w->room, NULL, t->room), "a matmul"));
    return fine(((pd_create2_fn *)p->call[LAST])(pd, &op, NULL, j->engine, NULL), "a matmul");
}

static wn_status memory_of(const job *j, const void *md, const void *data, void **out) {
    void *pointer;
    memcpy(&pointer, &data, sizeof pointer); // inputs are read only
    return fine(((memory_create_fn *)j->p->call[MEMORY_CREATE])(out, md, j->engine, pointer),
                "memory");
}

static wn_status execute(const job *j, void *primitive, const argument *a, int count) {
    WN_TRY(fine(((execute_fn *)j->p->call[EXECUTE])(primitive, j->stream, count, a), "a run"));
    return fine(((destroy_fn *)j->p->call[STREAM_WAIT])(j->stream), "waiting");
}

// The weights in the form of the descriptor `to`.
static wn_status pack(job *j, const void *from, const void *to) {
    const wn__peer *p = j->p;
    void *pd = NULL, *primitive = NULL;
    size_t bytes = ((md_size_fn *)p->call[MD_SIZE])(to);
    j->block = wn__block_alloc(bytes);
    if (!j->block) return wn__fail(WN_NOMEM, "no memory for packed weights");
    WN_TRY(memory_of(j, to, j->block, &j->packed));
    wn_status status =
        fine(((reorder_fn *)p->call[REORDER_PD])(&pd, from, j->engine, to, j->engine, NULL),
             "a reorder");
    if (status == WN_OK)
        status =
            fine(((primitive_create_fn *)p->call[PRIMITIVE_CREATE])(&primitive, pd), "a reorder");
    const argument arguments[] = {{ARG_SOURCE, j->weights}, {ARG_TARGET, j->packed}};
    if (status == WN_OK) status = execute(j, primitive, arguments, 2);
    if (primitive) (void)((destroy_fn *)p->call[PRIMITIVE_DESTROY])(primitive);
    if (pd) (void)((destroy_fn *)p->call[PD_DESTROY])(pd);
    return status;
}

static wn_status build(job *j, const descriptor *s, const descriptor *w, const descriptor *any,
                       const descriptor *t) {
    const wn__peer *p = j->p;
    const wn__gemm *g = j->g;
    void *pd = NULL;
    WN_TRY(plan(j, s, g->constant_b ? any : w, t, &pd));
    wn_status status;
    WN_TRY_OUT(
        fine(((primitive_create_fn *)p->call[PRIMITIVE_CREATE])(&j->primitive, pd), "a matmul"));
    WN_TRY_OUT(memory_of(j, as_md(p, s), g->a, &j->source));
    WN_TRY_OUT(memory_of(j, as_md(p, w), g->b, &j->weights));
    WN_TRY_OUT(memory_of(j, as_md(p, t), g->c, &j->target));
    if (g->constant_b)
        status = pack(j, as_md(p, w), ((query_md_fn *)p->call[QUERY_MD])(pd, QUERY_WEIGHTS, 0));
out:
    (void)((destroy_fn *)p->call[PD_DESTROY])(pd);
    return status;
}

static void release(void *ctx) {
    job *j = ctx;
    void *const memory[] = {j->source, j->weights, j->packed, j->target};
    if (j->primitive) (void)((destroy_fn *)j->p->call[PRIMITIVE_DESTROY])(j->primitive);
    for (int i = 0; i < 4; i++)
        if (memory[i]) (void)((destroy_fn *)j->p->call[MEMORY_DESTROY])(memory[i]);
    if (j->stream) (void)((destroy_fn *)j->p->call[STREAM_DESTROY])(j->stream);
    if (j->engine) (void)((destroy_fn *)j->p->call[ENGINE_DESTROY])(j->engine);
    free(j->block);
    free(j);
}

static wn_status describe(job *j) {
    const wn__peer *p = j->p;
    const wn__gemm *g = j->g;
    const int64_t weights[12] = {g->k, g->n};
    int type = g->dtype == WN_DTYPE_BF16 ? BF16 : F32;
    descriptor s = {0}, w = {0}, any = {0}, t = {0};
    wn_status status;
    WN_TRY_OUT(strided(p, &s, type, g->m, g->k, g->a_row, g->a_column));
    WN_TRY_OUT(strided(p, &w, type, g->k, g->n, g->b_row, g->b_column));
    WN_TRY_OUT(strided(p, &t, F32, g->m, g->n, g->n, 1));
    WN_TRY_OUT(fine(((tag_fn *)p->call[BY_TAG])(&any, 2, weights, type, TAG_ANY), "a layout"));
    status = build(j, &s, &w, &any, &t);
out:
    drop(p, &s);
    drop(p, &w);
    drop(p, &any);
    drop(p, &t);
    return status;
}

static wn_status prepare(const wn__peer *p, const wn__gemm *g, void **out) {
    job *j = calloc(1, sizeof *j);
    if (!j) return wn__fail(WN_NOMEM, "no memory for a product");
    *j = (job){.p = p, .g = g};
    wn_status status;
    WN_TRY_OUT(fine(((engine_create_fn *)p->call[ENGINE_CREATE])(&j->engine, CPU, 0), "an engine"));
    WN_TRY_OUT(
        fine(((stream_create_fn *)p->call[STREAM_CREATE])(&j->stream, j->engine, STREAM_IN_ORDER),
             "a stream"));
    WN_TRY_OUT(describe(j));
    *out = j;
    return WN_OK;
out:
    release(j);
    return status;
}

static wn_status run(void *ctx) {
    const job *j = ctx;
    const argument arguments[] = {{ARG_SOURCE, j->source},
                                  {ARG_WEIGHTS, j->packed ? j->packed : j->weights},
                                  {ARG_TARGET, j->target}};
    return execute(j, j->primitive, arguments, 3);
}

static const char *const files[] = {"libdnnl.so.3", "libdnnl.so.2", "libdnnl.so", NULL};

extern const wn__peer_type wn__peer_onednn;
const wn__peer_type wn__peer_onednn = {.name = "onednn",
                                       .file = files,
                                       .open = open_library,
                                       .prepare = prepare,
                                       .run = run,
                                       .release = release};
