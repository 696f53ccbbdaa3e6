#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""PyTorch's time for the dense products of a linear layer, for Kronecker-sparse factors as batched products, or for whole updates of a model, as a result that `winnow bench --merge` puts beside its own.

It runs in a process of its own, so its repetitions lie beside nothing of ours: winnow compares medians and never calls it the best peer."""
import argparse
import json
import math
import mmap
import os
import re
import statistics
import sys
import time

# What winnow bench measures when nothing is said.
SHAPES = {"gemm": "3072x768,768x3072,4096x4096,5504x2048", "decode": "4096x4096,11008x4096", "layer": "3072x768,768x3072"}
ROWS = {"gemm": "64,128,512,1024", "decode": "1,4,8,16", "layer": "128,512"}
KS_BLOCK = 64  # of the chains of two factors
MODEL = {"hidden-size": 512, "layers": 6, "heads": 8, "vocab-size": 4096, "seq-len": 256, "batch-size": 8}
FLUSH = 256 << 20
ENOUGH = 200e-6  # seconds of a sample
LONG = 50e-3  # and of one that needs no call before it to be warm


def arguments():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("suite", choices=sorted(SHAPES) + ["ks", "train"])
    p.add_argument("--json", required=True)
    for name in ("shapes", "rows", "dtype", "threads", "repeats", "work", "mlp", *MODEL):
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
    start = time.perf_counter()
    run()
    seconds = time.perf_counter() - start
    if seconds >= LONG:
        return seconds
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


def below(seed, stream, index, n):
    """A draw from 0 .. n-1, as winnow makes it: Philox4x32-10, of whose 128 bits x it is floor(x n / 2^128)."""
    x, key = [index & 0xFFFFFFFF, index >> 32, stream & 0xFFFFFFFF, stream >> 32], [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        a, b = 0xD2511F53 * x[0], 0xCD9E8D57 * x[2]
        x = [(b >> 32) ^ x[1] ^ key[0], b & 0xFFFFFFFF, (a >> 32) ^ x[3] ^ key[1], a & 0xFFFFFFFF]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return (x[0] | x[1] << 32 | x[2] << 64 | x[3] << 96) * n >> 128


def ks_sample(count=24):
    """The factors (a,b,c,d) of winnow bench ks (src/bench/kron_work.h)."""
    sides, found = (48, 64, 96, 128, 192, 256, 384, 512, 768, 1024), []
    for a in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128):
        for b in sides:
            for c in sides:
                small, large = min(b, c), max(b, c)
                if large != small and (large != 4 * small or small in (64, 128, 256)):
                    continue
                found += [(a, b, c, d) for d in (4, 16, 64) if all(1024 <= a * s * d <= 16384 for s in (b, c))]
    for i in range(count):
        j = i + below(1, 5 << 32, i, len(found) - i)
        found[i], found[j] = found[j], found[i]
    return found[:count]


def ks_works():
    """name -> factors, the rightmost first."""
    works = {"factor (%d,%d,%d,%d)" % p: [p] for p in ks_sample()}
    for n in (1024, 2048, 4096, 8192, 16384):
        for r, share in ((1, "3.12"), (8, "25")):
            blocks = n // KS_BLOCK
            works["two factors %s %% %d" % (share, n)] = [(blocks, r * blocks, KS_BLOCK, 1), (1, KS_BLOCK, r * blocks, blocks)]
    for r, count in ((16, 3), (8, 4)):
        works["butterfly radix %d 4096" % r] = [(r ** (count - 1 - i), r, r, r**i) for i in range(count)]
    return works


def ks_sizes(factors):
    """out, in of a chain."""
    (ra, _, rc, rd), (la, lb, _, ld) = factors[0], factors[-1]
    return la * lb * ld, ra * rc * rd


def ks_work(name):
    """A work's name as winnow has it, which holds no size of chains."""
    return name if name.startswith("factor") else name[: name.rindex(" ")]


