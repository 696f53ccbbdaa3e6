#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Do our tokenizers give what Hugging Face `tokenizers` gives?

usage: tokenizer_parity.py WINNOW TEXT [TOKENIZER.json]
    Trains byte-level BPE of each kind on TEXT with the winnow binary (or takes TOKENIZER as it is), and compares the ids of every line of
    TEXT and of random Unicode lines.
usage: tokenizer_parity.py --kinds REPLAY [--lines N] TEXT...
    Trains tokenizers of SentencePiece's kinds (tools/tokenizer_kinds.py) on lines of the TEXTs, and with `sentencepiece`, where it is
    installed, models that are put into tokenizer.json; varies each; and lets REPLAY (build/tests/text_test_tokenizer_hf) compare ids, with special
    tokens and without, and decoded texts, over N (12000) lines of all TEXTs (.mo: their translations), awkward strings and random Unicode.
Exit code 77 (skipped) when `tokenizers` is not installed.
"""
import gettext
import json
import os
import random
import subprocess
import sys
import tempfile
import unicodedata

try:
    from tokenizers import Tokenizer
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

SEED, RANDOM_LINES, VOCAB = 11, 3000, 1000
PIECES = ["'s", "'LL", " ", "  ", "\t", "\r", "\u00a0", "\u3000", "\u2028", "\x0b", "\x85", "123", "4", ".", "--", "<|endoftext|>", "<|end", "\u0301", "e\u0301", "\u200d", "\ufe0f", "\u0661"]


def random_line(rng):
    """Pieces that matter, words, and characters of Unicode 3.2, which the tables of both sides know (the newest they may cut differently)."""
    out = []
    for _ in range(rng.randint(1, 25)):
        kind = rng.random()
        if kind < 0.4:
            out.append(rng.choice(PIECES))
        elif kind < 0.7:
            out.append("".join(rng.choice("abcdefgHIJ") for _ in range(rng.randint(1, 6))))
        else:
            c = chr(rng.choice([rng.randrange(0x20, 0x500), rng.randrange(0x500, 0x3100), rng.randrange(0x4E00, 0xD7A4), rng.randrange(0x1F300, 0x1F650)]))
            if unicodedata.ucd_3_2_0.category(c) != "Cn" and c != "\n":
                out.append(c)
    return "".join(out)


def winnow_ids(winnow, tokenizer, path):
    done = subprocess.run([winnow, "tokenize", "--tokenizer", tokenizer, "--ids", path], check=True, capture_output=True, text=True)
    return [[int(x) for x in line.split()] for line in done.stdout.split("\n")[:-1]]


def compare(winnow, tokenizer, lines, scratch, round_trip):
    path = os.path.join(scratch, "lines.txt")
    with open(path, "w", encoding="utf-8", newline="") as f:
        f.writelines(line + "\n" for line in lines)
    theirs = Tokenizer.from_file(tokenizer)
    bad = 0
    got = winnow_ids(winnow, tokenizer, path)
    if len(got) != len(lines):
        print(f"{tokenizer}: {len(got)} lines of ids for {len(lines)} lines")
        return 1
    for line, ids in zip(lines, got):
        want = theirs.encode(line, add_special_tokens=False).ids
        back = theirs.decode(ids, skip_special_tokens=False) if round_trip else line
        bad += ids != want or back != line
        if (ids != want or back != line) and bad <= 5:
            print(f"{line!r}\n  ours   {ids}\n  theirs {want}\n  decoded {back!r}")
    print(f"{tokenizer}: {len(lines)} lines, {bad} differ")
    return bad


def byte_level(winnow, text, tokenizer):
    rng = random.Random(SEED)
    with open(text, encoding="utf-8", newline="") as f:
        lines = f.read().split("\n")[:20000]
    lines = [line for line in lines if line] + [line for line in (random_line(rng) for _ in range(RANDOM_LINES)) if line]
    bad = 0
    with tempfile.TemporaryDirectory() as scratch:
        if tokenizer is not None:
            return compare(winnow, tokenizer, lines, scratch, False)
        for kind in ("gpt2", "llama3", "qwen2"):
            path = os.path.join(scratch, kind + ".json")
            subprocess.run([winnow, "tokenize", "--train", text, "--pretokenizer", kind, "--vocab-size", str(VOCAB), "--out", path], check=True)
            bad += compare(winnow, path, lines, scratch, True)
    return bad


def read_lines(path):
    if not path.endswith(".mo"):
        with open(path, encoding="utf-8", errors="replace", newline="") as f:
            return f.read().split("\n")
    try:
        with open(path, "rb") as f:
            texts = gettext.GNUTranslations(f)._catalog
    except UnicodeDecodeError:
        return []
    return [line for text in texts.values() if isinstance(text, str) for line in text.split("\n")]


def wild_line(rng):
    """Any characters that Python's tables know, clusters of them, marks, joiners, flags, Hangul, and texts of added tokens."""
    out = []
    for _ in range(rng.randint(1, 20)):
        kind = rng.random()
        if kind < 0.25:
            out.append(rng.choice(PIECES + ["<extra_id_0>", "<extra_id_3>", "<unk>", "</s>", "<s>", "<0x0A>", "\u2581", "\r\n", "\u0001", "\u200b", "\ufeff", "\ufdfa", "\u00bd", "\u3392", "...", "!!", "----"]))
        elif kind < 0.45:
            out.append("".join(rng.choice("etaoinshr") for _ in range(rng.randint(1, 7))))
        elif kind < 0.6:
            out.append(chr(rng.choice([rng.randrange(0x300, 0x370), rng.randrange(0x900, 0xE00), rng.randrange(0x1100, 0x1200), rng.randrange(0x1F1E6, 0x1F200), 0x200D, 0xFE0F, 0x94D, 0x1F3FD])))
        else:
            out.append(chr(rng.choice([rng.randrange(0x20, 0x250), rng.randrange(0x250, 0x3400), rng.randrange(0x3400, 0xD800), rng.randrange(0xF900, 0x10000), rng.randrange(0x10000, 0x20000), rng.randrange(0x2F800, 0x2FA20)])))
    return "".join(c for c in "".join(out) if is_old(c))


