#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tests/fixtures/tokenizer/hf.json (byte-level BPE) and spm.json (SentencePiece's kinds, tokenizer_kinds.py): small tokenizers
trained here by Hugging Face `tokenizers` on the text below, awkward strings, and the ids and decoded texts that library gives for them.
Also merges learned by a plain, slow trainer, and seeds for tests/fuzz/corpus/fuzz_tokenizer.

    pip install tokenizers && tools/make_tokenizer_fixtures.py [FOLDER]
"""
import copy
import json
import os
import random
import sys

import tokenizer_kinds as kinds
import tokenizers
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

PATTERNS = {
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "llama3": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}
NANOCHAT = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,2}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"

TEXT = """The mill stands where the river bends, and the miller's daughter counts the sacks: one, two, three, 12, 144, 1728.
"We'll be late," she said; "they've gone, I'm sure of it, and you'd know if they're back, wouldn't you?" It's 7:45 now.
Winter came early in 1987. Snow lay on the roofs, on the fields, on the frozen river; nobody crossed the bridge before noon.
    if (count > 0) {
        total += count * price;   // 3.50 each
    }
\tindented\twith\ttabs\r\nand a line that ends the old way\r\n\r\n
Größe und Stärke, außer über Übung. L'été à la plage, où ça? El niño comió piñas mañana. Naïve café façade.
Быстрая река течёт через лес, и мельница стоит у моста. Река замёрзла зимой.
河边有一座磨坊，磨坊主的女儿在数袋子。今年冬天来得很早。川の曲がり角に水車小屋があります。
강가에 방앗간이 있다. نهر سريع يجري عبر الغابة ١٢٣٤. नदी तेज़ बहती है १२३४।
Emoji: 🙂🙂 👩‍🌾 👍🏽 🇩🇪 ❤️ — and dashes – and … dots... !!! ??? #hash @at $5.00 100% a_b c-d e/f <tag attr="x"></tag>
"""

STRINGS = [
    "", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\r\n\r\n", "\t", " \t ", " \n ", "\n ", "  \n\n  x", "a\n \n b", "x  ", "x   y", "\u00a0", "\u00a0\u00a0a",
    "\u3000全角\u3000", "a\u2028b\u2029c", "a\x0bb\x0cc\x85d", "\u180ea\u180e \u180e", "\u200b\u200bzero", "a\x1cb\x1fc", "\x00", "a\x00b\x00\x00c", "\x7f\x80\x9f",
    "Hello world", "hello, world!", " leading", "trailing ", "The miller's daughter", "We'll they've I'm you'd they're it's don't",
    "WE'LL THEY'VE I'M YOU'D THEY'RE IT'S DON'T", "We'Ll 'S 's ''s '\u017f x'sy 'RE're'Re", "o'clock rock'n'roll ' s", "can\u2019t \u2018quoted\u2019",
    "1", "12", "123", "1234", "12345", "1234567890", "3.14159", "1,234,567.89", "0x1F", "v2.0.1", "x1y22z333", "\u0661\u0662\u0663\u0664", "\u0967\u0968\u0969\u096a",
    "\u00b2\u00b3\u00b9\u00bd\u2167\u2460", "\U0001d7d8\U0001d7d9", "\uff11\uff12\uff13",
    "\u00e9", "e\u0301", "cafe\u0301 caf\u00e9", "\u1e69 s\u0323\u0307 s\u0307\u0323", "\u0301a", "a\u0301\u0316\u0301\u0316\u0323", "\u212b \u2126 \u00c5", "\ufb01 \ufb03 \u2460 \uff21",
    "\uac00 \u1100\u1161 \u1112\u1161\u11ab \ud55c", "\u0958 \u0915\u093c", "\u0344 \u0308\u0301", "\u2adc \u0f73 \u0fb3\u0f71\u0f80", "\u1e9b\u0323", "<\u0338 >\u0338 =\u0338",
    "\U0001f642", "\U0001f642\U0001f642", "\U0001f469\u200d\U0001f33e", "\U0001f44d\U0001f3fd", "\U0001f1e9\U0001f1ea\U0001f1eb", "\u2764\ufe0f x \u2764", "a\u200db\u200cc",
    "\U0001f469\u200d\u2764\ufe0f\u200d\U0001f48b\U0001f468", "\u6cb3\u8fb9\u6709\u78e8\u574a", "\u5ddd\u306e\u66f2\u304c\u308a\u89d2\u3002", "\uac15\uac00\uc5d0",
    "\u0646\u0647\u0631 \u0633\u0631\u064a\u0639", "\u0928\u0926\u0940 \u0924\u0947\u095b", "\u0411\u044b\u0441\u0442\u0440\u0430\u044f", "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22",
    "Gr\u00f6\u00dfe \u00fcber \u00dcbung", "\u0130stanbul \u0131\u015f\u0131k", "\u01c5 \u1f88 \u02b0", "\ufeffBOM", "\ufffd\ufffe\uffff\U0010ffff", "\ue000\U000f0000",
    "    if (x) {\n        y();\n    }\n", "\tif x:\n\t\ty()\n", "a;;b::c->d=>e!=f==g", "!!!???...", "---- ____ ====", "#hash @at $5.00 100%", "https://a.example/b?c=d&e=f#g",
    "a" * 70, "abc" * 24, "the" * 24, " " * 66, "!" * 66, "\n" * 66, "\u0301" * 36, "\U0001f642" * 17, "river" * 5 + "mill street",
    "one<|endoftext|>two", "<|endoftext|>", "<|endoftext|><|endoftext|>", " <|endoftext|> ", "<|endoftext|", "|endoftext|>", "<|end", "<||endoftext|>", "<|<|endoftext|>|>",
    "<|im_start|>user\nhi<|im_end|>\n", "<|begin_of_text|>x<|eot_id|>", "<tool_call>{}</tool_call>", "<tool", "a<sw>b", "a <sw> b", "<sw>", "_<sw>", "\u00e9<sw> \u2167<sw> \u24d0<sw> \u200d<sw> -<sw>",
    "x  <ls>  y", "x  <rs>  y", "<rs>  <ls>", "x\u00a0\u3000<ls>\n", "<rs> \t\n\u2028z", "<both>  <both>", "  <both>", "<ab>", "<ab><abc>", "<abc", "<abcd", "caf\u00e9tok cafe\u0301tok", "CAF\u00c9TOK",
]


def random_strings(count):
    rng = random.Random(20)
    parts = [" ", "  ", "\n", "\r\n", "\t", "'", "'s", "'LL", "a", "The", "river", "123", "7", ".", "--", "\u00e9", "e\u0301", "\u6cb3", "\U0001f642", "\u200d", "\u00a0", "\u0301",
             "<|endoftext|>", "<|im_end|>", "<|", "|>", "<sw>", "<ls>", "<rs>", "\u0661", "_", "Z", "\u0130", "\x00", "\u1100", "\u1161"]
    return ["".join(rng.choice(parts) for _ in range(rng.randint(2, 14))) for _ in range(count)]


def byte_level(tok, regex):
    tok.decoder = decoders.ByteLevel()
    tok.post_processor = processors.ByteLevel(trim_offsets=True)
    if regex is None:
        tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    else:
        tok.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(regex), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def train(kind, vocab, specials):
    tok = Tokenizer(models.BPE(ignore_merges=kind == "llama3"))
    byte_level(tok, None if kind == "gpt2" else PATTERNS[kind])
    if kind == "qwen2":
        tok.normalizer = normalizers.NFC()
    trainer = trainers.BpeTrainer(vocab_size=vocab, special_tokens=specials, show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tok.train_from_iterator([TEXT], trainer)
    return json.loads(tok.to_str())


def added(text, token_id, **flags):
    out = {"id": token_id, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    out.update(flags)
    return out


def bases():
    gpt2 = train("gpt2", 380, ["<|endoftext|>"])
    gpt2["model"]["merges"] = [" ".join(m) if isinstance(m, list) else m for m in gpt2["model"]["merges"]]
    llama = train("llama3", 400, [])
    qwen = train("qwen2", 390, [])
    n = max(llama["model"]["vocab"].values()) + 1
    # Tokens that no merge makes: found only because ignore_merges looks at whole pieces first.
    llama["model"]["vocab"].update({"riverriverriverriverrivermill": n, "\u0120street": n + 1})
    n += 2
    llama["added_tokens"] = [added(t, n + i, special=True) for i, t in enumerate(["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"])]
    llama["post_processor"] = {"type": "Sequence", "processors": [
        {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
        {"type": "TemplateProcessing",
         "single": [{"SpecialToken": {"id": "<|begin_of_text|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
         "pair": [{"SpecialToken": {"id": "<|begin_of_text|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                  {"SpecialToken": {"id": "<|begin_of_text|>", "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}}],
         "special_tokens": {"<|begin_of_text|>": {"id": "<|begin_of_text|>", "ids": [n], "tokens": ["<|begin_of_text|>"]}}}]}
    n = max(qwen["model"]["vocab"].values()) + 1
    qwen["added_tokens"] = [added("<|endoftext|>", n, special=True), added("<|im_start|>", n + 1, special=True), added("<|im_end|>", n + 2, special=True),
                            added("<tool_call>", n + 3), added("</tool_call>", n + 4), added("<ab>", n + 5), added("<abc", n + 6),
                            added("<sw>", n + 7, single_word=True), added("<ls>", n + 8, lstrip=True), added("<rs>", n + 9, rstrip=True),
                            added("<both>", n + 10, lstrip=True, rstrip=True, special=True), added("cafe\u0301tok", n + 11, normalized=True)]
    return {"gpt2": gpt2, "llama3": llama, "qwen2": qwen}


def unknown_model(base):
    """Without the bytes of 'q' and of U+00E9's first one."""
    model = copy.deepcopy(base["model"])
    gone = {"q", "\u00c3"}
    model["merges"] = [m for m in model["merges"] if not gone & set("".join(m))]
    keep = {t for t in model["vocab"] if not gone & set(t)}
    model["vocab"] = {t: i for t, i in model["vocab"].items() if t in keep}
    model["vocab"]["<unk>"] = max(model["vocab"].values()) + 5  # the ids between are holes
    model["unk_token"] = "<unk>"
    return model