def ks_runs(torch, factors, t, kind, device="cpu"):
    """pass -> function; FLOPs of one. A butterfly's factors have no gradients there."""
    out, n_in = ks_sizes(factors)
    x = torch.randn(t, n_in, dtype=kind, device=device, requires_grad=True)
    w = [torch.randn(p[0] * p[3], p[2], p[1], dtype=kind, device=device, requires_grad=True) for p in factors]

    def forward():
        y = x
        for v, p in zip(w, factors):
            y = bmm(torch, y, v, p)
        return y

    y, dy = forward(), torch.randn(t, out, dtype=kind, device=device)
    runs = {"forward": torch.no_grad()(forward), "input gradient": lambda: torch.autograd.grad(y, x, dy, retain_graph=True)}
    if len(factors) < 3:
        runs["weight gradient"] = lambda: torch.autograd.grad(y, w, dy, retain_graph=True)
    return runs, 2.0 * t * sum(v.numel() for v in w)


def bmm(torch, x, w, p):
    """One factor, permuted and batched: x [t, a c d], w [a d, c, b]."""
    a, b, c, d = p
    groups = x.view(-1, a, c, d).permute(1, 3, 0, 2).reshape(a * d, -1, c)
    return torch.bmm(groups, w).view(a, d, -1, b).permute(2, 0, 3, 1).reshape(-1, a * b * d)


def bmm_by_vector(torch, x, w, p):
    """The same with blocks apart within each vector, as the ICML 2025 benchmark has them, and products that step over the others' blocks."""
    a, b, c, d = p
    groups = x.view(-1, a, c, d).transpose(2, 3).reshape(-1, a * d, c).transpose(0, 1)
    y = torch.empty(x.shape[0], a * d, b, dtype=x.dtype).transpose(0, 1)
    torch.bmm(groups, w, out=y)
    return y.transpose(0, 1).view(-1, a, d, b).transpose(2, 3).reshape(-1, a * b * d)


def bmm_last(torch, x, w, p):
    """The same, batch last: x [a c d, t], w [a d, b, c]."""
    a, b, c, d = p
    groups = x.view(a, c, d, -1).transpose(1, 2).reshape(a * d, c, -1)
    return torch.bmm(w, groups).view(a, d, b, -1).transpose(1, 2).reshape(a * b * d, -1)


def there(torch, kind, *shape):
    """Zeros in huge pages, as winnow has its memory, written once."""
    of = mmap.mmap(-1, max(math.prod(shape) * kind.itemsize, 1))
    if hasattr(mmap, "MADV_HUGEPAGE"):
        of.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(of, dtype=kind, count=math.prod(shape)).zero_().view(shape)


def kept_bmm(torch, x, turned, p):
    """The three ways above, as functions of the weights, into memory that is there."""
    a, b, c, d = p
    t = x.shape[0]
    groups, made, y = (there(torch, x.dtype, t * a * side * d) for side in (c, b, b))

    def whole(w):
        groups.view(a, d, t, c).copy_(x.view(t, a, c, d).permute(1, 3, 0, 2))
        torch.bmm(groups.view(a * d, t, c), w, out=made.view(a * d, t, b))
        y.view(t, a, b, d).copy_(made.view(a, d, t, b).permute(2, 0, 3, 1))

    def by_vector(w):
        groups.view(t, a, d, c).copy_(x.view(t, a, c, d).transpose(2, 3))
        torch.bmm(groups.view(t, a * d, c).transpose(0, 1), w, out=made.view(t, a * d, b).transpose(0, 1))
        y.view(t, a, b, d).copy_(made.view(t, a, d, b).transpose(2, 3))

    def last(w):
        groups.view(a, d, c, t).copy_(turned.view(a, c, d, t).transpose(1, 2))
        torch.bmm(w, groups.view(a * d, c, t), out=made.view(a * d, b, t))
        y.view(a, b, d, t).copy_(made.view(a, d, b, t).transpose(1, 2))

    return whole, by_vector, last


