#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/fixtures/model/: tiny models with logits, loss, gradients and AdamW losses by PyTorch in float64.

The models are written out here from their formulas, in float64, and share no code with the library. 2:4 masks come from a
plain search. Where transformers is installed its own LlamaForCausalLM and ArceeForCausalLM must give the same logits.

    python3 tools/make_model_fixtures.py [OUT]
"""
import itertools
import json
import math
import os
import sys

import numpy as np
import torch
from safetensors.numpy import save_file

STEPS = 5
LR, BETAS, EPS, WEIGHT_DECAY, CLIP = 0.01, (0.9, 0.95), 1e-8, 0.1, 1.0


# ---- 2:4 masks, one entry at a time ----

def row_mask(w):
    mask = np.zeros(w.shape, bool)
    for r in range(w.shape[0]):
        for c0 in range(0, w.shape[1], 4):
            columns = range(c0, min(c0 + 4, w.shape[1]))
            for c in sorted(columns, key=lambda c: (-abs(float(w[r, c])), c))[:2]:
                mask[r, c] = True
    return mask


def tile_candidates():
    rows = ["1100", "1010", "1001", "0110", "0101", "0011"]
    rows = [tuple(int(ch) for ch in row) for row in rows]
    return [tile for tile in itertools.product(rows, repeat=4) if all(sum(col) == 2 for col in zip(*tile))]


def tile_sum(magnitude, tile):
    sums = []
    for i in range(4):
        first, second = [magnitude[i, j] for j in range(4) if tile[i][j]]
        sums.append(np.float32(first + second))
    return np.float32(np.float32(sums[0] + sums[1]) + np.float32(sums[2] + sums[3]))


def tile_mask(w):
    candidates = tile_candidates()
    assert len(candidates) == 90
    mask = np.zeros(w.shape, bool)
    for r in range(0, w.shape[0], 4):
        for c in range(0, w.shape[1], 4):
            magnitude = np.abs(w[r:r + 4, c:c + 4].astype(np.float32))
            best = max(range(90), key=lambda k: (tile_sum(magnitude, candidates[k]), -k))
            mask[r:r + 4, c:c + 4] = np.array(candidates[best], bool)
    return mask


def greedy_mask(w):
    mask = np.zeros(w.shape, bool)
    for r in range(0, w.shape[0], 4):
        for c in range(0, w.shape[1], 4):
            order = sorted(range(16), key=lambda n: (-abs(float(w[r + n // 4, c + n % 4])), n))
            for n in order:
                i, j = n // 4, n % 4
                if mask[r + i, c:c + 4].sum() < 2 and mask[r:r + 4, c + j].sum() < 2:
                    mask[r + i, c + j] = True
    return mask


MASKS = {"row": row_mask, "tile": tile_mask, "greedy": greedy_mask}


# ---- the model, from its formulas ----

def rope_frequencies(c):
    D = c["head_dim"]
    f = [c["rope_theta"] ** (-2 * i / D) for i in range(D // 2)]
    s = c.get("rope_scaling")
    if s is None:
        return f
    if s["rope_type"] == "linear":
        return [x / s["factor"] for x in f]
    out = []
    old = s["original_max_position_embeddings"]
    for x in f:
        wavelength = 2 * math.pi / x
        if wavelength > old / s["low_freq_factor"]:
            out.append(x / s["factor"])
        elif wavelength < old / s["high_freq_factor"]:
            out.append(x)
        else:
            smooth = (old / wavelength - s["low_freq_factor"]) / (s["high_freq_factor"] - s["low_freq_factor"])
            out.append((1 - smooth) * x / s["factor"] + smooth * x)
    return out


def rotate(x, frequencies):
    """x [B, T, H, D]"""
    T, half = x.shape[1], x.shape[3] // 2
    angle = torch.arange(T, dtype=torch.float64)[:, None] * torch.tensor(frequencies, dtype=torch.float64)[None]
    cos, sin = angle.cos()[None, :, None], angle.sin()[None, :, None]
    low, high = x[..., :half], x[..., half:]
    return torch.cat([low * cos - high * sin, high * cos + low * sin], -1)


def rms_norm(x, weight, eps):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * weight


class Model:
    def __init__(self, config, weights, sparse):
        self.c, self.sparse, self.mask = config, sparse, {}
        self.p = {name: torch.tensor(w, dtype=torch.float64, requires_grad=True) for name, w in weights.items()}

    def choose_masks(self):
        for name in self.p:
            if self.sparse and "layer" in self.sparse and name.endswith(".weight") and self.sparse["layer"] in name:
                w = self.p[name].detach().numpy()
                self.mask[name] = torch.tensor(MASKS[self.sparse["method"]](w), dtype=torch.float64)

    def linear(self, name, x):
        w = self.p[name + ".weight"]
        if name + ".weight" in self.mask:
            w = w + (w * self.mask[name + ".weight"] - w).detach()  # straight through
        y = x @ w.T
        return y + self.p[name + ".bias"] if name + ".bias" in self.p else y

    def attention(self, name, x):
        c = self.c
        B, T, _ = x.shape
        H, K, D = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
        f = rope_frequencies(c)
        q = rotate(self.linear(name + ".q_proj", x).view(B, T, H, D), f)
        k = rotate(self.linear(name + ".k_proj", x).view(B, T, K, D), f)
        v = self.linear(name + ".v_proj", x).view(B, T, K, D)
        k, v = k.repeat_interleave(H // K, 2), v.repeat_interleave(H // K, 2)
        score = torch.einsum("bthd,bshd->bhts", q, k) / math.sqrt(D)
        score = score.masked_fill(torch.ones(T, T, dtype=torch.bool).triu(1), -math.inf)
        out = torch.einsum("bhts,bshd->bthd", score.softmax(-1), v).reshape(B, T, H * D)
        return self.linear(name + ".o_proj", out)

    def mlp(self, name, x):
        up = self.linear(name + ".up_proj", x)
        if self.c["hidden_act"] != "silu":
            act = torch.relu(up) ** (2 if self.c["hidden_act"] == "relu2" else 1)
            return self.sparse_down(name + ".down_proj", act) if self.sparse and "act_backward" in self.sparse \
                else self.linear(name + ".down_proj", act)
        gate = self.linear(name + ".gate_proj", x)
        return self.linear(name + ".down_proj", gate * torch.sigmoid(gate) * up)

    def sparse_down(self, name, act):
        """The two largest of each four features; "dense" goes back as if none had been dropped."""
        rows = act.detach().reshape(-1, act.shape[-1]).numpy()
        kept = act * torch.tensor(row_mask(rows).reshape(act.shape), dtype=torch.float64)
        if self.sparse["act_backward"] == "direct":
            return self.linear(name, kept)
        whole = self.linear(name, act)
        return whole + (self.linear(name, kept) - whole).detach()

    def logits(self, tokens):
        c, p = self.c, self.p
        h = p["model.embed_tokens.weight"][tokens]
        for i in range(c["num_hidden_layers"]):
            n = f"model.layers.{i}"
            h = h + self.attention(n + ".self_attn", rms_norm(h, p[n + ".input_layernorm.weight"], c["rms_norm_eps"]))
            h = h + self.mlp(n + ".mlp", rms_norm(h, p[n + ".post_attention_layernorm.weight"], c["rms_norm_eps"]))
        h = rms_norm(h, p["model.norm.weight"], c["rms_norm_eps"])
        return h @ p["model.embed_tokens.weight" if c["tie_word_embeddings"] else "lm_head.weight"].T

    def loss_sum(self, tokens, targets):
        logits = self.logits(tokens)
        kept = targets >= 0
        chosen = logits[kept].gather(1, targets[kept][:, None])[:, 0]
        return (torch.logsumexp(logits[kept], -1) - chosen).sum(), logits


# ---- cases ----

def make_config(act, V, C, I, L, H, K, D, tied=False, attention_bias=False, mlp_bias=False, theta=10000.0, scaling=None):
    kind = "llama" if act == "silu" else "arcee"
    return {
        "architectures": ["LlamaForCausalLM" if kind == "llama" else "ArceeForCausalLM"],
        "model_type": kind, "hidden_act": act, "vocab_size": V, "hidden_size": C, "intermediate_size": I,
        "num_hidden_layers": L, "num_attention_heads": H, "num_key_value_heads": K, "head_dim": D,
        "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": theta, "rope_scaling": scaling,
        "tie_word_embeddings": tied, "attention_bias": attention_bias, "mlp_bias": mlp_bias,
        "initializer_range": 0.02, "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "float32",
    }


LINEAR = {"rope_type": "linear", "factor": 2.0}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 16}

# name: (config, batch, seq, sparse, with AdamW steps)
CASES = {
    "llama": (make_config("silu", 19, 8, 12, 2, 4, 2, 4), 2, 9, None, True),
    "llama_tied_bias": (make_config("silu", 17, 8, 10, 1, 2, 1, 6, tied=True, attention_bias=True, mlp_bias=True,
                                    scaling=LINEAR), 3, 5, None, True),
    "llama_rope3": (make_config("silu", 13, 12, 8, 1, 3, 3, 12, theta=500.0, scaling=LLAMA3), 1, 17, None, False),
    "arcee": (make_config("relu2", 19, 8, 14, 2, 2, 2, 4), 2, 7, None, False),
    "arcee_tied_bias": (make_config("relu2", 11, 8, 9, 1, 4, 1, 2, tied=True, attention_bias=True, mlp_bias=True),
                        2, 6, None, True),
    "llama_tile": (make_config("silu", 19, 8, 12, 1, 4, 2, 4, mlp_bias=True), 2, 8,
                   {"layer": "mlp", "method": "tile", "pattern": "mlp.*=2:4:tile", "mask_every": 2}, True),
    "llama_row": (make_config("silu", 19, 8, 10, 1, 2, 1, 6), 2, 8,
                  {"layer": "_proj", "method": "row", "pattern": "*_proj=2:4:row", "mask_every": 1}, True),
    "arcee_greedy": (make_config("relu2", 19, 8, 16, 1, 2, 2, 4), 2, 8,
                     {"layer": "mlp", "method": "greedy", "pattern": "mlp.*=2:4:greedy", "mask_every": 1}, False),
    "arcee_relu": (make_config("relu", 13, 8, 11, 2, 2, 1, 4, mlp_bias=True), 2, 7, None, True),
    "arcee_act": (make_config("relu2", 13, 8, 18, 2, 2, 1, 4), 2, 7,
                  {"pattern": "mlp.act=act2:4:naive", "mask_every": 1, "act_backward": "direct"}, True),
    "arcee_act_dense": (make_config("relu", 13, 8, 15, 1, 2, 1, 4, mlp_bias=True), 2, 6,
                        {"pattern": "act=act2:4:naive", "mask_every": 1, "act_backward": "dense"}, True),
}


def make_weights(c, rng):
    C, I, V = c["hidden_size"], c["intermediate_size"], c["vocab_size"]
    Q, K = c["num_attention_heads"] * c["head_dim"], c["num_key_value_heads"] * c["head_dim"]
    shapes = {"model.embed_tokens": (V, C)}
    for i in range(c["num_hidden_layers"]):
        a, m = f"model.layers.{i}.self_attn", f"model.layers.{i}.mlp"
        shapes |= {a + ".q_proj": (Q, C), a + ".k_proj": (K, C), a + ".v_proj": (K, C), a + ".o_proj": (C, Q)}
        if c["hidden_act"] == "silu":
            shapes[m + ".gate_proj"] = (I, C)
        shapes |= {m + ".up_proj": (I, C), m + ".down_proj": (C, I)}
    if not c["tie_word_embeddings"]:
        shapes["lm_head"] = (V, C)
    draw = lambda *shape: rng.standard_normal(shape).astype(np.float32)
    weights = {}
    for name, (out, width) in shapes.items():
        weights[name + ".weight"] = draw(out, width) * np.float32(0.5)
        biased = c["attention_bias"] if "self_attn" in name else c["mlp_bias"] and "mlp" in name
        if biased:
            weights[name + ".bias"] = draw(out) * np.float32(0.25)
    norms = ["model.norm"] + [f"model.layers.{i}.{n}" for i in range(c["num_hidden_layers"])
                              for n in ("input_layernorm", "post_attention_layernorm")]
    for name in norms:
        weights[name + ".weight"] = np.float32(1) + draw(C) * np.float32(0.125)
    return weights


def make_labels(tokens, rng, V):
    targets = rng.integers(0, V, tokens.shape)
    targets[:, :-1] = tokens[:, 1:]
    targets[0, 1] = -100
    targets[-1, -1] = -100
    return targets


def adamw_steps(case_config, weights, sparse, tokens, targets):
    """Losses (mean over labels, before the update) and gradient norms of STEPS updates."""
    model = Model(case_config, weights, sparse)
    decay = [p for p in model.p.values() if p.ndim == 2]
    plain = [p for p in model.p.values() if p.ndim == 1]
    groups = [{"params": decay, "weight_decay": WEIGHT_DECAY}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LR, betas=BETAS, eps=EPS)
    losses, norms = [], []
    for step in range(STEPS):
        if sparse and step % sparse["mask_every"] == 0:
            model.choose_masks()
        loss, _ = model.loss_sum(tokens, targets)
        loss = loss / (targets >= 0).sum()
        optimizer.zero_grad()
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(model.p.values(), CLIP)))
        optimizer.step()
        losses.append(float(loss.detach()))
    return np.array(losses), np.array(norms)


def compare_with_transformers(name, config, weights, tokens, logits):
    try:
        import transformers
    except ImportError:
        print(f"{name}: transformers is not installed, logits not compared")
        return
    family = {"llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
              "arcee": (transformers.ArceeConfig, transformers.ArceeForCausalLM)}[config["model_type"]]
    options = {k: v for k, v in config.items() if k not in ("architectures", "model_type", "torch_dtype")}
    model = family[1](family[0](**options, attn_implementation="eager")).double()
    state = {k: torch.tensor(v, dtype=torch.float64) for k, v in weights.items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
    model.tie_weights()
    with torch.no_grad():
        theirs = model(tokens).logits
    error = float((theirs - logits).norm() / logits.norm())
    print(f"{name}: against {family[1].__name__} {transformers.__version__}: {error:.1e}")
    assert error < 1e-6, "norms, softmax and rotary frequencies are float32 there"


def write_case(out, index, name):
    config, B, T, sparse, steps = CASES[name]
    rng = np.random.default_rng([2024, index])
    weights = make_weights(config, rng)
    tokens_np = rng.integers(0, config["vocab_size"], (B, T))
    targets_np = make_labels(tokens_np, rng, config["vocab_size"])
    tokens, targets = torch.tensor(tokens_np), torch.tensor(targets_np)
    model = Model(config, weights, sparse)
    model.choose_masks()
    loss, logits = model.loss_sum(tokens, targets)
    loss.backward()
    if sparse is None:
        compare_with_transformers(name, config, weights, tokens, logits.detach())
    expected = {"tokens": tokens_np.astype(np.int32), "targets": targets_np.astype(np.int32),
                "logits": logits.detach().numpy(), "loss": np.array([loss.item()])}
    expected |= {"grad." + k: p.grad.numpy() for k, p in model.p.items()}
    expected |= {"mask." + k: m.numpy().astype(np.uint8) for k, m in model.mask.items()}
    if steps:
        expected["adamw.loss"], expected["adamw.norm"] = adamw_steps(config, weights, sparse, tokens, targets)
    meta = {k: str(v) for k, v in sparse.items() if k in ("pattern", "mask_every", "act_backward")} if sparse else {}
    folder = os.path.join(out, name)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump({k: v for k, v in config.items() if v is not None}, f, indent=1)
        f.write("\n")
    save_file(weights, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    save_file(expected, os.path.join(folder, "expected.safetensors"), metadata=meta)


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "..", "tests", "fixtures", "model")
    for index, name in enumerate(CASES):
        write_case(out, index, name)
    total = sum(os.path.getsize(os.path.join(d, f)) for d, _, files in os.walk(out) for f in files)
    print(f"{len(CASES)} cases, {total} bytes")


if __name__ == "__main__":
    main()
