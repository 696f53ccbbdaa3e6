#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Does Hugging Face `tokenizers` read the tokenizer.json we train, and give the same ids? Trains one of each kind on TEXT with the
winnow binary (or takes TOKENIZER as it is), and compares the ids of every line of TEXT and of random Unicode lines.

usage: tokenizer_parity.py WINNOW TEXT [TOKENIZER.json]
Exit code 77 (skipped) when `tokenizers` is not installed.
"""
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


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    winnow, text = sys.argv[1:3]
    rng = random.Random(SEED)
    with open(text, encoding="utf-8", newline="") as f:
        lines = f.read().split("\n")[:20000]
    lines = [line for line in lines if line] + [line for line in (random_line(rng) for _ in range(RANDOM_LINES)) if line]
    bad = 0
    with tempfile.TemporaryDirectory() as scratch:
        if len(sys.argv) == 4:
            bad = compare(winnow, sys.argv[3], lines, scratch, False)
        else:
            for kind in ("gpt2", "llama3", "qwen2"):
                path = os.path.join(scratch, kind + ".json")
                subprocess.run([winnow, "tokenize", "--train", text, "--pretokenizer", kind, "--vocab-size", str(VOCAB), "--out", path], check=True)
                bad += compare(winnow, path, lines, scratch, True)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