def variants(base):
    byte = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    regex = lambda r: {"type": "Split", "pattern": {"Regex": r}, "behavior": "Isolated", "invert": False}
    sequence = lambda *parts: {"type": "Sequence", "pretokenizers": list(parts)}
    yield "gpt2", "prefix space", {"pre_tokenizer": dict(byte, add_prefix_space=True, use_regex=True)}
    yield "gpt2", "nanochat", {"pre_tokenizer": sequence(regex(NANOCHAT), byte)}
    yield "gpt2", "digits", {"pre_tokenizer": sequence({"type": "Digits", "individual_digits": True}, dict(byte, use_regex=True))}
    yield "gpt2", "digit runs, prefix space", {"pre_tokenizer": sequence({"type": "Digits", "individual_digits": False}, dict(byte, add_prefix_space=True))}
    yield "gpt2", "string", {"pre_tokenizer": sequence({"type": "Split", "pattern": {"String": "e.r"}, "behavior": "Isolated", "invert": False}, regex(r"\d{2}|$|^.|[\s,]+"), byte)}
    yield "gpt2", "whole", {"pre_tokenizer": byte}
    yield "qwen2", "NFD", {"normalizer": {"type": "NFD"}}
    yield "qwen2", "NFKC", {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFKC"}]}}
    yield "qwen2", "NFKD", {"normalizer": {"type": "NFKD"}}
    yield "gpt2", "unknown", {"model": dict(unknown_model(base["gpt2"]), fuse_unk=True), "added_tokens": []}


def replay(name, root, strings, table):
    tok = Tokenizer.from_str(json.dumps(root))
    rows = []
    for s in strings:
        if name.startswith("unknown"):
            s = s.replace("\u00e9", "q\u00e9q")
        tok.encode_special_tokens = False
        ids = tok.encode(s, add_special_tokens=False).ids
        row = {"text": table.setdefault(s, len(table)), "ids": ids}
        with_bos = tok.encode(s, add_special_tokens=True).ids
        if with_bos != ids:
            row["bos"] = with_bos[0]
            assert with_bos[1:] == ids
        tok.encode_special_tokens = True
        plain = tok.encode(s, add_special_tokens=False).ids
        if plain != ids:
            row["plain"] = plain
        decoded, skipped = (tok.decode(ids, skip_special_tokens=skip) for skip in (False, True))
        if "\ufffd" in decoded and "\ufffd" not in s:
            row["lossy"] = True  # bytes that are no text, which that library cannot give
        else:
            row.update({k: v for k, v, same in (("decoded", decoded, s), ("skipped", skipped, decoded)) if v != same})
        rows.append(row)
    return rows


def learn(kind, text, vocab_size, min_frequency):
    """Merges by the book: count every pair again after each merge."""
    pre = json.loads(json.dumps(PATTERNS))[kind]
    split = pre_tokenizers.Split(Regex(pre), "isolated")
    words = {}
    for part in text.split("<|endoftext|>"):
        for piece, _ in split.pre_tokenize_str(part):
            key = tuple(bytes([b]) for b in piece.encode())
            words[key] = words.get(key, 0) + 1
    ids = {bytes([b]): b for b in range(256)}
    merges = []
    while len(ids) < vocab_size - 1:
        counts = {}
        for word, n in words.items():
            for pair in zip(word, word[1:]):
                counts[pair] = counts.get(pair, 0) + n
        if not counts:
            break
        best = min(counts, key=lambda p: (-counts[p], ids[p[0]], ids[p[1]]))
        if counts[best] < min_frequency:
            break
        if best not in merges:
            merges.append(best)
        both = best[0] + best[1]
        ids.setdefault(both, len(ids))
        merged = {}
        for word, n in words.items():
            out, i = [], 0
            while i < len(word):
                if i + 1 < len(word) and (word[i], word[i + 1]) == best:
                    out.append(both)
                    i += 2
                else:
                    out.append(word[i])
                    i += 1
            merged[tuple(out)] = merged.get(tuple(out), 0) + n
        words = merged
    return {"pretokenizer": kind, "text": text, "vocab_size": vocab_size, "min_frequency": min_frequency,
            "ids": len(ids) + 1, "merges": [[a.hex(), b.hex()] for a, b in merges]}


def learned():
    rng = random.Random(3)
    letters = " ".join("".join(rng.choice("ab") for _ in range(rng.randint(1, 9))) for _ in range(150))
    return [learn("gpt2", TEXT, 420, 2), learn("llama3", TEXT + "<|endoftext|>" + TEXT[:300], 400, 3), learn("qwen2", letters, 420, 2),
            learn("gpt2", "aaaaaaa aaaa aaaaaaaaaaa abababab", 300, 2), learn("gpt2", "abc abc xab xab bcz bcz bcz", 300, 1)]


MARK = kinds.MARK
KIND_STRINGS = [
    "a", "ab", "aba", "abab", "ababa", "aabaab", "thethe", "the river", " the", "the ", "  the  river ", "the  river", "a\u3000b\u00a0c\u2003d", "\u0001\u0002the", "the\u0001", "\u0001",
    "\u200b", "\ufeffthe mill", "\u00a0the", "\ufb01re \ufb03x", "\u00bd \u2460\uff21\uff54", "\ufdfa", "\ufdfa the", "\u0001\ufdfa", "\u3392\u2026", "\u00b4x\u00b4", "e\u0301", "xe\u0301\u0301", "e\u0301\u0302",
    "a\u0301\u0316\u0301", "o\u0308\u0301", "s\u0323\u0307", "s\u0323\u0307\u0301", "\uff21\u0301", "\uff21\u0301\u0301", "\uff54\u200d", "\u2460\u20dd", "\u00bd\u0301", "x\u0302\u0303", "x\u0302", "\u2026\u0301",
    "\r\n", "a\r\nb", "\r\n\u0301", "\u0915\u093c", "\u0915\u094d\u0915\u093c", "\u0915\u094d\u0958\u0301", "\u0958\u0301", "\u0915\u094d\u200d\u0958\u0301", "\u0915\u200c\u094d\u0958\u0301",
    "\u1100\u1161\u11a8", "\u1112\u1161\u11ab", "\U0001f1e9\U0001f1ea\U0001f1eb\u0301", "\u0600\uff21", "\u0600\u2460\u0301", "\U0001f469\u200d\u2764\ufe0f\u200d\U0001f468\u0301", "\u00a9\u200d\u00ae\u0301", "\u0344",
    "\u0e33\u0301", "\u0e01\u0e33", "\U0001f100\u0301", "\U0001d7d8\u0301", "\u2028x\u2029", MARK, MARK * 3, MARK + "the", "the" + MARK + "river", " " + MARK, MARK + " x", "<unk>", "a<unk>b", "<s>", "<s>the</s>", "</s>", " <s> a",
    "<0x41>", "<0x41>B<0x4", "<extra_id_0>", "the <extra_id_0> river <extra_id_11>.", "<extra_id_1>  <extra_id_2>", "x <extra_id_3> y<extra_id_4>  z", "<extra_id_5>\n<extra_id_6>\u3000!", "a <l> b", "a <r> b", " <b> ", "<b><b>  <l>",
    "a<w>b", "a <w> b", "<w>", "caf\u00e9 x", "cafe\u0301 x", "x caf\u00e9  x", "\uff21\uff54", "At", "See At", "<r> y", "<r>  y  ", "<r>   ", "x  y", " y", "  ", "the river", "the  river", "in the ri",
    "xyz", "xy", "river\u6cb3\u8fb9", "\u6cb3\u8fb9\u6cb3", "\U0001f642\U0001f642 a\U0001f642b", "\u00e4\u00f6\ue000a\ue000\ue001\u00e4", "\ue000\u00e4b", "\u00e4\ue000", "\ue000\ue001", "\x00", "\x00a\u0301\x00",
    "a" * 90, "ab" * 60, MARK * 80, " " * 70, "the river " * 12, "\u6cb3" * 40, "\U0001f642" * 30, "\u0301" * 50, "e" + "\u0301" * 40, "\u0915\u094d" * 30,
]


def kind_strings(count):
    rng = random.Random(21)
    parts = [" ", "  ", "\n", "\r\n", "\t", MARK, "the", "The", "river", "mill", "s", "ab", "a", "12", ".", ",", "\u00e9", "e\u0301", "\u0301", "\u6cb3\u8fb9", "\U0001f642", "\u200d", "\u00a0", "\u3000", "\u0001", "\ufb01", "\uff21", "\u2460",
             "\u00bd", "\u0915", "\u094d", "\u093c", "\u0958", "\u1100", "\u1161", "<s>", "</s>", "<unk>", "<extra_id_1>", "<extra_id_0>", "<l>", "<r>", "<b>", "<w>", "<0x41>", "\ue000", "\u00df", "\u0411\u044b", "\u0130", "\x00", "\ufdfa", " y"]
    return ["".join(rng.choice(parts) for _ in range(rng.randint(2, 14))) for _ in range(count)]


def kind_cases(table):
    """Each base and its variants on a share of the strings."""
    lines = [line for line in TEXT.split("\n") if line]
    bases = {"t5": kinds.train_unigram(lines, 260), "llama2": kinds.train_bpe(lines, 460, alphabet=70)}
    whole = kinds.train_bpe(lines, 460, split=False, alphabet=70)
    assert len(bases["llama2"]["model"]["merges"]) > 100
    changes = [("t5", label, change) for label, change in [("t5", {})] + list(kinds.unigram_variants(bases["t5"]))]
    changes += [("llama2", label, change) for label, change in [("llama2", {})] + list(kinds.bpe_variants(bases["llama2"], whole))]
    strings = list(dict.fromkeys(KIND_STRINGS + [s for s in STRINGS if len(s) < 40][::4] + kind_strings(90)))
    short = [s for s in strings if len(s) < 30]
    cases, rng = [], random.Random(22)
    for i, (base, label, change) in enumerate(changes):
        root = dict(bases[base], **change)
        share = short[i % 10::10] if change else strings
        if "model" in change:  # only what differs
            change = dict(change, model={k: v for k, v in change["model"].items() if v != bases[base]["model"].get(k)})
        cases.append({"name": label, "base": base, "set": change, "rows": kinds.rows(root, share, kinds.id_lists(root, 5 if change else 40, rng), table)})
    return bases, cases


def write(path, members):
    lines = "{" + ",\n".join(f'"{key}":{value}' for key, value in members.items()) + "}"
    json.loads(lines)
    with open(path, "w", encoding="utf-8") as f:
        f.write(lines + "\n")
    print(f"{path}: {os.path.getsize(path)} bytes")


def dump(value, ascii_only):
    return json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":"))


