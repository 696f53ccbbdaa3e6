#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A chain of Kronecker-sparse factors fitted by gradients in PyTorch on a GPU, step for step what `winnow ks fit --method sgd --device cuda` does: 16-bit factors of
float32 masters, permute, torch.bmm and permute for each factor, mean squared error, autograd, clipping to norm 1, fused AdamW. Vectors and targets stay on the
GPU. Prints microseconds a step, as calls and as one CUDA graph, and the loss."""
import argparse
import statistics
import time


def legacy(out, n_in, rank):
    p, factors = 1, []
    while p < max(out, n_in):
        p *= 2
    if n_in != p:
        factors += [(1, rank, n_in, 1), (1, p, rank, 1)]
    d = 1
    while d < p:
        factors.append((p // 2 // d, 2, 2, d))
        d *= 2
    if out != p:
        factors += [(1, rank, p, 1), (1, out, rank, 1)]
    return factors


def chain(text, out, n_in):
    numbers = [int(v) for v in text.split(":")[1:]]
    if text.startswith("legacy"):
        return legacy(out, n_in, *numbers)
    b, r = numbers
    return [(n_in // b, out // b * r, b, 1), (1, b, n_in // b * r, out // b)]


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("cases", nargs="+", help="OUTxIN,CHAIN,BATCH: 4096x4096,monarch:64:8,1024 or 1024x512,legacy:4,32")
    p.add_argument("--rows", type=int, default=8192)
    p.add_argument("--steps", type=int, default=64)
    p.add_argument("--dtype", default="float16")
    a = p.parse_args()
    import torch

    for case in a.cases:
        fit(torch, a, case)


def fit(torch, a, case):
    size, text, batch = case.split(",")
    out, n_in = (int(v) for v in size.split("x"))
    batch = int(batch)
    torch.manual_seed(1)
    dev, kind = "cuda", getattr(torch, a.dtype)
    factors = chain(text, out, n_in)
    weight = torch.randn(out, n_in, device=dev) / n_in ** 0.5
    vectors = torch.randn(a.rows, n_in, device=dev).to(kind)
    targets = vectors.float() @ weight.t()
    masters = [(torch.rand(i * l, k, j, device=dev) * 2 - 1).mul_((3 / k) ** 0.5).requires_grad_() for i, j, k, l in factors]
    bias = torch.zeros(out, device=dev, requires_grad=True)
    optimizer = torch.optim.AdamW([bias, *masters], lr=1e-3, weight_decay=1e-4, fused=True, capturable=True)
    rows = torch.randint(0, a.rows, (batch,), device=dev)
    loss_now = torch.zeros((), device=dev)

    def forward(x):
        n = x.shape[0]
        for (i, j, k, l), w in zip(factors, masters):
            x = x.view(n, i, k, l).permute(1, 3, 0, 2).reshape(i * l, n, k)
            x = torch.bmm(x, w.to(kind)).view(i, l, n, j).permute(2, 0, 3, 1).reshape(n, i * j * l)
        return x

    def step():
        optimizer.zero_grad(set_to_none=False)
        y = forward(vectors.index_select(0, rows)).float() + bias
        loss = torch.nn.functional.mse_loss(y, targets.index_select(0, rows))
        (loss * 1024).backward()  # so that float16 gradients are not lost
        for w in [bias, *masters]:
            w.grad.mul_(1 / 1024)
        torch.nn.utils.clip_grad_norm_([bias, *masters], 1.0, foreach=True)
        optimizer.step()
        loss_now.copy_(loss.detach())

    def timed(run):
        times = []
        for _ in range(5):
            torch.cuda.synchronize()
            begin = time.perf_counter()
            for _ in range(a.steps):
                run()
            torch.cuda.synchronize()
            times.append((time.perf_counter() - begin) / a.steps * 1e6)
        return statistics.median(times)

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(4):
            step()
    torch.cuda.synchronize()
    name = f"{size} {text} batch {batch} {a.dtype}"
    print(f"torch {torch.__version__} {name}: {timed(step):.0f} us a step as calls", flush=True)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    print(f"torch {torch.__version__} {name}: {timed(graph.replay):.0f} us a step as a graph, loss {loss_now.item():.4g}", flush=True)


main()
