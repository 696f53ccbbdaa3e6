#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Kronecker-sparse factors by winnow, by its batched products over a CBLAS, and by PyTorch as permute, torch.bmm, permute, in turns.

    python3 bench/peers/ks_turns.py --winnow build/winnow --work 'forward factor' --rows 256,1024 --threads 2 --json ks.json

Each turn samples PyTorch here and then runs `winnow bench ks` on the same work, so that a disturbance of the machine falls on all. A ratio is that of the fastest sample of all turns,
PyTorch's of the fastest way to write it, batch first beside batch first and batch last beside batch last. FILE of --json keeps what it has of other works, rows and threads.

    python3 bench/peers/ks_turns.py --work 'forward factor (8,192,192,4)' --rows 25088 --kept --turns 2 --repeats 1

--kept: PyTorch also with all results into memory that is there, in huge pages, as ours are: with a large batch it spends most of its time on new pages otherwise."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from torch_peer import ks_chosen, ks_sizes, ks_times, ks_work, library, row


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--winnow", default="build/winnow")
    p.add_argument("--kernels", default="", help="of winnow, as kron_mul:avx2")
    p.add_argument("--commit", default="")
    for name, value in dict(work="forward factor", rows="256", shapes="", dtype="f32", json="").items():
        p.add_argument("--" + name, default=value)
    for name, value in dict(threads=2, turns=3, repeats=3).items():
        p.add_argument("--" + name, type=int, default=value)
    p.add_argument("--kept", action="store_true", help="PyTorch also into memory that is there, of one factor forward")
    return p.parse_args()


def winnow_rows(a, work, t, cpus):
    """In a process that may use what this one might before OpenMP bound its threads."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("OMP_")}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "ks.json")
        command = [a.winnow, "bench", "ks", "--work", work, "--rows", str(t), "--threads", str(a.threads), "--repeats", str(a.repeats), "--dtype", a.dtype]
        command += ["--peers", "none", "--no-dense", "--commit", a.commit, "--json", path] + (["--kernels", a.kernels] if a.kernels else [])
        run = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=env, preexec_fn=lambda: os.sched_setaffinity(0, cpus))
        if run.returncode != 0:
            sys.exit(run.stderr.strip())
        with open(path, encoding="utf-8") as f:
            return json.load(f)


def turns(torch, a, cpus, of, name, factors, t):
    """What winnow says of the machine; rows by name, each with the seconds of its turns."""
    out, n_in = ks_sizes(factors)
    found, machine, kind = {}, {}, torch.float32 if a.dtype == "f32" else torch.bfloat16
    for _ in range(a.turns):
        for _, way, seconds, flops in ks_times(torch, factors, t, kind, [of], a.repeats, a.kept):
            r = row(torch, "ks", of + " " + ks_work(name), a.dtype, seconds, out=out, rows=t, flops=flops, **{"in": n_in})
            r["name"] += ", " + way
            found.setdefault(r["name"], []).append(r)
        time.sleep(0.3)  # its threads look for work for a while
        machine = winnow_rows(a, of + " " + ks_work(name), t, cpus)
        for r in machine["rows"]:
            if (r["out"], r["in"]) == (out, n_in):
                found.setdefault(r["name"], []).append(r)
    return machine, found


def joined(rows):
    """One row of all turns, which says nothing of ratios within one."""
    r = {k: v for k, v in rows[-1].items() if not k.startswith(("over_", "peak_", "stream_")) and k != "interrupted"}
    all_of = [x["seconds"] for x in rows]
    r["seconds"] = {"median": statistics.median(s["median"] for s in all_of), "least": min(s["least"] for s in all_of), "most": max(s["most"] for s in all_of)}
    return r


def same(r, q):
    return all(r.get(k) == q.get(k) for k in ("work", "dtype", "out", "in", "rows", "threads"))


def beside(rows, r):
    """name -> times as fast as, of one of ours."""
    last, ratios = "batch last" in r["name"], {}
    for q in rows:
        if not same(q, r) or q["role"] == "dense" or q is r:
            continue
        if "bmm" in q["name"] and ("batch last" in q["name"]) == last:
            ratios["torch, kept" if "kept" in q["name"] else "torch"] = q["seconds"]["least"] / r["seconds"]["least"]
        if "cblas" in q["name"] and not last:
            ratios["cblas"] = q["seconds"]["least"] / r["seconds"]["least"]
    return ratios


def ours(rows):
    return [r for r in rows if r["role"] == "structure" and "cblas" not in r["name"] and "as loaded" not in r["name"]]


def tell(rows):
    """A line for each of ours, and the medians of those that share all but the factor."""
    groups = {}
    for r in ours(rows):
        ratios = beside(rows, r)
        print("%-42s %5d rows %2d threads %-26s %6.1f GFLOP/s %s" % (r["work"], r["rows"], r["threads"], r["name"], r["flops"] / r["seconds"]["least"] / 1e9,
              ", ".join("%.2f x %s" % (v, k) for k, v in ratios.items())))
        key = (r["work"].split("(")[0].strip(), r["rows"], r["threads"], r["name"])
        for k, v in ratios.items():
            groups.setdefault(key, {}).setdefault(k, []).append(v)
    for key, ratios in groups.items():
        for k, v in ratios.items():
            print("%s, %d rows, %d threads, %s: median of %d %.2f x %s (%.2f to %.2f)" % (*key, len(v), statistics.median(v), k, min(v), max(v)))


def main():
    a = arguments()
    cpus = sorted(os.sched_getaffinity(0))
    os.environ.setdefault("OMP_NUM_THREADS", str(a.threads))
    os.environ.setdefault("OMP_PROC_BIND", "close")
    os.environ.setdefault("OMP_PLACES", ",".join("{%d}" % c for c in cpus[: a.threads]))
    import torch

    torch.set_num_threads(a.threads)
    result = {"rows": []}
    if a.json and os.path.exists(a.json):
        with open(a.json, encoding="utf-8") as f:
            result = json.load(f)
    for name, factors, passes in ks_chosen(a):
        for of in passes:
            for t in map(int, a.rows.split(",")):
                machine, found = turns(torch, a, cpus, of, name, factors, t)
                new = [{**joined(rows), "threads": a.threads} for rows in found.values()]
                rows = [r for r in result["rows"] if not any(same(r, q) and r["name"] == q["name"] for q in new)] + new
                result = {**machine, "libraries": machine.get("libraries", []) + [library(torch)], "rows": rows,
                          "notes": ["bench/peers/ks_turns.py: PyTorch and winnow in turns, rows of all; seconds of a row: median of the turns' medians, least and most of all"]}
                if a.json:
                    with open(a.json, "w", encoding="utf-8") as f:
                        json.dump(result, f, indent=1)
    tell(result["rows"])


if __name__ == "__main__":
    main()
