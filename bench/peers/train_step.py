#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Seconds of a training step of one relu^2 Llama: winnow dense, winnow 2:4, and PyTorch on the CPU.

    python3 bench/peers/train_step.py --winnow build/winnow --threads 2 --repeats 5

All train the same model on the same number of tokens with AdamW, clipping and a tied head, in float32. They take turns, a few steps each,
so that a disturbance of the machine falls on all; the first step of every turn is left out; printed are medians over all others and the
medians of each turn's ratio to the first row. Without torch its row is left out and said so."""
import argparse
import json
import os
import random
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import zlib

try:
    import torch
    from torch_llama import Trainer
except ImportError:
    torch = None


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--winnow", default="build/winnow")
    p.add_argument("--peer", default="", help="a second winnow, as of another commit")
    for name, value in dict(hidden=512, layers=6, heads=8, inner=2048, vocab=4096, seq=256, batch=4, threads=2, repeats=3, steps=3).items():
        p.add_argument("--" + name, type=int, default=value)
    p.add_argument("--sparsity", action="append", default=[], help="more rows, as 'mlp.*_proj=2:4:tile+mvue'")
    p.add_argument("--no-torch", action="store_true")
    p.add_argument("--cpu-time", action="store_true", help="processor time of all threads, not the clock's: for a machine that others use")
    p.add_argument("--json", default="")
    return p.parse_args()


def write_shard(path, o):
    """Random ids in winnow's token file format (include/winnow/data.h); what they say does not matter to the time."""
    draw = random.Random(1)
    ids = struct.pack(f"<{o.batch * o.seq * 64}H", *(draw.randrange(o.vocab) for _ in range(o.batch * o.seq * 64)))
    with open(path, "wb") as f:
        f.write(struct.pack("<8sIIQIIQQ16x", b"WNTOKENS", 1, 2, len(ids) // 2, o.vocab, zlib.crc32(ids), 0, 0) + ids)


def run(command):
    """Processor seconds used by the time of each progress line."""
    used, said = [], []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as p:
        for line in p.stderr:
            said.append(line)
            if line.startswith("step "):
                with open(f"/proc/{p.pid}/stat") as f:
                    user, system = f.read().rsplit(")", 1)[1].split()[11:13]
                used.append((int(user) + int(system)) / os.sysconf("SC_CLK_TCK"))
    if p.returncode != 0:
        sys.exit("".join(said[-5:]))
    return used


class Winnow:
    def __init__(self, name, binary, data, o, rules):
        self.name, self.binary, self.data, self.o, self.rules = name, binary, data, o, rules

    def turn(self):
        o = self.o
        with tempfile.TemporaryDirectory() as out:
            command = [self.binary, "train", "--out", out + "/run", "--data", self.data,
                       "--hidden-size", o.hidden, "--layers", o.layers, "--heads", o.heads, "--intermediate-size", o.inner, "--mlp", "relu2",
                       "--seq-len", o.seq, "--batch-size", o.batch, "--threads", o.threads, "--steps", o.steps + 1, "--log-every", 1,
                       "--eval-every", 0, "--eval-batches", 1, "--no-save-last"]
            for rule in self.rules:
                command += ["--sparsity", rule]
            used = run([str(c) for c in command])
            if o.cpu_time:
                return [b - a for a, b in zip(used, used[1:])]
            lines = [json.loads(line) for line in open(out + "/run/metrics.jsonl")]
        return [line["update_seconds"] for line in lines if line["kind"] == "step"][1:]


class Torch:
    name = "pytorch"

    def __init__(self, o):
        torch.set_num_threads(o.threads)
        self.o, self.trainer = o, Trainer(o.hidden, o.layers, o.heads, o.vocab, o.seq, o.batch, inner=o.inner)

    def turn(self):
        clock = time.process_time if self.o.cpu_time else time.perf_counter
        return [self.trainer.update(clock) for _ in range(self.o.steps + 1)][1:]


def report(rows, seconds, ratios, o):
    tokens = o.batch * o.seq
    print(f"{'trainer':<34} {'ms a step':>10} {'tokens/s':>9} {'times the first':>16}")
    for row in rows:
        middle = statistics.median(sum(seconds[row.name], []))
        print(f"{row.name:<34} {middle * 1e3:10.1f} {tokens / middle:9.0f} {statistics.median(ratios[row.name]):16.3f}")


def main():
    o = arguments()
    with tempfile.TemporaryDirectory() as scratch:
        data = scratch + "/random.tokens"
        write_shard(data, o)
        rows = [Winnow("winnow dense", o.winnow, data, o, [])]
        rows += [Winnow("winnow " + rule, o.winnow, data, o, [rule]) for rule in ["mlp.*_proj=2:4:tile", *o.sparsity]]
        if o.peer:
            rows += [Winnow("peer dense", o.peer, data, o, []), Winnow("peer mlp.*_proj=2:4:tile", o.peer, data, o, ["mlp.*_proj=2:4:tile"])]
        if torch is None or o.no_torch:
            print("note: no row for PyTorch" + (": it is not installed" if torch is None else ""), file=sys.stderr)
        else:
            rows.append(Torch(o))
        seconds = {row.name: [] for row in rows}
        for _ in range(o.repeats):
            for row in rows:
                seconds[row.name].append(row.turn())
    turn = {name: [statistics.median(s) for s in turns] for name, turns in seconds.items()}
    ratios = {name: [a / b for a, b in zip(turn[rows[0].name], turns)] for name, turns in turn.items()}
    report(rows, seconds, ratios, o)
    if o.json:
        with open(o.json, "w") as f:
            json.dump(dict(options=vars(o), torch=torch.__version__ if torch else None, seconds=seconds, ratios=ratios), f, indent=1)


if __name__ == "__main__":
    main()