def ks_forward(torch, factors, t, kind, kept=False):
    """name -> functions, the fastest of which counts: a factor forward in the ways that there are to write it, and (kept) with results into memory that is there."""
    (p,) = factors
    x, turned = there(torch, kind, t, p[0] * p[2] * p[3]).normal_(), there(torch, kind, p[0] * p[2] * p[3], t)
    turned.copy_(x.t())
    w = torch.randn(p[0] * p[3], p[2], p[1], dtype=kind)
    other = w.transpose(1, 2).contiguous()
    either, last = (w, other.transpose(1, 2)), (other, w.transpose(1, 2))
    ways = {"bmm": [lambda v=v, f=f: f(torch, x, v, p) for f in (bmm, bmm_by_vector) for v in either],
            "bmm, batch last": [lambda v=v: bmm_last(torch, turned, v, p) for v in last]}
    if kept:
        *first, turned_bmm = kept_bmm(torch, x, turned, p)
        ways["kept bmm"] = [lambda v=v, f=f: f(v) for f in first for v in either]
        ways["kept bmm, batch last"] = [lambda v=v: turned_bmm(v) for v in last]
    return ways


def ks_times(torch, factors, t, kind, passes, repeats, kept=False):
    """pass, name, seconds: the median, the least and the most of the fastest way. No gradients, no memory for them."""
    alone, flops = len(factors) == 1, 2.0 * t * sum(math.prod(p) for p in factors)
    runs = {"forward": None} if alone and passes == ["forward"] else ks_runs(torch, factors, t, kind)[0]
    for of in (p for p in passes if p in runs):
        names = {"bmm": [runs[of]]}
        with torch.no_grad() if of == "forward" else torch.enable_grad():
            if of == "forward" and alone:
                names = ks_forward(torch, factors, t, kind, kept)
            for name, ways in names.items():
                times = [[sample(way, None) for _ in range(repeats + 1)][1:] for way in ways]
                yield of, name, min(times, key=statistics.median), flops


def ks_chosen(a):
    """name, factors, passes of the works that are asked for."""
    asked = [tuple(map(int, s.split("x"))) for s in a.shapes.split(",")] if a.shapes else None
    words = [w for w in re.split(r",(?![^(]*\))", a.work) if w] or [""]
    for name, factors in ks_works().items():
        passes = [p for p in ("forward", "input gradient", "weight gradient") if any((p + " " + ks_work(name)).startswith(w) for w in words)]
        if passes and not (asked and ks_sizes(factors) not in asked):
            yield name, factors, passes


def ks_rows(torch, a, dtype, repeats):
    kind = torch.float32 if dtype == "f32" else torch.bfloat16
    rows = []
    for name, factors, passes in ks_chosen(a):
        out, n_in = ks_sizes(factors)
        for t in map(int, (a.rows or "512").split(",")):
            for of, way, seconds, flops in ks_times(torch, factors, t, kind, passes, repeats):
                rows.append(row(torch, a.suite, of + " " + ks_work(name), dtype, seconds, out=out, rows=t, flops=flops, **{"in": n_in}))
                rows[-1]["name"] += ", " + way
    return rows


def library(torch):
    """PyTorch among the libraries of a result; where it was installed is nobody else's business."""
    return {"name": "torch", "found": True, "version": torch.__version__, "path": os.path.join(*torch.__file__.split(os.sep)[-3:-1])}


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
    makers = {"train": (train_rows, 5), "ks": (ks_rows, 5)}
    make, usual = makers.get(a.suite, (product_rows, 9))
    rows = make(torch, a, dtype, int(a.repeats or 0) or usual)
    result = {"format": "winnow bench 1", "machine": "", "date": time.strftime("%Y-%m-%d", time.gmtime()), "threads": threads,
              "libraries": [library(torch)], "notes": [], "rows": rows}
    with open(a.json, "w", encoding="utf-8") as f:
        json.dump(result, f)


if __name__ == "__main__":
    main()
