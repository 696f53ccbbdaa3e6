#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the seeds of fuzz_pth from the fixtures: small files whole, and their pickles alone. usage: make_pth_corpus.py"""
import os
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
FIXTURES = os.path.join(HERE, "..", "fixtures", "formats", "pth")
FOLDER = os.path.join(HERE, "corpus", "fuzz_pth")
WHOLE = ("bare", "bare_legacy", "shared_legacy", "module_legacy", "no_room")
PROGRAMS = ("bare", "module", "shared", "values", "dtypes_v3", "protocol4", "no_cycle", "no_system", "no_bomb")

os.makedirs(FOLDER, exist_ok=True)
for name in WHOLE:
    with open(os.path.join(FIXTURES, name + ".pth"), "rb") as f, open(os.path.join(FOLDER, name), "wb") as out:
        out.write(f.read())
for name in PROGRAMS:
    with zipfile.ZipFile(os.path.join(FIXTURES, name + ".pth")) as z, open(os.path.join(FOLDER, name + "_program"), "wb") as out:
        out.write(next(z.read(n) for n in z.namelist() if n.endswith("/data.pkl")))
