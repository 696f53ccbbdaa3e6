# SPDX-License-Identifier: MIT
"""Tokenizers of SentencePiece's kinds for fixtures and parity runs: trained here by Hugging Face `tokenizers` on a given text, put
into the forms that model directories have them in, and varied member by member. Also a writer of precompiled character maps, and what
the library gives for strings and ids (`rows`)."""
import base64
import copy
import json
import random
import struct

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

MARK = "\u2581"
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def charsmap(rules):
    """A darts-clone double array over the UTF-8 of the keys, and the replacements, as SentencePiece stores them (base64)."""
    blob, place = b"", {}
    for text in rules.values():
        if text not in place:
            place[text] = len(blob)
            blob += text.encode() + b"\0"
    trie = {}
    for key, text in rules.items():
        node = trie
        for byte in key.encode():
            node = node.setdefault(byte, {})
        node[0] = place[text]
    units, used, bases = {}, {0}, set()

    def fill(at, node):  # the children of the unit at `at`, in the first free places
        base = 1
        while base in bases or any(base ^ label in used for label in node):
            base += 1
        bases.add(base)
        used.update(base ^ label for label in node)
        offset = at ^ base
        assert offset < 1 << 21
        units[at] |= offset << 10 | (0 in node) << 8
        for label, child in node.items():
            units[base ^ label] = child | 1 << 31 if label == 0 else label
        for label, child in node.items():
            if label:
                fill(base ^ label, child)

    units[0] = 0
    fill(0, trie)
    count = (max(max(used), max(bases)) // 256 + 1) * 256
    array = b"".join(struct.pack("<I", units.get(i, 1 << 31 | 255)) for i in range(count))
    return base64.b64encode(struct.pack("<I", len(array)) + array + blob).decode()


# Some of nmt_nfkc: controls go, spaces become plain, compositions, ligatures; keys of more than one character, keys that begin others,
# a deletion and an expansion.
RULES = {chr(c): "" for c in list(range(1, 9)) + [0x0B] + list(range(0x0E, 0x20)) + [0x7F, 0x8F, 0x9F]}
RULES.update({c: " " for c in "\t\n\r\u1680\u2000\u2003\u200b\u200e\u200f\u2028\u2029\u3000\ufeff\ufffd\u00a0\u2581"})
RULES.update({"\r\n": "\n", "e\u0301": "\u00e9", "a\u0301": "\u00e1", "o\u0308": "\u00f6", "s\u0323\u0307": "\u1e69", "\u0915\u093c": "\u0958",
              "\u1100\u1161": "\uac00", "\u1112\u1161\u11ab": "\ud55c", "\ufb01": "fi", "\ufb03": "ffi", "\u00bd": "1\u20442", "\u2460": "1", "\uff21": "A", "\uff54": "t",
              "\u2126": "\u03a9", "\u212b": "\u00c5", "\u3392": "MHz", "\ufdfa": "\u0635\u0644\u0649 \u0627\u0644\u0644\u0647", "\u0958": "\u0915\u093c", "\U0001f100": "0.",
              "\U0001d7d8": "0", "\u00b4": " \u0301", "\u2026": "...", "x\u0302\u0303": "!", "\u0344": "\u0308\u0301"})

TEMPLATE = {"bos": [{"SpecialToken": {"id": "<s>", "type_id": 0}}], "text": [{"Sequence": {"id": "A", "type_id": 0}}],
            "eos": [{"SpecialToken": {"id": "</s>", "type_id": 0}}]}


def template(parts, ids):
    single = [part for name in parts for part in TEMPLATE[name]]
    return {"type": "TemplateProcessing", "single": single, "pair": single + [{"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {name: {"id": name, "ids": [ids[name]], "tokens": [name]} for name in ("<s>", "</s>") if name in ids}}


def added(text, token_id, **flags):
    out = {"id": token_id, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    out.update(flags)
    return out


def metaspace(scheme="always", **more):
    return dict({"type": "Metaspace", "replacement": MARK, "prepend_scheme": scheme, "split": True}, **more)


def replace(pattern, content, kind="String"):
    return {"type": "Replace", "pattern": {kind: pattern}, "content": content}


def sequence(kind, *parts):
    return {"type": "Sequence", kind: list(parts)}


LLAMA_NORMALIZER = sequence("normalizers", {"type": "Prepend", "prepend": MARK}, replace(" ", MARK))
LLAMA_DECODER = sequence("decoders", replace(MARK, " "), {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0})


def empty(model, **members):
    root = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None,
            "post_processor": None, "decoder": None, "model": model}
    root.update(members)
    return root


def train_unigram(lines, size, sentinels=12, rules=RULES):
    """Like T5's: pieces, then sentinels with the highest ids."""
    tok = Tokenizer(models.Unigram())
    tok.normalizer = normalizers.NFKC()
    tok.pre_tokenizer = pre_tokenizers.Metaspace()
    tok.train_from_iterator(lines, trainers.UnigramTrainer(vocab_size=size, unk_token="<unk>", special_tokens=["<pad>", "</s>", "<unk>"], show_progress=False))
    model = json.loads(tok.to_str())["model"]
    names = ["<pad>", "</s>", "<unk>"]
    vocab = [[name, 0.0] for name in names] + [p for p in model["vocab"] if p[0] not in names]
    extra = [[f"<extra_id_{i}>", 0.0] for i in reversed(range(sentinels))]
    tokens = [added(name, i, special=True) for i, name in enumerate(names)] + [added(p[0], len(vocab) + i, special=True) for i, p in enumerate(extra)]
    return empty({"type": "Unigram", "unk_id": 2, "vocab": vocab + extra, "byte_fallback": False}, added_tokens=tokens,
                 normalizer={"type": "Precompiled", "precompiled_charsmap": charsmap(rules) if isinstance(rules, dict) else rules},
                 pre_tokenizer=sequence("pretokenizers", {"type": "WhitespaceSplit"}, metaspace()), decoder=metaspace(),
                 post_processor=template(["text", "eos"], {"</s>": 1}))


def train_bpe(lines, size, split=True, alphabet=None):
    """Like Llama 2's: <unk>, <s>, </s>, bytes, characters (the most frequent), merges. split: no merge reaches across the mark of a space."""
    tok = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tok.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=split)
    tok.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=size, special_tokens=["<unk>", "<s>", "</s>"] + BYTES, show_progress=False, max_token_length=16, limit_alphabet=alphabet))
    model = json.loads(tok.to_str())["model"]
    model["byte_fallback"] = True
    tokens = [added(name, i, special=True) for i, name in enumerate(["<unk>", "<s>", "</s>"])]
    return empty(model, added_tokens=tokens, normalizer=LLAMA_NORMALIZER, decoder=LLAMA_DECODER, post_processor=template(["bos", "text"], {"<s>": 1}))


def with_model(root, **members):
    return {"model": dict(root["model"], **members)}


def scored(pieces, unk_id=0, **more):
    return {"model": dict({"type": "Unigram", "unk_id": unk_id, "byte_fallback": False, "vocab": [[p, float(s)] for p, s in pieces]}, **more)}


def without(root, names):
    """The BPE model less some tokens that no merge needs."""
    return {name: i for name, i in root["model"]["vocab"].items() if name not in names}


def unigram_variants(root):
    vocab, first = root["model"]["vocab"], len(root["model"]["vocab"])
    tokens, pre = root["added_tokens"], sequence
    seq, norm = lambda *p: sequence("pretokenizers", *p), lambda *p: {"normalizer": sequence("normalizers", *p)}
    charmap = root["normalizer"]
    yield "t5 marks always", {"pre_tokenizer": metaspace()}
    yield "t5 marks first", {"pre_tokenizer": metaspace("first"), "decoder": metaspace("first")}
    yield "t5 marks never", {"pre_tokenizer": metaspace("never"), "decoder": metaspace("never")}
    yield "t5 legacy", {"pre_tokenizer": {"type": "Metaspace", "replacement": MARK, "add_prefix_space": True, "str_rep": MARK}, "decoder": {"type": "Metaspace", "replacement": MARK, "add_prefix_space": True}}
    yield "t5 whole", {"pre_tokenizer": metaspace("first", split=False)}
    yield "t5 no cuts", {"pre_tokenizer": None, "decoder": None}
    yield "t5 words", {"pre_tokenizer": seq({"type": "Whitespace"}, metaspace("first")), "decoder": sequence("decoders", metaspace("never"), {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 2, "stop": 1})}
    yield "t5 split words", {"pre_tokenizer": seq({"type": "WhitespaceSplit"}, metaspace("first"))}
    yield "t5 digits", {"pre_tokenizer": seq({"type": "Digits", "individual_digits": True}, metaspace())}
    yield "xlmr", dict(norm(charmap, replace(" {2,}", " ", "Regex")), pre_tokenizer=metaspace())
    yield "albert", norm(replace("``", '"'), replace("''", '"'), {"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"}, charmap)
    yield "strip first", dict(norm({"type": "Strip", "strip_left": True, "strip_right": False}, charmap), pre_tokenizer=metaspace("first"))
    yield "strip right", dict(norm(charmap, {"type": "Strip", "strip_left": False, "strip_right": True}), pre_tokenizer=metaspace("first"))
    yield "nmt", dict(norm({"type": "Nmt"}, {"type": "NFKC"}, {"type": "Strip", "strip_left": True, "strip_right": True}), pre_tokenizer=metaspace("first"))
    yield "forms", dict(norm({"type": "NFD"}, {"type": "NFC"}, {"type": "Lowercase"}), pre_tokenizer=seq({"type": "WhitespaceSplit"}, metaspace("first")))
    yield "spaces first", dict(norm(replace(" {2,}", " ", "Regex")), pre_tokenizer=seq({"type": "WhitespaceSplit"}, metaspace("first")))
    yield "prefix", norm({"type": "Prepend", "prepend": "the "}, charmap)
    bytes_first = dict(with_model(root, byte_fallback=True, vocab=vocab + [[b, -20.0] for b in BYTES]), decoder=sequence("decoders", {"type": "ByteFallback"}, metaspace()))
    yield "byte fallback", bytes_first
    yield "some bytes", dict(with_model(root, byte_fallback=True, vocab=vocab + [[b, -20.0] for b in BYTES[0xC0:]]), pre_tokenizer=None)
    yield "no unk", dict(with_model(root, unk_id=None), pre_tokenizer=metaspace())
    flags = [added("<l>", first, lstrip=True), added("<r>", first + 1, rstrip=True), added("<b>", first + 2, lstrip=True, rstrip=True), added("<w>", first + 3, single_word=True),
             added("caf\u00e9 x", first + 4, normalized=True), added("\uff21\uff54", first + 5, normalized=True), added(" y", first + 6), added("  ", first + 7), added("the ri", first + 8, normalized=True)]
    more = tokens[:3] + [dict(t, lstrip=i % 2 == 0, rstrip=i % 3 == 0, special=i % 4 != 1) for i, t in enumerate(tokens[3:])] + flags
    more_vocab = with_model(root, vocab=vocab + [[t["content"], -30.0] for t in flags])
    yield "flags", dict(more_vocab, added_tokens=more)
    yield "flags first", dict(more_vocab, added_tokens=more, pre_tokenizer=metaspace("first"))
    yield "flags strip", dict(more_vocab, added_tokens=more, **norm(charmap, {"type": "Strip", "strip_left": True, "strip_right": True}, {"type": "Prepend", "prepend": MARK}))
    plain = {"normalizer": None, "pre_tokenizer": metaspace("never"), "added_tokens": [], "post_processor": None}
    yield "ties", dict(scored([("<unk>", 0), ("a", -1), ("b", -1), ("ab", -2), ("aa", -2), ("ba", -2), ("aba", -3), ("t", -1), ("h", -1), ("e", -1), ("th", -2), ("he", -2), ("the", -3), (MARK, -1), (MARK + "t", -2)]), **plain)
    yield "sums", dict(scored([("<unk>", 0), ("a", -0.1), ("b", -0.2), ("ab", -0.3), ("aa", -0.2), ("ba", -0.30000000000000004), ("aba", -0.4), ("t", -0.7), ("h", -0.1), ("th", -0.7999999999999999), ("e", -1e-3), (MARK, -1 / 3)]), **plain)
    yield "high scores", dict(scored([("<unk>", 30), ("a", 30), ("ab", 25), ("\u6cb3\u8fb9", 31), ("river", 100), ("xyz", 20), (MARK, 40)]), **plain)
    yield "unk piece", dict(scored([("a", -1), ("b", -1), ("<unk>", -0.5), ("x", -2), ("<0x41>", -3), ("nk", -9), (MARK, -2)], 2, byte_fallback=True), **plain)
    yield "one piece", dict(scored([("<unk>", 0)]), **plain)


def bpe_variants(root, whole):
    vocab = root["model"]["vocab"]
    first = max(vocab.values()) + 1
    tokens = root["added_tokens"]
    seq = lambda *p: {"pre_tokenizer": sequence("pretokenizers", *p)}
    split = lambda pattern, behavior, invert=False, kind="String": {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}
    yield "llama marks first", {"normalizer": None, "pre_tokenizer": metaspace("first", split=False)}
    yield "llama marks always", {"normalizer": None, "pre_tokenizer": metaspace("always", split=True)}
    yield "llama marks never", {"normalizer": None, "pre_tokenizer": metaspace("never", split=True), "decoder": metaspace("never")}
    yield "llama both ends", {"post_processor": template(["bos", "text", "eos"], {"<s>": 1, "</s>": 2})}
    yield "llama two steps", {"post_processor": sequence("processors", template(["bos", "text", "eos"], {"<s>": 1, "</s>": 2}))}
    yield "ignore merges", dict(with_model(root, ignore_merges=True), normalizer=replace(" ", MARK), pre_tokenizer=split(MARK, "MergedWithNext"))
    yield "no fallback", with_model(root, byte_fallback=False)
    yield "unk each", with_model(root, byte_fallback=False, fuse_unk=False)
    high = set(BYTES[0xE4:])
    yield "some bytes", with_model(root, vocab=without(root, high))
    yield "some bytes, unk each", with_model(root, vocab=without(root, high), fuse_unk=False)
    gemma = {"normalizer": replace(" ", MARK), "decoder": sequence("decoders", replace(MARK, " "), {"type": "ByteFallback"}, {"type": "Fuse"})}
    yield "gemma", dict(gemma, pre_tokenizer=split(" ", "MergedWithPrevious"))
    for behavior in ("Removed", "Isolated", "Contiguous", "MergedWithPrevious", "MergedWithNext"):
        yield "split " + behavior, dict(gemma, pre_tokenizer=split(MARK, behavior))
        yield "split not " + behavior, dict(gemma, pre_tokenizer=split("[a-m" + MARK + "]+|e*", behavior, True, "Regex"))
    yield "split empty", dict(gemma, pre_tokenizer=split("", "Isolated"))
    yield "byte level bytes", dict(decoder=sequence("decoders", {"type": "ByteFallback"}, replace(MARK, " ")))
    yield "strip each", dict(decoder=sequence("decoders", replace(MARK, " "), {"type": "Strip", "content": " ", "start": 1, "stop": 0}, {"type": "ByteFallback"}))
    yield "replace each", dict(decoder=sequence("decoders", replace("e|$|^" + MARK, "<>", "Regex"), replace("", "."), {"type": "Fuse"}))
    yield "no decoder", dict(decoder=None)
    flags = [added("<l>", first, lstrip=True), added("<r>", first + 1, rstrip=True), added("caf\u00e9", first + 2, normalized=True), added("a b", first + 3, normalized=True), added(" y", first + 4)]
    yield "llama flags", {"added_tokens": tokens + flags}
    yield "llama flags first", {"added_tokens": tokens + flags, "normalizer": None, "pre_tokenizer": metaspace("first")}
    yield "replace empty", {"normalizer": sequence("normalizers", replace("", MARK), replace("x*", "y", "Regex")), "pre_tokenizer": metaspace("first")}
    yield "across spaces", {"model": whole["model"]}
    yield "across spaces, cut", {"model": whole["model"], "normalizer": None, "pre_tokenizer": metaspace("first")}


def rows(root, strings, lists, table):
    """What the library gives: for strings ids without and with special tokens, ids of the text as plain text, and both decodings where they
    are not the text; null where it fails; for lists of ids both decodings. A string on which the library panics is left out."""
    tok = Tokenizer.from_str(json.dumps(root))
    out = []

    def both(row, ids, text):
        decoded, skipped = (tok.decode(ids, skip_special_tokens=skip) for skip in (False, True))
        row.update({k: v for k, v, same in (("decoded", decoded, text), ("skipped", skipped, decoded)) if v != same})
        return row

    def encode(s, plain, **more):  # None: an unknown character, and no unk_id
        tok.encode_special_tokens = plain
        try:
            return tok.encode(s, **more).ids
        except Exception as error:
            if "unk_id" not in str(error):
                raise
            return None

    for s in strings:
        try:
            ids = encode(s, False, add_special_tokens=False)
            row = {"text": table.setdefault(s, len(table)), "ids": ids}
            row.update({k: v for k, v in (("framed", encode(s, False)), ("plain", encode(s, True, add_special_tokens=False))) if v != ids})
            out.append(both(row, ids, s) if ids is not None else row)
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
    for ids in lists:
        try:
            out.append(both({"decode": ids}, ids, None))
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
    return out


def id_lists(root, count, rng):
    vocab = root["model"]["vocab"]
    ids = sorted(vocab.values()) if isinstance(vocab, dict) else list(range(len(vocab)))
    ids = sorted(set(ids + [t["id"] for t in root["added_tokens"]]))
    names = {i: name for name, i in vocab.items()} if isinstance(vocab, dict) else {i: p[0] for i, p in enumerate(vocab)}
    byte_ids = [i for i in ids if names.get(i, "").startswith("<0x")] or ids
    return [[rng.choice(byte_ids if rng.random() < 0.4 else ids) for _ in range(rng.randint(0, 9))] for _ in range(count)]
