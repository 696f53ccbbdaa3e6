#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Closed forms of chains beside the truncated SVD of as many parameters, on weights of five kinds.

    python3 bench/ks_weights.py build/winnow [-o weights.txt]

W: 512 x 512. Numbers are relative errors |W - P| / |W| in the Frobenius norm: of a chain those that
`ks fit --method svd` prints, of low rank r those of numpy's singular values.
"""
import argparse, re, subprocess, tempfile
from pathlib import Path

import numpy as np
import torch

N = 512
COLUMNS = ["monarch:32:4", 64, "monarch:32:2+lowrank:32", "butterfly", 9]


def basis(rng):
    return np.linalg.qr(rng.standard_normal((N, N)))[0]


def decaying(power):
    rng = np.random.default_rng(2)
    return basis(rng) * np.arange(1, N + 1) ** -power @ basis(rng).T


def convolution():
    rng, w = np.random.default_rng(3), np.zeros((N, N))
    for offset, tap in zip(range(-8, 9), rng.standard_normal(17)):
        w += tap * np.eye(N, k=offset)
    return w


def hadamard():
    w = np.ones((1, 1))
    while len(w) < N:
        w = np.block([[w, w], [w, -w]])
    return w


WEIGHTS = {
    "Gaussian": lambda: np.random.default_rng(1).standard_normal((N, N)),
    "singular values k^-1/2, random bases": lambda: decaying(0.5),
    "singular values 1/k, random bases": lambda: decaying(1.0),
    "convolution of 17 taps": convolution,
    "Hadamard matrix": hadamard,
}


def chain(winnow, folder, kind):
    command = [winnow, "ks", "fit", folder / "w.pth", "--chain", kind, "--method", "svd", "--output-dir", folder / "out"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(re.search(r"relative error ([0-9.e-]+)", done.stdout + done.stderr)[1])


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("winnow")
    args.add_argument("-o", help="write the table there too")
    args = args.parse_args()
    lines = [f"{'weight':<38}" + "".join(f"{f'rank {c}' if isinstance(c, int) else c:>25}" for c in COLUMNS)]
    for name, make in WEIGHTS.items():
        w = make().astype(np.float32)
        s = np.linalg.svd(w.astype(float), compute_uv=False) ** 2
        with tempfile.TemporaryDirectory() as path:
            folder = Path(path)
            torch.save(torch.from_numpy(w), folder / "w.pth")
            errors = [(s[c:].sum() / s.sum()) ** 0.5 if isinstance(c, int) else chain(args.winnow, folder, c) for c in COLUMNS]
        lines.append(f"{name:<38}" + "".join(f"{e:>25.3f}" for e in errors))
        print(lines[-1], flush=True)
    if args.o:
        Path(args.o).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
