#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""PyTorch's semi-structured products, its pruning, and chains by permutations and bmm on a GPU, as a result that `winnow bench --device cuda --merge` puts beside its own.

A call costs here what it costs a user: PyTorch makes a plan in every one, so small products are bound by the host. It runs in a process of
its own, so its repetitions lie beside nothing of ours: winnow compares medians and never calls it the best peer."""
import argparse
import json
import statistics
import sys
import time

from torch_peer import ks_chosen, ks_runs, ks_sizes, ks_work, library

SHAPES = {"gemm": "2048x768,6656x1664,1664x6656,4096x4096,11008x4096,4096x11008,28672x8192", "decode": "4096x4096,11008x4096,28672x8192", "prune": "4096x4096,11008x4096,8192x8192", "mlp": "3072x768,8192x2048,16384x4096", "ks": ""}
ROWS = {"gemm": "256,1024,4096,16384", "decode": "1,8,16,32,64", "prune": "0", "mlp": "8192,32768", "ks": "25088"}
REST, BATCH = 25e-3, 4e-3  # seconds of sleep before a batch, and of a batch


def arguments():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("suite", choices=sorted(SHAPES))
    p.add_argument("--json", required=True)
    for name in ("shapes", "rows", "dtype", "repeats", "work"):
        p.add_argument("--" + name, default="")
    p.add_argument("--no-dense", action="store_true", help="ks: no dense products beside chains")
    return p.parse_args()


def pruned(torch, w):
    """The two largest of every four of a row."""
    groups = w.view(w.shape[0], -1, 4)
    kept = groups.abs().topk(2, dim=-1).indices
    return (groups * torch.zeros_like(groups).scatter_(-1, kept, 1)).view_as(w)


def batches(torch, run, repeats):
    """Seconds of one call, `repeats` times, each the mean of a batch behind a rest; None and why where it cannot run."""
    try:
        for _ in range(3):
            run()
        torch.cuda.synchronize()
    except (RuntimeError, NotImplementedError) as error:
        return None, str(error).splitlines()[0]
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)

    def batch(count):
        begin.record()
        for _ in range(count):
            run()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3 / count

    count = max(1, int(BATCH / max(batch(3), 1e-7)))
    seconds = []
    for _ in range(repeats + 1):
        time.sleep(REST)
        seconds.append(batch(count))
    return seconds[1:], ""


def products(torch, w, x):
    """name -> function: y = x W^T as a user writes it."""
    from torch.sparse import to_sparse_semi_structured

    runs = {"dense": lambda: torch.nn.functional.linear(x, w)}
    try:
        sparse = to_sparse_semi_structured(pruned(torch, w))
        runs["semi-structured"] = lambda: torch.nn.functional.linear(x, sparse)
    except (RuntimeError, NotImplementedError) as error:
        print("torch, semi-structured:", str(error).splitlines()[0], file=sys.stderr)
    if torch.backends.cusparselt.is_available():
        packed = torch._cslt_compress(pruned(torch, w))
        padded = x if x.shape[0] % 8 == 0 else torch.nn.functional.pad(x, (0, 0, 0, -x.shape[0] % 8))
        found = int(torch._cslt_sparse_mm_search(packed, padded.t(), transpose_result=True))
        runs["semi-structured, searched"] = lambda: torch._cslt_sparse_mm(packed, padded.t(), transpose_result=True, alg_id=found)
    return runs


def prunings(torch, w):
    """work -> name -> function."""
    runs = {"choose tiles and pack both ways": {"4x4 tiles": lambda: torch._sparse_semi_structured_tile(w)}}
    if torch.backends.cusparselt.is_available():
        ready = pruned(torch, w)
        runs["pack"] = {"_cslt_compress": lambda: torch._cslt_compress(ready)}
    return runs


def mlps(torch, out, n_in, t, kind):
    """name -> function: an MLP with relu^2, forward and backward, compiled and dense, or with weights that are pruned and packed in every run."""
    from torch.nn.functional import linear, relu

    x = torch.randn(t, n_in, dtype=kind, device="cuda", requires_grad=True)
    dy = torch.randn(t, n_in, dtype=kind, device="cuda")
    up = torch.randn(out, n_in, dtype=kind, device="cuda", requires_grad=True)
    down = torch.randn(n_in, out, dtype=kind, device="cuda", requires_grad=True)

    class Sparse(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, w, tile):
            ctx.w = tile(w.detach())
            ctx.save_for_backward(x)
            return linear(x, ctx.w)

        @staticmethod
        def backward(ctx, dy):
            (x,) = ctx.saved_tensors
            return dy @ ctx.w, dy.t() @ x, None

    def step(product):
        def run():
            for leaf in (x, up, down):
                leaf.grad = None
            product(relu(product(x, up)).square(), down).backward(dy)

        return run

    dense = torch.compile(lambda: linear(relu(linear(x, up)).square(), down))

    def compiled():
        for leaf in (x, up, down):
            leaf.grad = None
        dense().backward(dy)

    runs = {"dense, compiled": compiled}
    if torch.backends.cusparselt.is_available():
        from torch.sparse import SparseSemiStructuredTensorCUSPARSELT as Lt

        runs["2:4 weights"] = step(lambda x, w: Sparse.apply(x, w, Lt.prune_dense_static_sort))
    return runs


def chains(torch, a, kind):
    """work, name, function, out, in, rows, FLOPs of every pass of every chain; the dense product beside the forward pass."""
    for name, factors, passes in ks_chosen(a):
        out, n_in = ks_sizes(factors)
        for t in map(int, (a.rows or ROWS["ks"]).split(",")):
            runs, flops = ks_runs(torch, factors, t, kind, "cuda")
            for of in passes:
                if of in runs:
                    yield of + " " + ks_work(name), "bmm", runs[of], out, n_in, t, flops
            if "forward" in passes and not a.no_dense:
                x, w = torch.randn(t, n_in, dtype=kind, device="cuda"), torch.randn(out, n_in, dtype=kind, device="cuda")
                yield "forward " + ks_work(name), "dense", lambda: torch.nn.functional.linear(x, w), out, n_in, t, 2.0 * t * out * n_in


def main():
    a = arguments()
    import torch

    if not torch.cuda.is_available():
        sys.exit("torch: no GPU")
    torch.manual_seed(1)
    dtype = {"": "bf16", "bfloat16": "bf16", "float16": "f16", "float32": "f32"}.get(a.dtype, a.dtype)
    if dtype not in (("bf16", "f16", "f32") if a.suite == "ks" else ("bf16", "f16")):
        sys.exit("torch: no dtype " + dtype)
    kind = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}[dtype]
    torch.backends.cuda.matmul.allow_tf32 = False  # its default: float32 products are of float32 numbers
    repeats, rows, notes = int(a.repeats or 0) or 7, [], []

    def add(work, name, run, out, n_in, t, flops):
        seconds, why = batches(torch, run, repeats)
        if seconds is None:
            notes.append(f"torch, {name}: {why}")
            return
        rows.append({"suite": a.suite, "work": work, "dtype": dtype, "name": f"torch {torch.__version__}, {name}, own process", "role": "peer", "out": out, "in": n_in,
                     "rows": t, "flops": flops, "seconds": {"median": statistics.median(seconds), "least": min(seconds), "most": max(seconds)}})

    if a.suite == "ks":
        for chain in chains(torch, a, kind):
            add(*chain)
    shapes = [tuple(map(int, shape.split("x"))) for shape in (a.shapes or SHAPES[a.suite]).split(",") if a.suite != "ks"]
    if a.suite == "mlp":
        for out, n_in in shapes:
            for t in map(int, (a.rows or ROWS[a.suite]).split(",")):
                for name, run in mlps(torch, out, n_in, t, kind).items():
                    add("forward and backward", name, run, out, n_in, t, 12.0 * t * out * n_in)
        shapes = []
    with torch.no_grad():
        for out, n_in in shapes:
            w = torch.randn(out, n_in, dtype=kind, device="cuda")
            if a.suite == "prune":
                for work, runs in prunings(torch, w).items():
                    for name, run in runs.items():
                        add(work, name, run, out, n_in, 0, 0)
                continue
            for t in map(int, (a.rows or ROWS[a.suite]).split(",")):
                x = torch.randn(t, n_in, dtype=kind, device="cuda")
                for name, run in products(torch, w, x).items():
                    add("decode" if a.suite == "decode" else "forward", name, run, out, n_in, t, 2.0 * t * out * n_in)
    for note in dict.fromkeys(notes):
        print("note:", note)
    result = {"format": "winnow bench 1", "machine": torch.cuda.get_device_name(0), "device": "cuda", "protocol": "burst", "date": time.strftime("%Y-%m-%d", time.gmtime()),
              "threads": 0, "libraries": [library(torch)], "notes": list(dict.fromkeys(notes)), "rows": rows}
    with open(a.json, "w", encoding="utf-8") as f:
        json.dump(result, f)


if __name__ == "__main__":
    main()
