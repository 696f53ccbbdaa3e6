#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Does it learn? The same small model on the same tokens, trained by each method, learning rates searched, three seeds.

usage: run.py CORPUS.txt OUT [--winnow build/winnow] [--steps 1000] [--seeds 3] [--jobs 1] [--threads 0] [--only METHOD,...]
              [--stop-after SECONDS] [--report]

Everything lands in OUT and nothing that is finished is done twice: a killed table goes on where it stopped, a killed run
at its last checkpoint. For each method the learning rates of its grid are tried on seed 1 (the grid grows while the best
is at its edge, by 1.4 a time); the best one is run with the other seeds. --jobs N trains N models at a time, each with --threads threads
(0: the processors shared out evenly); --stop-after interrupts what runs by then, which saves itself. Writes
OUT/table.json, OUT/table.md and OUT/table.svg; --report only writes these from the runs that are there. CORPUS is read
once, to make tokens of; later calls need only OUT. Needs python3 and a built winnow.
"""
import argparse
import concurrent.futures
import datetime
import json
import math
import os
import pathlib
import platform
import signal
import statistics
import subprocess
import sys
import time

TRAIN_BYTES, HELD_BYTES = 24_000_000, 1_000_000  # of the corpus: its beginning, its end
VOCABULARY = 2048
RANK = 64

MODEL = ["--hidden-size", "192", "--layers", "4", "--heads", "6", "--mlp", "relu2", "--seq-len", "256", "--batch-size", "8"]
ADAMW = ["--optimizer", "adamw", "--schedule", "cosine", "--warmup", "{w}", "--weight-decay", "0.1"]
LORO = ["--optimizer", "loro_adamw", "--weight-decay", "0", "--lr-scaler", "-1", "--exact-every", "{k}", "--refresh", "all",
        "--refresh-every", "{k}", "--schedule", "cosine_restart", "--restart-every", "{k}", "--warmup", "{k}",
        "--lr-adjust", "-{k}"]
LINEARS = ["self_attn.*", "mlp.*_proj"]


def everywhere(structure):
    return [word for glob in LINEARS for word in ("--sparsity", f"{glob}={structure}")]


# name, what it is, options, learning rates to begin with
METHODS = [
    ("dense", "dense AdamW", ADAMW, [1e-3, 1.4e-3, 2e-3, 4e-3]),
    ("ste", "2:4 transposable masks, straight-through (MLP)", ADAMW + ["--sparsity", "mlp.*_proj=2:4:tile"],
     [5e-4, 1e-3, 1.4e-3, 2e-3]),
    ("sste", "2:4 S-STE with MVUE gradients (MLP)", ADAMW + ["--sparsity", "mlp.*_proj=2:4:sste+mvue"],
     [5e-4, 1e-3, 1.4e-3, 2e-3]),
    ("act24", "2:4 activations (MLP), dense for the first 5 %",
     ADAMW + ["--sparsity", "mlp.act=act2:4", "--act-warmup", "{a}", "--act-permute"], [1e-3, 1.4e-3, 2e-3, 4e-3]),
    ("lowrank", f"naive low-rank, rank {RANK}, AdamW", ADAMW + everywhere(f"lowrank:{RANK}"), [1e-3, 1.4e-3, 2e-3]),
    ("loro", f"LORO, rank {RANK}", LORO + everywhere(f"lowrank:{RANK}"), [1.8e-3, 2.5e-3, 3.5e-3]),
    ("loro24", f"LORO with 2:4 factors, rank {RANK}", LORO + everywhere(f"lowrank:{RANK}+2:4"), [2.5e-3, 3.5e-3, 5e-3]),
]


def run(command, **options):
    return subprocess.run([str(word) for word in command], check=True, **options)


def prepare(args):
    """One tokenizer and two shards for every run."""
    out = args.out
    if all((out / name).exists() for name in ("tokenizer.json", "train.tokens", "held.tokens")):
        return
    text = args.corpus.read_bytes()
    if len(text) < TRAIN_BYTES + HELD_BYTES:
        sys.exit(f"run.py: {args.corpus} has {len(text)} bytes, {TRAIN_BYTES + HELD_BYTES} are needed")
    out.mkdir(parents=True, exist_ok=True)
    parts = {"train": text[:TRAIN_BYTES], "held": text[-HELD_BYTES:]}
    for name, part in parts.items():
        path = out / f"{name}.txt"
        if not path.exists():
            path.write_bytes(part.decode("utf-8", "ignore").encode())
    tokenizer = out / "tokenizer.json"
    if not tokenizer.exists():
        head = out / "head.txt"
        head.write_bytes(parts["train"][:4_000_000].decode("utf-8", "ignore").encode())
        run([args.winnow, "tokenize", "--train", "--vocab-size", VOCABULARY, "--out", tokenizer, head])
    for name in parts:
        if not (out / f"{name}.tokens").exists():
            run([args.winnow, "tokenize", "--tokenizer", tokenizer, "--out", out / f"{name}.tokens", out / f"{name}.txt"])


def finished(folder, steps):
    """The last evaluation of a run that reached its end, or None."""
    path = folder / "metrics.jsonl"
    if not path.exists():
        return None
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    evals = [line for line in lines if line["kind"] == "eval" and line["step"] == steps]
    saved = [line for line in lines if line["kind"] == "save" and line["step"] == steps]
    return evals[-1] if evals and saved else None


def folder_of(args, method, lr, seed):
    return args.out / "runs" / f"{method[0]}-lr{lr:g}-seed{seed}"


def record(args, method, lr, seed):
    """What a run that reached its end gave, or None: it diverged, was stopped, or is not there."""
    folder = folder_of(args, method, lr, seed)
    last = finished(folder, args.steps)
    if last is None:
        return None
    about = json.loads((folder / "run.json").read_text()).get("summary", {})
    return {"method": method[0], "lr": lr, "seed": seed, "loss": last["loss"], "bits_per_byte": last["bits_per_byte"],
            "seconds": last["seconds"], **about}


def train(args, method, lr, seed):
    """Trains, or goes on, or finds the run done. True when the run is at an end: its record, if any, is final."""
    name, _, options, _ = method
    folder = folder_of(args, method, lr, seed)
    if finished(folder, args.steps) is not None or (folder / "diverged").exists():
        return True
    k = max(args.steps // 10, 1)
    words = {"{w}": max(args.steps // 20, 1), "{k}": k, "-{k}": -k, "{a}": max(args.steps // 20, 1)}
    command = [args.winnow, "train", "--out", folder, "--quiet"]
    if (folder / "latest").exists():
        command += ["--resume"]
    else:
        run(["rm", "-rf", folder])
        folder.parent.mkdir(parents=True, exist_ok=True)
        command += ["--data", args.out / "train.tokens", "--eval-data", args.out / "held.tokens", "--tokenizer",
                    args.out / "tokenizer.json", *MODEL, *(words.get(word, word) for word in options), "--lr", lr,
                    "--seed", seed, "--steps", args.steps, "--eval-every", 0, "--eval-tokens", 200_000, "--log-every", 10,
                    "--save-every", max(args.steps // 4, 1), "--keep", 1]
    command += ["--threads", args.threads]
    print(f"{datetime.datetime.now():%H:%M:%S} {name} lr {lr:g} seed {seed}", flush=True)
    process = subprocess.Popen([str(word) for word in command])
    try:
        code = process.wait(None if args.until is None else max(args.until - time.monotonic(), 0.1))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        process.wait()
        return False
    if code == 1 and folder.exists():  # a loss or a gradient that is not finite ends a run
        (folder / "diverged").touch()
    elif code != 0:
        sys.exit(f"run.py: {folder} ended with exit code {code}")
    return True


def wanted(args, method, done):
    """The (learning rate, seed) pairs that come next, given the records of those at an end. None when all are there."""
    missing = [(lr, 1) for lr in method[3] if (lr, 1) not in done]
    if missing:
        return missing
    tried = [lr for lr, seed in done if seed == 1]
    scored = {lr: done[lr, 1]["loss"] for lr in tried if done[lr, 1] is not None}
    if not scored:
        return None
    best = min(scored, key=scored.get)
    more = []
    if len(tried) < 7 and best in (max(tried), min(tried)):
        more = [(float(f"{best * 1.4 if best == max(tried) else best / 1.4:.2g}"), 1)]
    # with processors to spare, the seeds of what is best so far run beside that
    seeds = [(best, seed) for seed in range(2, args.seeds + 1) if (best, seed) not in done]
    return more + (seeds if args.jobs > 1 or not more else []) or None


def train_all(args, methods):
    """Every run that is wanted, args.jobs at a time."""
    done = {m[0]: {} for m in methods}
    running = {}
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        while True:
            # first of every method's wants, then the second, so that all methods get on
            wants = [(i, m, key) for m in methods for i, key in enumerate(wanted(args, m, done[m[0]]) or [])]
            for _, m, key in sorted(wants, key=lambda want: want[0]):
                if (m[0], key) not in running.values():
                    running[pool.submit(train, args, m, *key)] = (m[0], key)
            if not running:
                return
            ended, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in ended:
                name, key = running.pop(future)
                if not future.result():  # out of time
                    pool.shutdown(cancel_futures=True)
                    return
                method = next(m for m in methods if m[0] == name)
                done[name][key] = record(args, method, *key)


def row_of(args, method):
    """A row of the table out of the runs that are there."""
    found = {}
    for folder in (args.out / "runs").glob(f"{method[0]}-lr*-seed*"):
        lr, seed = folder.name.split("-lr")[1].split("-seed")
        found[float(lr), int(seed)] = record(args, method, float(lr), int(seed))
    scored = {lr: r["loss"] for (lr, seed), r in found.items() if seed == 1 and r is not None}
    if not scored:
        return None
    best = min(scored, key=scored.get)
    runs = [r for (lr, seed), r in sorted(found.items()) if lr == best and seed <= args.seeds and r is not None]
    losses = [r["loss"] for r in runs]
    return {"method": method[0], "what": method[1], "lr": best, "tried": {f"{r:g}": s for r, s in sorted(scored.items())},
            "runs": runs, "mean": statistics.fmean(losses), "spread": max(losses) - min(losses)}


def verdict(row, dense):
    """Against dense: a difference inside the larger spread is a tie."""
    share = row["mean"] / dense["mean"] - 1
    if row is dense:
        return ""
    if abs(row["mean"] - dense["mean"]) <= max(row["spread"], dense["spread"]):
        return f"{share:+.2%} (tie)"
    return f"{share:+.2%}"


def markdown(rows, about):
    dense = next((r for r in rows if r["method"] == "dense"), rows[0])
    lines = [f"{about['steps']} updates of 2048 tokens, {about['date']}, commit {about['commit']}, {about['machine']}, "
             f"{about['jobs']} runs at a time with {about['threads']} thread(s) each", "",
             "| method | loss (mean) | spread | seeds | against dense | bits/byte | learning rate | parameters | forward bytes | "
             "MFLOP/token | minutes a run |", "|---|---|---|---|---|---|---|---|---|---|---|"]
    for r in rows:
        first = r["runs"][0]
        bits = statistics.fmean(x["bits_per_byte"] for x in r["runs"])
        minutes = statistics.fmean(x["seconds"] for x in r["runs"]) / 60
        lines.append(f"| {r['what']} | {r['mean']:.4f} | {r['spread']:.4f} | {len(r['runs'])} | {verdict(r, dense)} | {bits:.4f} | "
                     f"{r['lr']:g} | {first.get('parameters', 0):,} | {first.get('forward_bytes', 0):,} | "
                     f"{first.get('flops_per_token', 0) / 1e6:.2f} | {minutes:.1f} |")
    lines += ["", "Loss is nats a token on held-out text; spread is the largest minus the smallest over the seeds; a difference inside "
              "the larger spread is called a tie. FLOPs are executed ones of a training step.", "", "Learning rates tried on seed 1:", ""]
    for r in rows:
        lines.append(f"- {r['method']}: " + ", ".join(f"{lr}: {loss:.4f}" for lr, loss in r["tried"].items()))
    return "\n".join(lines) + "\n"


def svg(rows):
    """One line a method: a dot a seed, a bar at the mean."""
    losses = [run["loss"] for r in rows for run in r["runs"]]
    width = max(losses) - min(losses)
    tick = next((t for t in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if width / t < 8), 1.0)
    low, high = math.floor(min(losses) / tick) * tick, math.ceil(max(losses) / tick) * tick
    left, right, top, step = 330, 820, 40, 34
    height = top + step * len(rows) + 50

    def x(loss):
        return left + (loss - low) / max(high - low, 1e-9) * (right - left)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 {height}" font-family="sans-serif" font-size="13">',
           f'<rect width="860" height="{height}" fill="#fff"/>',
           f'<text x="{left}" y="22" fill="#222">held-out loss, nats a token (lower is better)</text>']
    for i in range(round((high - low) / tick) + 1):
        value = low + tick * i
        out.append(f'<line x1="{x(value):.1f}" y1="{top - 8}" x2="{x(value):.1f}" y2="{height - 40}" stroke="#ddd"/>')
        out.append(f'<text x="{x(value):.1f}" y="{height - 22}" text-anchor="middle" fill="#555">{value:.2f}</text>')
    for i, r in enumerate(rows):
        y = top + step * i + step / 2
        out.append(f'<text x="{left - 14}" y="{y + 4:.1f}" text-anchor="end" fill="#222">{r["what"]}</text>')
        out.append(f'<rect x="{x(r["mean"]) - 1.5:.1f}" y="{y - 10:.1f}" width="3" height="20" fill="#1f5fa8"/>')
        for run_ in r["runs"]:
            out.append(f'<circle cx="{x(run_["loss"]):.1f}" cy="{y:.1f}" r="4" fill="#1f5fa8" fill-opacity="0.45"/>')
    out.append("</svg>")
    return "\n".join(out) + "\n"


def machine():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def here(args):
    """Where the runs are made: said by the table also when another machine writes it."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    return {"date": f"{datetime.date.today()}", "commit": commit or "unknown", "machine": machine(), "steps": args.steps,
            "jobs": args.jobs, "threads": args.threads}


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("corpus", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--winnow", default="build/winnow")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--stop-after", type=float, default=None)
    parser.add_argument("--report", action="store_true")
    args = parser.parse_args()
    args.until = None if args.stop_after is None else time.monotonic() + args.stop_after
    args.threads = args.threads or max(len(os.sched_getaffinity(0)) // args.jobs, 1)
    chosen = [m for m in METHODS if not args.only or m[0] in args.only.split(",")]
    where = args.out / "about.json"
    if not args.report:
        prepare(args)
        where.write_text(json.dumps(here(args), indent=2) + "\n")
        train_all(args, chosen)
    rows = [r for r in (row_of(args, m) for m in chosen) if r is not None]
    if not rows:
        sys.exit("run.py: no run has finished")
    about = json.loads(where.read_text()) if where.exists() else here(args)
    (args.out / "table.json").write_text(json.dumps({**about, "rows": rows}, indent=2) + "\n")
    (args.out / "table.md").write_text(markdown(rows, about))
    (args.out / "table.svg").write_text(svg(rows))
    print(markdown(rows, about))


main()
