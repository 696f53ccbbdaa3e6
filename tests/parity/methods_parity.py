#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Does every method train as its formulas say? The same tiny model from the same weights on the same tokens, by winnow and by
programs of our own in PyTorch and float64 (methods/); the losses of all updates are compared. docs/parity.md derives the bound.

usage: methods_parity.py WINNOW [--only CASE,...] [--steps 200] [--work DIR] [--results FILE] [--list]
One line a case; exit code 1 when a loss is out of bounds, 77 (skipped) when torch or safetensors is not installed.
"""
import argparse
import datetime
import json
import pathlib
import platform
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time

try:
    import numpy
    import safetensors.numpy
    import torch
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

from methods import options, philox
from methods.model import Model

SAMPLES = 8  # replicas with float32's errors
FACTOR = 3  # times the farthest any of them strayed so far
EARLY = 20  # updates that must agree to EARLY_BOUND as well
EARLY_BOUND = 1e-5

BASE = """--hidden-size 32 --intermediate-size 64 --layers 2 --heads 4 --kv-heads 2 --mlp swiglu --no-tie-embeddings --seq-len 32
    --batch-size 4 --lr 3e-3 --warmup 10 --weight-decay 0.1"""
ALL = "--sparsity self_attn.*={0} --sparsity mlp.*_proj={0}"
MLP = "--sparsity mlp.*_proj={0}"
LORO = """--optimizer loro_adamw --exact-every 20 --refresh all --schedule cosine_restart --restart-every 20 --warmup 40 --lr-adjust -40
    --lr-scaler -1 --weight-decay 0.01 --lr 1e-2"""
RELU = "--mlp relu2 --intermediate-size 96 --act-warmup 20 --sparsity mlp.act={0}"
WIDE = "--hidden-size 64 --intermediate-size 128"

# What is added to BASE; {dense}: the directory the case "dense" trained.
CASES = {
    "dense": "",
    "dense-tied-accumulate": "--tie-embeddings --mlp relu2 --grad-accum 2 --schedule wsd --kv-heads 4",
    "tile": ALL.format("2:4:tile") + " --mask-every 5 --mask-decay 1e-3",
    "row": ALL.format("2:4:row") + " --mask-freeze-after 100",
    "dense-after": ALL.format("2:4:tile") + " --mask-every 5 --mask-decay 1e-3 --mask-dense-after 150",
    "tile-mvue": MLP.format("2:4:tile+mvue") + " --mask-every 5",
    "sste": ALL.format("2:4:sste"),
    "sste-norm": ALL.format("2:4:sste") + " --scale-norm",
    "sste-mvue": MLP.format("2:4:sste+mvue"),
    "sste-mvue-approx": MLP.format("2:4:sste+mvue-approx"),
    "lowrank": ALL.format("lowrank:8"),
    "lowrank-mvue": ALL.format("lowrank:8+mvue"),
    "lowrank24": ALL.format("lowrank:8+2:4"),
    "loro": ALL.format("lowrank:8") + " " + LORO,
    "loro-symmetric-none": ALL.format("lowrank:8") + " " + LORO + " --exact-core symmetric --exact-gauge none",
    "loro24-fix": ALL.format("lowrank:8+2:4") + " " + LORO,
    "loro24-none-exact": ALL.format("lowrank:8+2:4") + " " + LORO + " --exact-gauge none --scale-rule exact",
    "loro24-mvue": ALL.format("lowrank:8+2:4+mvue") + " " + LORO + " --scale-rule exact",
    "svd-start": ALL.format("lowrank:8") + " --init-from {dense}",
    "adapter": ALL.format("adapter:4:8") + " --init-from {dense}",
    "act-naive": RELU.format("act2:4") + " --act-permute",
    "act-direct": RELU.format("act2:4") + " --act-backward direct",
    "act-dense": RELU.format("act2:4") + " --act-backward dense",
    "act-soft": RELU.format("act2:4:soft") + " --act-permute",
    "act-soft-weights": RELU.format("act2:4:soft_weights"),
    "act-soft-dynamic": RELU.format("act2:4:soft_dynamic") + " --act-samples 50",
    "act-mvue": RELU.format("act2:4:mvue") + " --act-permute",
    "act-lowrank": RELU.format("act2:4") + " --act-permute " + MLP.format("lowrank:8"),
    "act-lowrank-mvue": RELU.format("act2:4:mvue") + " --act-permute " + ALL.format("lowrank:8"),
    "fp8": "--fp8",
    "fp8-sste-mvue": "--fp8 " + MLP.format("2:4:sste+mvue"),
    "bfloat16": "--dtype bfloat16",
    "bfloat16-sste": "--dtype bfloat16 " + ALL.format("2:4:sste"),
    "bfloat16-loro": "--dtype bfloat16 " + ALL.format("lowrank:8") + " " + LORO,
    "adam": "--optimizer adam --weight-decay 0.01",
    "sgd": "--optimizer sgd --momentum 0.9 --lr 0.1 --weight-decay 1e-3",
    "adafactor": "--optimizer adafactor",
    "adafactor-momentum": "--optimizer adafactor --momentum 0.9",
    "adam8bit": "--optimizer adam8bit " + WIDE,
    "galore": "--optimizer galore_adamw --galore-rank 8 --galore-gap 50 --lr 1e-2 " + WIDE,
    "galore-full": "--optimizer galore_adamw --galore-rank 8 --galore-gap 50 --galore-type full --lr 1e-2 --moment-reset-every 50",
}  # fmt: skip


def write_text(path):
    """Sentences of sixty made-up words, the first ones often: something to learn, and always the same."""
    source = random.Random(5)
    words = ["".join(source.choice("abcdefghijklmnoprstuvw") for _ in range(source.randint(2, 7))) for _ in range(60)]
    pieces = []
    while sum(map(len, pieces)) < 20000:
        chosen = source.choices(words, weights=[1 / (i + 1) for i in range(60)], k=source.randint(4, 9))
        pieces.append(" ".join(chosen).capitalize() + source.choice([". ", "! ", "?\n"]))
    path.write_text("".join(pieces))


def shard_ids(path):
    data = path.read_bytes()
    size, count = struct.unpack_from("<I", data, 12)[0], struct.unpack_from("<Q", data, 16)[0]
    return torch.from_numpy(numpy.frombuffer(data, f"<u{size}", count, 64).astype(numpy.int64))


def windows(ids, o):
    """(tokens, targets) of batch after batch, in order, from the beginning again after the last whole window."""
    count, at = (len(ids) - 1) // o.seq_len, 0
    while True:
        begins = [(at + i) % count * o.seq_len for i in range(o.batch_size)]
        at += o.batch_size
        tokens, targets = ([ids[b + shift : b + shift + o.seq_len] for b in begins] for shift in (0, 1))
        yield torch.cat(tokens), torch.cat(targets)


def run_winnow(program, text, run, words, steps):
    """A checkpoint of step 0, read before training goes on from it. Returns the step lines of metrics.jsonl."""
    shutil.rmtree(run, ignore_errors=True)
    command = [program, "train", "--data", str(text), "--tokenizer", "bytes", "--eval-fraction", "0", "--no-shuffle", "--threads", "1",
               "--quiet", "--out", str(run), *words]  # fmt: skip

    def call(*more):
        done = subprocess.run([*command, *more], capture_output=True, text=True, cwd=run.parent)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip() or f"exit code {done.returncode}")

    call("--steps", "0")
    tensors = safetensors.numpy.load_file(run / "latest" / "training.safetensors")
    call("--steps", str(steps), "--log-every", "1", "--resume")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return tensors, [line for line in lines if line["kind"] == "step"]


def run_ours(words, tensors, ids, steps):
    """Losses [steps, replicas] and learning rates."""
    o = options.read([*words, "--steps", str(steps)])
    masters = {n: t for n, t in tensors.items() if n.endswith((".weight", ".weight_in", ".weight_out"))}
    model = Model(o, masters, SAMPLES + 1)
    model.prepare()
    source = windows(ids, o)
    losses, rates = [], []
    for _ in range(steps):
        loss, _, rate = model.train([next(source) for _ in range(o.grad_accum)])
        losses.append(loss)
        rates.append(rate)
    return torch.stack(losses).numpy(), rates


def compare(lines, losses, rates):
    """The report of one case, as a dictionary."""
    theirs = numpy.array([line["loss"] for line in lines])
    deviation = numpy.abs(theirs - losses[:, 0])
    strayed = numpy.maximum.accumulate(numpy.abs(losses[:, 1:] - losses[:, :1]).max(1))
    bound = FACTOR * strayed
    ratio = deviation / bound
    at = int(deviation.argmax())
    early = float(deviation[:EARLY].max())
    lr = max(abs(line["lr"] - rate) / rate for line, rate in zip(lines, rates) if rate > 0)
    outside = numpy.flatnonzero(deviation > bound)
    passed = len(outside) == 0 and early < EARLY_BOUND and lr < 1e-12
    return dict(early=early, most=float(deviation[at]), at=at + 1, bound=float(bound[at]), ratio=float(ratio.max()),
                first_outside=int(outside[0]) + 1 if len(outside) else 0, lr=lr, first=float(theirs[0]), last=float(theirs[-1]),
                passed=passed)  # fmt: skip


def line_of(name, r, seconds):
    verdict = "ok" if r["passed"] else "FAILED"
    why = f", out of bounds from update {r['first_outside']} on" if r["first_outside"] else ""
    why += f", learning rates differ by {r['lr']:.1e}" if r["lr"] >= 1e-12 else ""
    return (f"{name:22} {verdict:6} loss {r['first']:.4f} -> {r['last']:.4f}; first {EARLY} within {r['early']:.1e}; largest deviation {r['most']:.1e} "
            f"at update {r['at']}, bound {r['bound']:.1e}; at most {r['ratio']:.2f} of the bound; {seconds:.0f} s{why}")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1].split("\n")[0])
    parser.add_argument("winnow")
    parser.add_argument("--only", default="")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--work")
    parser.add_argument("--results")
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(CASES))
        return 0
    chosen = arguments.only.split(",") if arguments.only else list(CASES)
    unknown = [name for name in chosen if name not in CASES]
    if unknown:
        parser.error(f"no case {', '.join(unknown)}; there are: {', '.join(CASES)}")
    philox.check()
    torch.set_num_threads(1)
    program = str(pathlib.Path(arguments.winnow).resolve())
    lines, failed = [], 0
    with tempfile.TemporaryDirectory() as temporary:
        work = pathlib.Path(arguments.work or temporary).resolve()
        work.mkdir(parents=True, exist_ok=True)
        text = work / "text.txt"
        write_text(text)
        for name in chosen:
            began = time.monotonic()
            more = CASES[name]
            if "{dense}" in more:
                run_winnow(program, text, work / "start", BASE.split(), arguments.steps)
                more = more.replace("{dense}", str(work / "start" / "latest"))
            words = [*BASE.split(), *more.split()]
            try:
                tensors, steps = run_winnow(program, text, work / name, words, arguments.steps)
                report = compare(steps, *run_ours(words, tensors, shard_ids(work / name / "data" / "train.tokens"), arguments.steps))
                lines.append(line_of(name, report, time.monotonic() - began))
                failed += not report["passed"]
            except RuntimeError as error:
                lines.append(f"{name:22} FAILED {error}")
                failed += 1
            print(lines[-1], flush=True)
    if arguments.results:
        version = subprocess.run([program, "help"], capture_output=True, text=True).stdout.split(":")[0]
        head = f"{datetime.date.today()}: {version}; PyTorch {torch.__version__}, numpy {numpy.__version__}, Python {platform.python_version()}; {arguments.steps} updates"
        pathlib.Path(arguments.results).write_text("\n".join([head, "", *lines]) + "\n")
    print(f"{len(chosen) - failed} of {len(chosen)} cases within their bounds")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
