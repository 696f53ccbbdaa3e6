#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A chain fitted to what a layer's outputs are, beside the best low-rank weight of as many parameters.

    python3 bench/ks_outputs.py build/winnow [-o outputs.txt]

W: 256 x 256 normal numbers. Inputs of second moments H = Q diag(k^-p) Q^T, Q a random rotation, k = 1 to 256.
Chain: monarch:32:4, a quarter of W's parameters. Numbers are squared errors of the outputs over their squares,
tr((W-P) H (W-P)^T) / tr(W H W^T), in float64 from the checkpoints: the closed form that knows no inputs, what
`ks fit --calib` does by default, and the weight of rank 32 that is optimal for H (truncated SVD of W S, H = S S^T;
Wang et al., "SVD-LLM", 2024). The program's H is damped by a hundredth of its mean diagonal; these are not.
"""
import argparse, subprocess, tempfile
from pathlib import Path

import numpy as np
import torch

N, CHAIN, RANK = 256, "monarch:32:4", 32  # 2 * 256 * 32 numbers on either side


def matrix(checkpoint):
    """The product of a checkpoint's factors, the first the rightmost; each [ad, c, b]."""
    state = torch.load(checkpoint, weights_only=True)
    out = np.eye(N)
    for t, (a, b, c, d) in enumerate(state["patterns"]):
        w = state["model_state_dict"][f"weights.{t}"].double().numpy().reshape(a, d, c, b)
        dense = np.zeros((a, b, d, a, c, d))
        for i in range(a):
            for l in range(d):
                dense[i, :, l, i, :, l] = w[i, l].T
        out = dense.reshape(a * b * d, a * c * d) @ out
    return out


def fit(winnow, folder, *more):
    command = [winnow, "ks", "fit", folder / "w.pth", "--chain", CHAIN, "--output-dir", folder / "out"]
    done = subprocess.run([*command, *more], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return matrix(next((folder / "out").glob("*_final.pth")))


def one(winnow, power, seed):
    rng = np.random.default_rng(seed)
    w = rng.standard_normal((N, N)).astype(np.float32)
    q, _ = np.linalg.qr(rng.standard_normal((N, N)))
    root = q * np.arange(1, N + 1) ** (-power / 2)  # H = root root^T
    x = (np.linalg.qr(rng.standard_normal((4 * N, N)))[0] @ root.T * 2 * N**0.5).astype(np.float32)
    h = x.T.astype(float) @ x / len(x)
    error = lambda p: np.trace((w - p) @ h @ (w - p).T) / np.trace(w @ h @ w.T)
    s = np.linalg.svd(w @ np.linalg.cholesky(h), compute_uv=False) ** 2
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.save(torch.from_numpy(w), folder / "w.pth")
        torch.save(torch.from_numpy(x), folder / "x.pth")
        plain = error(fit(winnow, folder))
        ours = error(fit(winnow, folder, "--calib", folder / "x.pth"))
    return plain, ours, s[RANK:].sum() / s.sum()


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("winnow")
    args.add_argument("-o", help="write the table there too")
    args = args.parse_args()
    lines = ["   p seed    plain  default low rank  default / low rank"]
    for power in (0.5, 1, 1.5, 2):
        for seed in (1, 2, 3):
            plain, ours, low = one(args.winnow, power, seed)
            lines.append(f"{power:4} {seed:4} {plain:8.4f} {ours:8.4f} {low:8.4f} {ours / low:19.3f}")
            print(lines[-1] if len(lines) > 2 else "\n".join(lines), flush=True)
    if args.o:
        Path(args.o).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
