# SPDX-License-Identifier: MIT
"""The options of `winnow train` that these programs know, read from the very words winnow gets, and the grammar of
--sparsity (src/nn/structure.h)."""
import argparse
import dataclasses
import fnmatch

FLAGS = ["tie_embeddings", "scale_norm", "act_permute", "fp8", "recompute", "restart_after_warmup"]
NUMBERS = dict(
    hidden_size=256, intermediate_size=0, layers=4, heads=4, kv_heads=0, rope_theta=10000.0, seq_len=256, batch_size=8, grad_accum=1,
    steps=1000, lr=1e-3, min_lr_ratio=0.1, warmup=100, wsd_decay=0, restart_every=0, restart_warmup=5, lr_adjust=0, beta1=0.9, beta2=-1.0,
    eps=-1.0, momentum=0.0, weight_decay=0.1, exact_every=500, lr_scaler=-1.0, refresh_every=0, moment_reset_every=0, galore_rank=128,
    galore_gap=200, galore_scale=0.25, clip_norm=1.0, seed=1, mask_every=1, mask_freeze_after=0, mask_dense_after=0, mask_decay=0.0,
    act_warmup=1000, act_dense=0.05, act_every=10, act_samples=100)  # fmt: skip
WORDS = dict(
    mlp="relu2", schedule="cosine", optimizer="adamw", exact_core="paper", exact_gauge="fix", refresh="none", galore_type="std",
    scale_rule="frozen", act_backward="split", dtype="float32", lowrank_init="xavier", init_from="")  # fmt: skip


@dataclasses.dataclass
class Structure:
    kind: str = "dense"  # dense, sparse24, sste, lowrank, adapter, in24, act24
    method: str = ""  # tile, row, greedy; of inputs: soft, mvue; of activations: naive, mvue, soft, soft_weights, soft_dynamic
    mvue: str = ""  # exact, approx
    rank: int = 0
    alpha: float = 0.0
    sparse_in: bool = False
    sparse_out: bool = False


def structure(text):
    head, *options = text.split("+")
    word, _, rest = head.partition(":")
    s = Structure()
    if head.startswith("in2:4:"):
        s.kind, s.method, s.mvue = "in24", head[len("in2:4:") :], "exact"
    elif head.startswith("act2:4"):
        s.kind, s.method = "act24", head[len("act2:4:") :] or "naive"
    elif head.startswith("2:4"):
        s.method = head[len("2:4:") :] or "tile"
        if s.method == "mvue":
            s.method, s.mvue = "tile", "exact"
        s.kind = "sste" if s.method == "sste" else "sparse24"
    elif word == "lowrank":
        s.kind, s.rank = "lowrank", int(rest)
    elif word == "adapter":
        s.kind, s.rank = "adapter", int(rest.split(":")[0])
        s.alpha = float(rest.split(":")[1]) if ":" in rest else float(s.rank)
    else:
        assert head == "dense", text
    for option in options:
        if option == "dense-dw":
            s.mvue = ""
        elif option.startswith("mvue"):
            s.mvue = "approx" if option == "mvue-approx" else "exact"
        else:
            s.sparse_in, s.sparse_out = option != "2:4:out", option != "2:4:in"
    return s


def read(words):
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in FLAGS:
        default = name == "tie_embeddings"
        parser.add_argument("--" + name.replace("_", "-"), action=argparse.BooleanOptionalAction, default=default)
    for name, default in {**NUMBERS, **WORDS}.items():
        parser.add_argument("--" + name.replace("_", "-"), type=type(default), default=default)
    parser.add_argument("--sparsity", action="append", default=[])
    o = parser.parse_args(words)
    original = o.optimizer in ("loro_adamw", "galore_adamw")
    o.beta2 = o.beta2 if o.beta2 >= 0 else 0.999 if original else 0.95
    o.eps = o.eps if o.eps >= 0 else 1e-6 if original else 1e-8
    o.kv_heads = o.kv_heads or o.heads
    o.rules = [(pattern, structure(text)) for pattern, _, text in (rule.rpartition("=") for rule in o.sparsity)]
    return o


def structure_of(o, name, activation=False):
    """The last rule whose glob matches the name or what stands after one of its dots."""
    parts = name.split(".")
    found = Structure()
    for pattern, s in o.rules:
        matches = any(fnmatch.fnmatchcase(".".join(parts[i:]), pattern) for i in range(len(parts)))
        if matches and (s.kind == "act24") == activation:
            found = s
    return found
