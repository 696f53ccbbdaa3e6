#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the seed files of fuzz_jsonl with Python's json and gzip. usage: make_jsonl_corpus.py"""
import gzip
import json
import os

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus", "fuzz_jsonl")


def rows(*texts):
    return "".join(json.dumps({"text": t, "url": "https://example.org/", "n": [1, 2.5, None]}) + "\n" for t in texts).encode()


def pack(data):
    return gzip.compress(data, mtime=0)


plain = rows("the river", 'quotes " and \\', "na\u00efve \u6f22 \U0001f600", "", "zero\u0000")
SEEDS = {
    "plain": plain,
    "raw_utf8": '{"text":"na\u00efve \u6f22 \U0001f600"}\n'.encode(),
    "blank_lines": b'\n \t\r\n{"text": "a"}\r\n\r\n{"text": "b"}',
    "no_text": b'{"text": "a"}\n{"url": "b"}\n',
    "no_object": b'["text"]\n',
    "bad_utf8": b'{"text": "\xff"}\n',
    "cut": plain[:-20],
    "gzip": pack(plain),
    "members": pack(plain[:50]) + pack(b"") + pack(plain[50:]) + bytes(8),
    "gzip_cut": pack(plain)[:-9],
    "gzip_bad_sum": pack(plain)[:-8] + bytes(8),
    "gzip_stored": gzip.compress(plain, 0, mtime=0),
    "gzip_run": pack(rows("a" * 100000)),
}
os.makedirs(FOLDER, exist_ok=True)
for name, data in SEEDS.items():
    with open(os.path.join(FOLDER, name), "wb") as f:
        f.write(data)
