#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""PyTorch's time for the dense products of a linear layer, or for whole updates of a model, as a result that `winnow bench --merge` puts beside its own.

It runs in a process of its own, so its repetitions lie beside nothing of ours: winnow compares medians and never calls it the best peer."""
import argparse
import json
import os
import statistics
import sys
import time

# What winnow bench measures when nothing is said.
SHAPES = {"gemm": "3072x768,768x3072,4096x4096,5504x2048", "decode": "4096x4096,11008x4096", "layer": "3072x768,768x3072"}
ROWS = {"gemm": "64,128,512,1024", "decode": "1,4,8,16", "layer": "128,512"}
MODEL = {"hidden-size": 512, "layers": 6, "heads": 8, "vocab-size": 4096, "seq-len": 256, "batch-size": 8}
FLUSH = 256 << 20
ENOUGH = 200e-6  # seconds of a sample


def arguments():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("suite", choices=sorted(SHAPES) + ["train"])
    p.add_argument("--json", required=True)
    for name in ("shapes", "rows", "dtype", "threads", "repeats", "mlp", *MODEL):
        p.add_argument("--" + name, default="")
    return p.parse_args()


def train_rows(torch, a, dtype, repeats):
    from torch_llama import Trainer

    hidden, layers, heads, vocab, seq, batch = (int(getattr(a, name.replace("-", "_")) or usual) for name, usual in MODEL.items())
    trainer = Trainer(hidden, layers, heads, vocab, seq, batch, mlp=a.mlp or "relu2", bf16=dtype == "bf16")
    seconds = [trainer.update(time.perf_counter) for _ in range(repeats + 1)][1:]
    return [row(torch, a.suite, "step", dtype, seconds, tokens=batch * seq)]


def row(torch, suite, work, dtype, seconds, **more):
    return {"suite": suite, "work": work, "dtype": dtype, "name": "torch " + torch.__version__ + ", own process", "role": "peer",
            "seconds": {"median": statistics.median(seconds), "least": min(seconds), "most": max(seconds)}, **more}


def works(torch, suite, t, out, n_in, dtype):
    """name -> function, of the products that the suite has."""
    x, dy = torch.randn(t, n_in, dtype=dtype), torch.randn(t, out, dtype=dtype)
    w = torch.randn(out, n_in, dtype=dtype)
    forward, backward, weight = (lambda: x @ w.t()), (lambda: dy @ w), (lambda: dy.t() @ x)
    if suite == "decode":
        return {"decode": forward}
    if suite == "layer":
        return {"forward and backward": lambda: (forward(), backward(), weight())}
    return {"forward": forward, "input gradient": backward, "weight gradient": weight}


def sample(run, flush):
    if flush is not None:  # weights from memory: one run, as it is found
        flush.add_(1)
        start = time.perf_counter()
        run()
        return time.perf_counter() - start
    loops = 1
    run()
    while True:
        start = time.perf_counter()
        for _ in range(loops):
            run()
        seconds = time.perf_counter() - start
        if seconds >= ENOUGH:
            return seconds / loops
        loops *= 2


def product_rows(torch, a, dtype, repeats):
    kind = torch.float32 if dtype == "f32" else torch.bfloat16
    flush = torch.zeros(FLUSH // 4) if a.suite == "decode" else None
    rows, products = [], 3 if a.suite == "layer" else 1
    with torch.no_grad():
        for shape in (a.shapes or SHAPES[a.suite]).split(","):
            out, n_in = map(int, shape.split("x"))
            for t in map(int, (a.rows or ROWS[a.suite]).split(",")):
                for work, run in works(torch, a.suite, t, out, n_in, kind).items():
                    seconds = [sample(run, flush) for _ in range(repeats + 1)][1:]
                    more = {"out": out, "in": n_in, "rows": t, "flops": 2.0 * products * t * out * n_in}
                    rows.append(row(torch, a.suite, work, dtype, seconds, **more))
    return rows


def main():
    a = arguments()
    cpus = sorted(os.sched_getaffinity(0))
    threads = int(a.threads or 0) or len(cpus)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    os.environ.setdefault("OMP_PROC_BIND", "close")
    os.environ.setdefault("OMP_PLACES", ",".join("{%d}" % c for c in cpus[:threads]))
    import torch

    torch.set_num_threads(threads)
    dtype = {"": "f32", "float32": "f32", "bfloat16": "bf16"}.get(a.dtype, a.dtype)
    if dtype not in ("f32", "bf16"):
        sys.exit("torch: no dtype " + dtype)
    rows = train_rows(torch, a, dtype, int(a.repeats or 0) or 5) if a.suite == "train" else product_rows(torch, a, dtype, int(a.repeats or 0) or 9)
    result = {"format": "winnow bench 1", "machine": "", "date": time.strftime("%Y-%m-%d", time.gmtime()), "threads": threads,
              "libraries": [{"name": "torch", "found": True, "version": torch.__version__, "path": os.path.dirname(torch.__file__)}], "notes": [], "rows": rows}
    with open(a.json, "w", encoding="utf-8") as f:
        json.dump(result, f)


if __name__ == "__main__":
    main()
