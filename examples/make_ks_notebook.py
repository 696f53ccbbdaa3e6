#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes ks.ipynb, a notebook that fits Kronecker-sparse chains with winnow and reads them with torch.

usage: make_ks_notebook.py            write it beside this file
       make_ks_notebook.py --check    fail unless it is what this writes and its cells are Python
       make_ks_notebook.py --run      run its cells here (needs torch; WINNOW names the program)
"""
import ast
import json
import os
import sys

CELLS = [
    """# Kronecker-sparse chains in place of a dense weight

`winnow ks fit` replaces a matrix by a product of sparse factors. Here a weight is made, fitted in the two ways of the command line, and what was written is read with
`torch.load(weights_only=True)`. The environment variable `WINNOW` names the program.""",
    """import json
import os
import subprocess
import tempfile

import torch

winnow = os.environ.get("WINNOW", "winnow")
work = tempfile.mkdtemp()
os.makedirs(f"{work}/ckpt")
torch.manual_seed(42)
weight = torch.randn(96, 48) / 48**0.5
torch.save(weight, f"{work}/ckpt/gate_proj_weights0.pth")


def ks_fit(arguments):
    out = subprocess.run([winnow, "ks", "fit", *arguments.split()], cwd=work, check=True, capture_output=True, text=True)
    print(out.stderr[-600:] + out.stdout)""",
    """## Closed form

A chain with a bottleneck of rank r is a matrix of that rank, so the best one is a truncated SVD and needs no training.""",
    """ks_fit("ckpt/gate_proj_weights0.pth --rank 4 --output-dir ./trained_models")""",
    """## Training

The same by gradients from random factors, on random vectors, with a cosine schedule and clipping.""",
    """ks_fit(
    "--weight_path ckpt/gate_proj_weights0.pth --rank 8 --impl triton --batch_size 32 --num_epochs 20 --lr 5e-3 --weight_decay 1e-5 --optimizer adamw "
    "--scheduler cosine --max_grad_norm 1.0 --log_grad_norm --num_samples 2000 --val_split 0.2 --dtype float16 --device cuda --save_interval 10 --verbose "
    "--method sgd --save_prefix trained"
)""",
    """## Progress

The log has an entry for each epoch; a bar for each of their losses.""",
    """log = json.load(open(f"{work}/trained_models/trained_training_log.json"))
most = max(entry["val_loss"] for entry in log)
for entry in log[::2]:
    bar = "#" * round(60 * entry["val_loss"] / most)
    print(f'{entry["epoch"]:3d} {entry["val_loss"]:.4f} rate {entry["learning_rate"]:.1e} gradient {entry["grad_norm"]:.2f} {bar}')
print(log[-1]["compression_stats"])""",
    """## The checkpoint in torch

`weights.N` are `[a d, c, b]`: the blocks of factor N, transposed; the first factor is the one that meets the input.""",
    """def dense(checkpoint):
    product = None
    state = checkpoint["model_state_dict"]
    for n, (a, b, c, d) in enumerate(checkpoint["patterns"]):
        blocks = state[f"weights.{n}"].double().reshape(a, d, c, b)
        factor = torch.zeros(a, b, d, a, c, d, dtype=torch.float64)
        for i in range(a):
            for l in range(d):
                factor[i, :, l, i, :, l] = blocks[i, l].T
        factor = factor.reshape(a * b * d, a * c * d)
        product = factor if product is None else factor @ product
    return product


for prefix in ("ks_chain", "trained"):
    checkpoint = torch.load(f"{work}/trained_models/{prefix}_best.pth", weights_only=True)
    error = (dense(checkpoint) - weight).norm() / weight.norm()
    stats = checkpoint["compression_stats"]
    print(f'{prefix}: relative error {error:.4f}, {stats["compression_ratio"]:.2f} times smaller, epoch {checkpoint["epoch"]}')
s = torch.linalg.svdvals(weight.double())
print(f"the best matrices of rank 4 and 8: {s[4:].norm() / s.norm():.4f}, {s[8:].norm() / s.norm():.4f}")""",
]


def notebook():
    cells = []
    for i, text in enumerate(CELLS):
        code = not text.startswith("#")
        cell = {"cell_type": "code" if code else "markdown", "id": f"cell-{i}", "metadata": {}, "source": text.splitlines(keepends=True)}
        if code:
            cell.update({"execution_count": None, "outputs": []})
        cells.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return json.dumps({"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}, indent=1, ensure_ascii=False) + "\n"


def main():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "ks.ipynb")
    if sys.argv[1:] == ["--check"]:
        with open(path, encoding="utf-8") as f:
            text = f.read()
        if text != notebook():
            sys.exit(f"{path} is not what {sys.argv[0]} writes")
        for cell in json.loads(text)["cells"]:
            if cell["cell_type"] == "code":
                ast.parse("".join(cell["source"]))
    elif sys.argv[1:] == ["--run"]:
        names = {}
        for text in CELLS:
            if not text.startswith("#"):
                exec(compile(text, "<cell>", "exec"), names)
    elif not sys.argv[1:]:
        with open(path, "w", encoding="utf-8") as f:
            f.write(notebook())
    else:
        sys.exit(__doc__)


main()
