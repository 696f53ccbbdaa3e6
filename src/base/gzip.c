// SPDX-License-Identifier: MIT
// zlib, the only file that knows it: the checksum of files, and a reader of gzip's members that
// says where a file is damaged.
#include "base/gzip.h"

#include "base/fail.h"
#include "base/file.h"
#include "base/file_sync.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define INPUT_SIZE  ((size_t)256 << 10)
#define OUTPUT_MOST ((size_t)1 << 30) // of one call of inflate, whose counts are 32 bits wide
#define GZIP_ONLY   (15 + 16)         // window bits; 16: the gzip wrapper and no other

struct wn__gzip {
    char *path;
    int fd;
    bool compressed, inside; // inside: of a member
    bool ready;              // z was initialised
    wn_status broken;
    uint64_t read; // bytes taken from the file
    z_stream z;    // of plain files, too, next_in and avail_in are what is left of input
    uint8_t input[INPUT_SIZE];
};

uint32_t wn__crc32(uint32_t crc, const void *bytes, size_t n) {
    if (n == 0) return crc; // zlib takes a NULL for "start"
    return (uint32_t)crc32_z(crc, bytes, n);
}

// Byte of the file that is looked at next.
static uint64_t offset(const wn__gzip *g) {
    return g->read - g->z.avail_in;
}

// Reads on when all input is used; at the end of the file there is none afterwards.
static wn_status fill(wn__gzip *g) {
    if (g->z.avail_in > 0) return WN_OK;
    ssize_t r;
    do {
        r = read(g->fd, g->input, INPUT_SIZE);
    } while (r < 0 && errno == EINTR);
    if (r < 0) return wn__fail_errno("%s: cannot read byte %" PRIu64, g->path, g->read);
    g->z.next_in = g->input;
    g->z.avail_in = (uInt)r;
    g->read += (uint64_t)r;
    return WN_OK;
}

static bool named_gz(const char *path) {
    size_t n = strlen(path);
    return n >= 3 && strcmp(path + n - 3, ".gz") == 0;
}

static wn_status start(wn__gzip *g) {
    WN_TRY(fill(g));
    const uint8_t *in = g->input;
    size_t n = g->z.avail_in;
    g->compressed = n >= 2 && in[0] == 0x1f && in[1] == 0x8b;
    if (!g->compressed && named_gz(g->path))
        return n < 2 ? wn__fail(WN_FORMAT, "%s: %zu byte%s, expected gzip", g->path, n,
                                n == 1 ? "" : "s")
                     : wn__fail(WN_FORMAT, "%s: begins with %02x %02x, gzip with 1f 8b", g->path,
                                in[0], in[1]);
    if (!g->compressed) return WN_OK;
    if (inflateInit2(&g->z, GZIP_ONLY) != Z_OK)
        return wn__fail(WN_NOMEM, "%s: no memory to decompress it", g->path);
    g->ready = g->inside = true;
    return WN_OK;
}

wn_status wn__gzip_open(const char *path, wn__gzip **out) {
    *out = NULL;
    wn__gzip *g = malloc(sizeof *g);
    if (g == NULL) return wn__fail(WN_NOMEM, "%s: out of memory", path);
    memset(g, 0, offsetof(wn__gzip, input));
    g->fd = -1;
    g->path = strdup(path);
    uint64_t size;
    wn_status status = g->path != NULL ? wn__regular_open(path, &g->fd, &size)
                                       : wn__fail(WN_NOMEM, "%s: out of memory", path);
    if (status == WN_OK) status = start(g);
    if (status != WN_OK) {
        wn__gzip_close(g);
        return status;
    }
    *out = g;
    return WN_OK;
}

void wn__gzip_close(wn__gzip *g) {
    if (g == NULL) return;
    if (g->ready) (void)inflateEnd(&g->z);
    if (g->fd >= 0) (void)close(g->fd);
    free(g->path);
    free(g);
}

bool wn__gzip_compressed(const wn__gzip *g) {
    return g->compressed;
}

static wn_status read_plain(wn__gzip *g, uint8_t *out, size_t n, size_t *got) {
    while (*got < n) {
        WN_TRY(fill(g));
        if (g->z.avail_in == 0) break;
        size_t part = n - *got < g->z.avail_in ? n - *got : g->z.avail_in;
        memcpy(out + *got, g->z.next_in, part);
        g->z.next_in += part;
        g->z.avail_in -= (uInt)part;
        *got += part;
    }
    return WN_OK;
}

// Between members: past zeros to the next one, if there is one.
static wn_status next_member(wn__gzip *g, bool *end) {
    for (;;) {
        WN_TRY(fill(g));
        *end = g->z.avail_in == 0;
        if (*end) return WN_OK;
        if (*g->z.next_in != 0) break;
        g->z.next_in++;
        g->z.avail_in--;
    }
    if (inflateReset(&g->z) != Z_OK) return wn__fail(WN_BUG, "%s: inflateReset failed", g->path);
    g->inside = true;
    return WN_OK;
}

// As much of out[n] as one call gives.
static wn_status inflate_some(wn__gzip *g, uint8_t *out, size_t n, size_t *made) {
    *made = 0;
    WN_TRY(fill(g));
    if (g->z.avail_in == 0)
        return wn__fail(WN_FORMAT, "%s: ends at byte %" PRIu64 ", inside compressed data", g->path,
                        g->read);
    size_t most = n < OUTPUT_MOST ? n : OUTPUT_MOST;
    g->z.next_out = out;
    g->z.avail_out = (uInt)most;
    int r = inflate(&g->z, Z_NO_FLUSH);
    *made = most - g->z.avail_out;
    if (r == Z_STREAM_END) g->inside = false;
    if (r == Z_OK || r == Z_STREAM_END || r == Z_BUF_ERROR) return WN_OK;
    if (r == Z_MEM_ERROR) return wn__fail(WN_NOMEM, "%s: no memory to decompress it", g->path);
    return wn__fail(WN_FORMAT, "%s: byte %" PRIu64 ": damaged gzip: %s", g->path, offset(g),
                    g->z.msg != NULL ? g->z.msg : "unknown error");
}

static wn_status read_members(wn__gzip *g, uint8_t *out, size_t n, size_t *got) {
    while (*got < n) {
        bool end = false;
        size_t made;
        if (!g->inside) WN_TRY(next_member(g, &end));
        if (end) break;
        wn_status status = inflate_some(g, out + *got, n - *got, &made);
        *got += made;
        WN_TRY(status);
    }
    return WN_OK;
}

wn_status wn__gzip_read(wn__gzip *g, void *out, size_t n, size_t *got) {
    *got = 0;
    if (g->broken != WN_OK) return wn__fail(g->broken, "%s: an earlier read failed", g->path);
    g->broken = g->compressed ? read_members(g, out, n, got) : read_plain(g, out, n, got);
    return g->broken;
}
