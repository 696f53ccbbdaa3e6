// SPDX-License-Identifier: MIT
/* winnow tokenize: a text file to a shard, ids to print, ids back to text, or a new tokenizer. */
#include "command.h"
#include "json_out.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <winnow/data.h>

static int train(const options *o) {
    static const char *const names[] = {"gpt2", "llama3", "qwen2"};
    static const wn_pretokenizer kinds[] = {WN_PRETOKENIZER_GPT2, WN_PRETOKENIZER_LLAMA3,
                                            WN_PRETOKENIZER_QWEN2};
    size_t kind = 0, size = 0;
    while (kind < 3 &&
           strcmp(names[kind], opt_text(o, O_pretokenizer) ? opt_text(o, O_pretokenizer) : "") != 0)
        kind++;
    if (kind == 3)
        return usage_error("--pretokenizer: gpt2, llama3 or qwen2, not '%.40s'",
                           opt_text(o, O_pretokenizer));
    if (!opt_text(o, O_out))
        return usage_error("winnow tokenize --train needs --out tokenizer.json");
    char *text = read_text(o->argument[0], &size);
    if (!text) return EXIT_FAILED;
    wn_bpe_options b = {.vocab_size = (int32_t)opt_int(o, O_vocab_size),
                        .pretokenizer = kinds[kind]};
    wn_tokenizer *t = NULL;
    wn_status status = wn_tokenizer_train(text, size, &b, &t);
    if (status == WN_OK) status = wn_tokenizer_save(t, opt_text(o, O_out));
    if (status == WN_OK)
        printf("%s: %s, %d ids\n", opt_text(o, O_out), wn_tokenizer_kind(t),
               wn_tokenizer_vocab_size(t));
    wn_tokenizer_free(t);
    free(text);
    return report(status);
}

static void print_ids(json_out *j, const wn_tokens *ids) {
    if (j) put_open(j, NULL, '[');
    for (size_t i = 0; i < ids->count; i++) {
        if (j)
            put_int(j, NULL, ids->id[i]);
        else
            printf("%s%d", i ? " " : "", ids->id[i]);
    }
    if (j)
        put_close(j, ']');
    else
        putchar('\n');
}

/* Each line of the text on its own, without its newline. */
static wn_status print_lines(const options *o, const wn_tokenizer *t, const char *text,
                             size_t size) {
    json_out j = {.file = stdout};
    bool json = opt_flag(o, O_json);
    wn_status status = WN_OK;
    if (json) put_open(&j, NULL, '[');
    for (size_t at = 0; at < size && status == WN_OK;) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t length = end ? (size_t)(end - text) - at : size - at;
        wn_tokens ids = {0};
        status = wn_tokenizer_encode(t, text + at, length, opt_flag(o, O_special), false, &ids);
        if (status == WN_OK) print_ids(json ? &j : NULL, &ids);
        wn_tokens_free(&ids);
        at += length + 1;
    }
    if (json) {
        put_close(&j, ']');
        putchar('\n');
    }
    return status;
}

static int ids(const options *o, const wn_tokenizer *t) {
    size_t size = 0;
    char *text = read_file(o->argument[0], &size);
    if (!text) return EXIT_FAILED;
    wn_status status = print_lines(o, t, text, size);
    free(text);
    return report(status);
}

/* Whitespace-separated ids; names the first word that is not one. */
static bool parse_ids(const char *text, wn_tokens *out) {
    size_t room = 0;
    for (const char *c = text + strspn(text, " \t\r\n"); *c; c += strspn(c, " \t\r\n")) {
        char *end = NULL;
        errno = 0;
        long v = strtol(c, &end, 10);
        if (end == c || errno || v < 0 || v > INT32_MAX || !strchr(" \t\r\n", *end)) {
            fprintf(stderr, "winnow: '%.20s' is not a token id\n", c);
            return false;
        }
        if (out->count == room) {
            int32_t *grown = realloc(out->id, (room = room ? 2 * room : 1024) * sizeof *grown);
            if (!grown) return fputs("winnow: out of memory\n", stderr), false;
            out->id = grown;
        }
        out->id[out->count++] = (int32_t)v;
        c = end;
    }
    return true;
}

static int decode(const options *o, const wn_tokenizer *t) {
    const char *path = o->argument[0];
    wn_tokens list = {0};
    size_t size = 0;
    wn_status status = WN_OK;
    if (is_shard(path)) {
        status = wn_shard_read(path, &list);
    } else {
        char *text = read_file(path, &size);
        bool ok = text && parse_ids(text, &list);
        free(text);
        if (!ok) {
            wn_tokens_free(&list);
            return EXIT_FAILED;
        }
    }
    char *text = NULL;
    if (status == WN_OK) status = wn_tokenizer_decode(t, list.id, list.count, false, &text, &size);
    if (status == WN_OK) fwrite(text, 1, size, stdout);
    free(text);
    wn_tokens_free(&list);
    return report(status);
}

static int shard(const options *o, const wn_tokenizer *t) {
    if (!opt_text(o, O_out))
        return usage_error("winnow tokenize needs --out FILE.tokens (or --ids, --decode, --train)");
    if (wn_documents_named(o->argument[0]))
        return usage_error(
            "%s: documents are tokenized as they are read; give them to winnow train "
            "or eval as --data",
            o->argument[0]);
    wn_shard_info info = {0};
    wn_status status = wn_tokenize_file(t, o->argument[0], 0, 0, opt_text(o, O_out), &info);
    if (status != WN_OK) return report(status);
    if (opt_flag(o, O_json)) {
        json_out j = {.file = stdout};
        put_open(&j, NULL, '{');
        put_text(&j, "path", opt_text(o, O_out));
        put_int(&j, "tokens", (int64_t)info.count);
        put_int(&j, "bytes", (int64_t)info.text_bytes);
        put_int(&j, "vocab_size", info.vocab_size);
        put_close(&j, '}');
        putchar('\n');
    } else {
        printf("%s: %llu tokens of %d bytes, %.3f bytes of text a token, vocabulary %u\n",
               opt_text(o, O_out), (unsigned long long)info.count, info.id_bytes,
               info.count ? (double)info.text_bytes / (double)info.count : 0, info.vocab_size);
    }
    return EXIT_OK;
}

int command_TOKENIZE(const options *o) {
    if (opt_flag(o, O_train)) return train(o);
    const char *path = opt_text(o, O_tokenizer);
    if (!path) return usage_error("winnow tokenize needs --tokenizer tokenizer.json, or 'bytes'");
    wn_tokenizer *t = NULL;
    wn_status status =
        strcmp(path, "bytes") == 0 ? wn_tokenizer_bytes(&t) : wn_tokenizer_open(path, &t);
    if (status != WN_OK) return report(status);
    int code = opt_flag(o, O_ids) ? ids(o, t) : opt_flag(o, O_decode) ? decode(o, t) : shard(o, t);
    wn_tokenizer_free(t);
    return code;
}