def members_of(bases, cases, table):
    return {"made_by": dump("tokenizers " + tokenizers.__version__, True), "bases": dump(bases, False), "texts": dump(list(table), True),
            "cases": dump(cases, False).replace('{"name":', '\n{"name":')}


def write_seeds(folder):
    """Seeds of fuzz_tokenizer: a small file of each kind, and a text after its newline."""
    lines = [line for line in TEXT.split("\n") if line][:3]
    t5, llama = kinds.train_unigram(lines, 60, sentinels=2), kinds.train_bpe(lines, 340, alphabet=30)
    few = ["<0x0A>", "<0xC3>", "<0xA9>", "<0xE2>"]
    llama["model"]["vocab"] = {k: i for k, i in llama["model"]["vocab"].items() if k not in kinds.BYTES or k in few}
    more = [kinds.replace(" {2,}", " ", "Regex"), {"type": "NFKC"}, {"type": "Lowercase"}, {"type": "Strip", "strip_left": True, "strip_right": False}]
    seeds = {"t5": t5, "t5_first": dict(t5, normalizer=kinds.sequence("normalizers", *more), pre_tokenizer=kinds.sequence("pretokenizers", {"type": "WhitespaceSplit"}, kinds.metaspace("first"))),
             "llama2": llama, "llama2_first": dict(llama, normalizer=None, pre_tokenizer=kinds.metaspace("first", split=False), decoder=None)}
    for name, root in seeds.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.write(dump(root, False) + "\nthe  mill\u00e9 <extra_id_1> \ufb01 <s>")


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..", "tests", "fixtures", "tokenizer")
    base = bases()
    cases, table = [], {}
    for i, name in enumerate(base):
        cases.append({"name": name, "base": name, "set": {}, "rows": replay(name, base[name], STRINGS + random_strings(40)[i::3], table)})
    for i, (name, label, change) in enumerate(variants(base)):
        rows = replay(label, dict(base[name], **change), [s for s in STRINGS if len(s) < 60][i % 5::5] + random_strings(60)[40 + i % 5::5], table)
        cases.append({"name": label, "base": name, "set": change, "rows": rows})
    write(os.path.join(folder, "hf.json"), dict(members_of(base, cases, table), learned=dump(learned(), True)))
    table = {}
    base, cases = kind_cases(table)
    write(os.path.join(folder, "spm.json"), members_of(base, cases, table))
    write_seeds(os.path.join(folder, "..", "..", "fuzz", "corpus", "fuzz_tokenizer"))


if __name__ == "__main__":
    main()