def is_old(c):
    """Assigned, and, if normalization looks at it, in Unicode 3.2: the library's tables of normalization are older than its others."""
    looked_at = unicodedata.category(c)[0] == "M" or unicodedata.decomposition(c)
    return (unicodedata.ucd_3_2_0 if looked_at else unicodedata).category(c) != "Cn"


def sentencepiece_models(path, scratch):
    """(unigram, BPE) as `sentencepiece` trains them, in tokenizer.json's form; None without it."""
    try:
        import sentencepiece
        from sentencepiece import sentencepiece_model_pb2
    except ImportError:
        return None
    import base64
    import tokenizer_kinds as kinds

    def train(kind, **more):
        prefix = os.path.join(scratch, kind)
        sentencepiece.SentencePieceTrainer.train(input=path, model_prefix=prefix, model_type=kind, vocab_size=6000, minloglevel=2, num_threads=1, max_sentence_length=20000, **more)
        proto = sentencepiece_model_pb2.ModelProto()
        with open(prefix + ".model", "rb") as f:
            proto.ParseFromString(f.read())
        return proto

    proto = train("unigram", normalization_rule_name="nmt_nfkc", byte_fallback=True)
    vocab = [[p.piece, p.score] for p in proto.pieces]
    extra = [[f"<extra_id_{i}>", 0.0] for i in reversed(range(10))]
    tokens = [kinds.added(name, i, special=True) for i, name in enumerate(["<unk>", "<s>", "</s>"])] + [kinds.added(p[0], len(vocab) + i, special=True) for i, p in enumerate(extra)]
    unigram = kinds.empty({"type": "Unigram", "unk_id": 0, "vocab": vocab + extra, "byte_fallback": False}, added_tokens=tokens,
                          normalizer={"type": "Precompiled", "precompiled_charsmap": base64.b64encode(proto.normalizer_spec.precompiled_charsmap).decode()},
                          pre_tokenizer=kinds.metaspace(), decoder=kinds.metaspace(), post_processor=kinds.template(["text", "eos"], {"</s>": 2}))
    proto = train("bpe", normalization_rule_name="identity", byte_fallback=True, split_digits=True)
    ids = {p.piece: i for i, p in enumerate(proto.pieces)}
    merges = []
    for p in proto.pieces:
        cuts = [(p.piece[:k], p.piece[k:]) for k in range(1, len(p.piece))] if p.type == 1 else []
        merges += [(-p.score, ids[a], ids[b], a, b) for a, b in cuts if a in ids and b in ids]
    merges = [[a, b] for _, _, _, a, b in sorted(merges)]
    bpe = kinds.empty({"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": True,
                       "byte_fallback": True, "ignore_merges": False, "vocab": ids, "merges": merges},
                      added_tokens=[kinds.added(name, i, special=True) for i, name in enumerate(["<unk>", "<s>", "</s>"])],
                      normalizer=kinds.LLAMA_NORMALIZER, decoder=kinds.LLAMA_DECODER, post_processor=kinds.template(["bos", "text"], {"<s>": 1}))
    return unigram, bpe


