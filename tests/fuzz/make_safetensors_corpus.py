#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the seeds of fuzz_safetensors: small files, legal and nearly so. usage: make_safetensors_corpus.py"""
import os
import struct

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus", "fuzz_safetensors")


def seed(name, header, data=b"", length=None):
    text = header.encode()
    with open(os.path.join(FOLDER, name), "wb") as f:
        f.write(struct.pack("<Q", len(text) if length is None else length) + text + data)


def info(dtype, shape, begin, end):
    return f'{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{begin},{end}]}}'


os.makedirs(FOLDER, exist_ok=True)
seed("empty", "{}")
seed("metadata", '{"__metadata__":{"format":"pt","a\\u00e9\\ud83d\\ude00":"\\n\\"\\\\"}}  ')
seed("two", f'{{"b":{info("F32", [2, 1], 0, 8)}, "a":{info("U8", [3], 8, 11)}}}', bytes(11))
seed("scalar_and_empty", f'{{"s":{info("BF16", [], 0, 2)},"e":{info("I64", [0, 9], 2, 2)}}}', b"\x80\x3f")
seed("unaligned", f'{{"x":{info("BOOL", [1], 0, 1)},"y":{info("F64", [1], 1, 9)}}}', bytes(9))
seed("eight_bit", f'{{"x":{info("F8_E4M3", [1, 2], 0, 2)},"y":{info("F8_E5M2", [1], 2, 3)}}}', bytes(3))
seed("hole", f'{{"x":{info("U16", [1], 2, 4)}}}', bytes(4))
seed("overflow", f'{{"x":{info("U32", [4294967296, 4294967296], 0, 0)}}}')
seed("sub_byte", f'{{"x":{info("F4", [2], 0, 1)}}}', b"\0")
seed("duplicate", f'{{"x":{info("I8", [1], 0, 1)},"\\u0078":{info("I8", [1], 1, 2)}}}', bytes(2))
seed("huge_length", "{}", length=2**64 - 1)
