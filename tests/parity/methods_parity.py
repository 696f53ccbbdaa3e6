#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Does every method train as its formulas say? The same tiny model from the same weights on the same tokens, by winnow and by
programs of our own in PyTorch and float64 (methods/); the losses of all updates are compared. docs/parity.md derives the bound.

usage: methods_parity.py WINNOW [--only CASE,...] [--steps 200] [--jobs 1] [--work DIR] [--results FILE] [--mistakes] [--list]
One line a case; exit code 1 when a loss is out of bounds, 77 (skipped) when torch or safetensors is not installed. --mistakes:
instead, whether deliberate mistakes in our own programs are seen.
"""
import argparse
import concurrent.futures
import datetime
import json
import multiprocessing
import pathlib
import platform
import random
import shutil
import struct
import subprocess
import sys
import tempfile

try:
    import numpy
    import safetensors.numpy
    import safetensors.torch
    import torch
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

from methods import lowrank, mistakes, options, philox
from methods.arithmetic import EXACT, UNIT
from methods.model import Model

SAMPLES = 6  # replicas with float32's errors, of either run
FACTOR = 3  # times the farthest any of them strayed so far
EARLY = 20  # updates in which a free run without jumps must agree to EARLY_BOUND as well
EARLY_BOUND = 1e-5
MISTAKEN = 60  # updates with a deliberate mistake
SECTION = 25  # updates after which the second run takes winnow's state over
SECTION_ROUNDED = 7  # the same where every product's operands are rounded to few bits, which jumps in every update

BASE = """--hidden-size 32 --intermediate-size 64 --layers 2 --heads 4 --kv-heads 2 --mlp swiglu --no-tie-embeddings --seq-len 32
    --batch-size 4 --lr 3e-3 --warmup 10 --weight-decay 0.1"""
ALL = "--sparsity self_attn.*={0} --sparsity mlp.*_proj={0}"
MLP = "--sparsity mlp.*_proj={0}"
LORO = """--optimizer loro_adamw --exact-every 20 --refresh all --schedule cosine_restart --restart-every 20 --warmup 40 --lr-adjust -40
    --lr-scaler -1 --weight-decay 0.01 --lr 1e-2"""
RELU = "--mlp relu2 --intermediate-size 96 --act-warmup 20 --sparsity mlp.act={0}"
WIDE = "--hidden-size 64 --intermediate-size 128"

# What is added to BASE; {dense}: a directory that BASE trained. A "*" where the update jumps, as a function of weights and
# activations: masks chosen by size, random draws compared with probabilities, roundings to few bits.
CASES = {
    "dense": "",
    "dense-tied-accumulate": "--tie-embeddings --mlp relu2 --grad-accum 2 --schedule wsd --kv-heads 4",
    "tile*": ALL.format("2:4:tile") + " --mask-every 5 --mask-decay 1e-3",
    "row*": ALL.format("2:4:row") + " --mask-freeze-after 100",
    "dense-after*": ALL.format("2:4:tile") + " --mask-every 5 --mask-decay 1e-3 --mask-dense-after 150",
    "greedy*": MLP.format("2:4:greedy"),
    "tile-mvue*": MLP.format("2:4:tile+mvue") + " --mask-every 5",
    "sste": ALL.format("2:4:sste"),
    "sste-norm": ALL.format("2:4:sste") + " --sparsity lm_head=2:4:sste --scale-norm",
    "sste-mvue*": MLP.format("2:4:sste+mvue"),
    "sste-mvue-approx*": MLP.format("2:4:sste+mvue-approx"),
    "lowrank": ALL.format("lowrank:8"),
    "lowrank-mvue*": ALL.format("lowrank:8+mvue"),
    "lowrank24": ALL.format("lowrank:8+2:4"),
    "loro": ALL.format("lowrank:8") + " " + LORO,
    "loro-symmetric-none": ALL.format("lowrank:8") + " " + LORO + " --exact-core symmetric --exact-gauge none",
    "loro-keep-moments": ALL.format("lowrank:8") + " " + LORO + " --refresh reg",
    "loro-keep-none": ALL.format("lowrank:8") + " " + LORO + " --exact-core symmetric --exact-gauge none --refresh reg",
    "loro24-fix": ALL.format("lowrank:8+2:4") + " " + LORO,
    "loro24-none-exact": ALL.format("lowrank:8+2:4") + " " + LORO + " --exact-gauge none --scale-rule exact --schedule cosine_restart_zero",
    "loro24-mvue*": ALL.format("lowrank:8+2:4+mvue") + " " + LORO + " --scale-rule exact",
    "loro-lazy": ALL.format("lowrank:8") + " --optimizer loro_adamw --exact-every 0 --lr-scaler 1 --refresh lrk --refresh-every 30",
    "svd-start": ALL.format("lowrank:8") + " --init-from {dense}",
    "adapter": ALL.format("adapter:4:8") + " --init-from {dense}",
    "act-naive*": RELU.format("act2:4") + " --act-permute",
    "act-direct*": RELU.format("act2:4") + " --act-backward direct",
    "act-dense*": RELU.format("act2:4") + " --act-backward dense --mlp relu",
    "act-soft*": RELU.format("act2:4:soft") + " --act-permute",
    "act-soft-weights*": RELU.format("act2:4:soft_weights"),
    "act-soft-dynamic*": RELU.format("act2:4:soft_dynamic") + " --act-samples 50",
    "act-mvue*": RELU.format("act2:4:mvue") + " --act-permute",
    "act-lowrank*": RELU.format("act2:4") + " --act-permute " + MLP.format("lowrank:8"),
    "act-lowrank-mvue*": RELU.format("act2:4:mvue") + " --act-permute " + ALL.format("lowrank:8"),
    "in-soft": ALL.format("in2:4:soft+dense-dw"),
    "in-mvue*": ALL.format("in2:4:mvue"),
    "fp8*": "--fp8",
    "fp8-sste-mvue*": "--fp8 " + MLP.format("2:4:sste+mvue"),
    "bfloat16*": "--dtype bfloat16",
    "bfloat16-sste*": "--dtype bfloat16 " + ALL.format("2:4:sste"),
    "bfloat16-loro*": "--dtype bfloat16 " + ALL.format("lowrank:8") + " " + LORO,
    "adam": "--optimizer adam --weight-decay 0.01 --schedule linear",
    "sgd": "--optimizer sgd --momentum 0.9 --lr 0.1 --weight-decay 1e-3 --schedule constant",
    "adafactor": "--optimizer adafactor --schedule linear_zero",
    "adafactor-momentum": "--optimizer adafactor --momentum 0.9",
    "adam8bit*": "--optimizer adam8bit --lr 1e-3 " + WIDE,
    "galore": "--optimizer galore_adamw --galore-rank 8 --galore-gap 50 --lr 1e-2 " + WIDE,
    "galore-full": "--optimizer galore_adamw --galore-rank 8 --galore-gap 50 --galore-type full --lr 1e-2 --moment-reset-every 50 "
    "--schedule cosine_cycle --restart-every 100",
}  # fmt: skip
JUMPS = {name.rstrip("*") for name in CASES if name.endswith("*")}
CASES = {name.rstrip("*"): words for name, words in CASES.items()}


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


def section_of(words):
    return SECTION_ROUNDED if "--fp8" in words or "bfloat16" in words else SECTION


def run_winnow(program, text, run, words, steps):
    """Trains from a checkpoint of step 0. Returns the tensors of the checkpoints by step, and the step lines of metrics.jsonl."""
    shutil.rmtree(run, ignore_errors=True)
    command = [program, "train", "--data", str(text), "--tokenizer", "bytes", "--eval-fraction", "0", "--no-shuffle", "--threads", "1",
               "--quiet", "--out", str(run), *words]  # fmt: skip
    for more in (["--steps", "0"], ["--steps", str(steps), "--resume", "--log-every", "1", "--save-every", str(section_of(words)), "--keep", str(steps)]):
        done = subprocess.run([*command, *more], capture_output=True, text=True, cwd=run.parent)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip() or f"exit code {done.returncode}")
    saved = {int(d.name[len("step-") :]): safetensors.numpy.load_file(d / "training.safetensors") for d in run.glob("step-*")}
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return saved, [line for line in lines if line["kind"] == "step"]


def check_start(o, tensors):
    """That factors made of a dense model stand for its weights: the best approximation of their rank, or, beside a frozen weight,
    all of it. Allowed: the roundings of what is kept, and of sums over the rank."""
    dense = safetensors.torch.load_file(pathlib.Path(o.init_from) / "model.safetensors")
    for name in tensors:
        if not name.endswith(".weight_out"):
            continue
        layer = name[: -len(".weight_out")]
        m, n = (torch.from_numpy(tensors[f"{layer}.weight_{side}"]).double() for side in ("out", "in"))
        s, w = options.structure_of(o, layer), dense[layer + ".weight"].double()
        share, found, size = 1.0, m @ n, m.abs() @ n.abs()
        if s.kind == "adapter":
            share, found = s.alpha / s.rank, torch.from_numpy(tensors[layer + ".weight"]).double() + s.alpha / s.rank * found
        else:
            left, right = lowrank.best_factors(w, s.rank)
            w = left @ right.mT
        if bool(((found - w).abs() > (s.rank + 4) * UNIT * (share * size + w.abs())).any()):
            raise RuntimeError(f"{layer}: its factors are not those of the dense weight")


def run_ours(words, saved, ids, steps):
    """Losses [run, steps, replicas], the first one of each run exact, and learning rates. Both runs begin with winnow's state of
    step 0; run 1 takes its state over after each section."""
    o = options.read([*words, "--steps", str(steps)])
    if o.init_from:
        check_start(o, saved[0])
    model = Model(o, saved[0], EXACT + 2 * SAMPLES)
    model.prepare()
    source = windows(ids, o)
    losses, rates = [], []
    for u in range(steps):
        if u > 0 and u % section_of(words) == 0:
            model.take_over(saved[u], slice(1, None, 2))
        loss, _, rate = model.train([next(source) for _ in range(o.grad_accum)])
        losses.append(torch.stack([loss[0::2], loss[1::2]]))
        rates.append(rate)
    return torch.stack(losses, 1).numpy(), rates


def against(theirs, losses, restarts):
    """One run: how far winnow is from it, and how far it may be."""
    deviation = numpy.abs(theirs - losses[:, 0])
    strayed = numpy.abs(losses[:, 1:] - losses[:, :1]).max(1)
    sections = numpy.split(strayed, restarts)
    bound = FACTOR * numpy.concatenate([numpy.maximum.accumulate(s) for s in sections])
    at, outside = int(deviation.argmax()), numpy.flatnonzero(deviation > bound)
    return dict(early=float(deviation[:EARLY].max()), middle=float(numpy.median(deviation)), most=float(deviation[at]), at=at + 1,
                bound=float(bound[at]), ratio=float((deviation / bound).max()), outside=int(outside[0]) + 1 if len(outside) else 0)  # fmt: skip


def compare(name, words, lines, losses, rates):
    """(whether winnow is right, a line that says it)"""
    theirs = numpy.array([line["loss"] for line in lines])
    free = against(theirs, losses[0], [])
    taken = against(theirs, losses[1], range(section_of(words), len(theirs), section_of(words)))
    lr = max(abs(line["lr"] - rate) / rate for line, rate in zip(lines, rates) if rate > 0)
    smooth = free["early"] < EARLY_BOUND and not free["outside"]
    right = lr < 1e-12 and not taken["outside"] and (smooth or name in JUMPS)
    text = f"{name:22} {'ok' if right else 'FAILED':6} {theirs[0]:6.4f} {theirs[-1]:6.4f} {free['early']:9.1e}"
    for r in (taken, free):
        text += f" | {r['middle']:8.1e} {r['most']:8.1e} {r['at']:6} {r['bound']:8.1e} {r['ratio']:6.2f}"
    text += " (not judged)" if name in JUMPS else ""
    for r, what in ((taken, "in sections"), (free, "free")):
        text += f" | {what}, out of bounds at update {r['outside']}" if r["outside"] and not (r is free and name in JUMPS) else ""
    return right, text + (f" | learning rates differ by {lr:.1e}" if lr >= 1e-12 else "")


RUN_HEADING = f"{'median':8} {'most':8} {'update':6} {'bound':8} {'ratio':6}"
HEADING = f"""{'case':22} {'':6} {'first':6} {'last':6} {'updates':>9} | {'in sections':40} | free run
{'':22} {'':6} {'loss':6} {'loss':6} {f'1 to {EARLY}':>9} | {RUN_HEADING} | {RUN_HEADING}"""


def run_case(program, work, name, steps):
    """compare() of a case; {dense} is there already."""
    torch.set_num_threads(1)
    words = [*BASE.split(), *CASES[name].replace("{dense}", str(work / "start" / "latest")).split()]
    try:
        saved, lines = run_winnow(program, work / "text.txt", work / name, words, steps)
        found = run_ours(words, saved, shard_ids(work / name / "data" / "train.tokens"), steps)
        return compare(name, words, lines, *found)
    except RuntimeError as error:
        return False, f"{name:22} FAILED {error}"


def run_cases(program, work, names, steps, jobs):
    """Lines of the table as they come, in order; returns them and how many failed."""
    lines, failed = [HEADING], 0
    print(HEADING)
    if any("{dense}" in CASES[name] for name in names):
        run_winnow(program, work / "text.txt", work / "start", BASE.split(), steps)
    with concurrent.futures.ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        for right, line in pool.map(run_case, *zip(*((program, work, name, steps) for name in names))):
            failed += not right
            lines.append(line)
            print(line, flush=True)
    return lines, failed


def run_mistakes(program, work):
    """Whether the comparison sees each deliberate mistake in our own programs."""
    torch.set_num_threads(1)
    unseen = 0
    for case, what, patch in mistakes.ALL:
        with patch():
            right, line = run_case(program, work, case, MISTAKEN)
        unseen += right
        print(f"{'NOT SEEN' if right else 'seen':8} {what:45} {line}", flush=True)
    print(f"{len(mistakes.ALL) - unseen} of {len(mistakes.ALL)} deliberate mistakes seen")
    return unseen


def results(program, lines, steps):
    version = subprocess.run([program, "help"], capture_output=True, text=True).stdout.split(":")[0]
    versions = f"{version}; PyTorch {torch.__version__}, numpy {numpy.__version__}, Python {platform.python_version()}, {platform.machine()}"
    return "\n".join([f"{datetime.date.today()}: {versions}; {steps} updates", "", *(line.rstrip() for line in lines)]) + "\n"


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1].split("\n")[0])
    parser.add_argument("winnow")
    parser.add_argument("--only", default="")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--work", help="keep winnow's runs here")
    parser.add_argument("--results", help="write the table here as well")
    parser.add_argument("--mistakes", action="store_true")
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(CASES))
        return 0
    names = arguments.only.split(",") if arguments.only else list(CASES)
    unknown = [name for name in names if name not in CASES]
    if unknown:
        parser.error(f"no case {', '.join(unknown)}; there are: {', '.join(CASES)}")
    philox.check()
    program = str(pathlib.Path(arguments.winnow).resolve())
    with tempfile.TemporaryDirectory() as temporary:
        work = pathlib.Path(arguments.work or temporary).resolve()
        work.mkdir(parents=True, exist_ok=True)
        write_text(work / "text.txt")
        if arguments.mistakes:
            return 1 if run_mistakes(program, work) else 0
        lines, failed = run_cases(program, work, names, arguments.steps, arguments.jobs)
    if arguments.results:
        pathlib.Path(arguments.results).write_text(results(program, lines, arguments.steps))
    print(f"{len(names) - failed} of {len(names)} cases within their bounds")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