def replay(program, name, root, lines, scratch):
    import tokenizer_kinds as kinds
    table = {}
    rows = kinds.rows(root, lines, kinds.id_lists(root, max(20, len(lines) // 10), random.Random(SEED)), table)
    path = os.path.join(scratch, "replay.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"bases": {name: root}, "texts": list(table), "cases": [{"name": name, "base": name, "set": {}, "rows": rows}]}, f)
    done = subprocess.run([program, path], capture_output=True, text=True, errors="replace")
    texts = sum("text" in row for row in rows)
    print(f"{name}: {texts} lines, {len(rows) - texts} lists of ids: {'the same' if done.returncode == 0 else 'DIFFERENT'}", flush=True)
    if done.returncode != 0:
        print(done.stdout[-1500:] + done.stderr[-1500:])
    return done.returncode != 0


def kinds_parity(program, count, paths):
    import make_tokenizer_fixtures as fixtures
    import tokenizer_kinds as kinds
    rng = random.Random(SEED)
    natural = list(dict.fromkeys(line for path in paths for line in read_lines(path) if 0 < len(line) < 2000))
    rng.shuffle(natural)
    own = natural[:20000]  # what the tokenizers are trained on, in all languages of the texts
    awkward = fixtures.KIND_STRINGS + fixtures.STRINGS + fixtures.kind_strings(500)
    rest = max(0, count - len(awkward))
    lines = awkward + natural[: rest // 2]
    lines += [line for line in (wild_line(rng) for _ in range(count - len(lines)))]
    paragraphs = ["\n".join(own[i : i + 60]) for i in range(0, min(len(own), 3000), 60)]
    t5, llama, whole = kinds.train_unigram(own, 6000), kinds.train_bpe(own, 6000, alphabet=1500), kinds.train_bpe(own[:4000], 4000, split=False, alphabet=1000)
    with tempfile.TemporaryDirectory() as scratch:
        jobs = [("t5", t5, lines + paragraphs), ("llama2", llama, lines + paragraphs), ("llama2 across spaces", dict(llama, model=whole["model"]), lines + paragraphs)]
        with open(os.path.join(scratch, "text"), "w", encoding="utf-8") as f:
            f.writelines(line + "\n" for line in own)
        real = sentencepiece_models(os.path.join(scratch, "text"), scratch)
        if real is None:
            print("sentencepiece is not installed: its models are left out")
        else:
            jobs += [("sentencepiece unigram", real[0], lines + paragraphs), ("sentencepiece BPE", real[1], lines + paragraphs)]
            t5, llama = real
        jobs += [(name, dict(t5, **change), lines[i % 7::7]) for i, (name, change) in enumerate(kinds.unigram_variants(t5))]
        jobs += [(name, dict(llama, **change), lines[i % 7::7]) for i, (name, change) in enumerate(kinds.bpe_variants(llama, whole))]
        return sum(replay(program, name, root, share, scratch) for name, root, share in jobs)


def main():
    arguments = sys.argv[1:]
    if len(arguments) >= 3 and arguments[0] == "--kinds":
        sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools"))
        count = int(arguments[3]) if arguments[2] == "--lines" else 12000
        bad = kinds_parity(arguments[1], count, arguments[4:] if arguments[2] == "--lines" else arguments[2:])
    elif len(arguments) in (2, 3):
        bad = byte_level(arguments[0], arguments[1], arguments[2] if len(arguments) == 3 else None)
    else:
        sys.exit(__doc__)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
