#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Does `transformers` read what we write? Loads a model directory with it, and compares greedy text and held-out loss with ours.
What config.json says is pruned besides weights is pruned there by hooks, from the formulas.

usage: transformers_parity.py WINNOW MODEL SHARD.tokens [PROMPT]
Exit code 77 (skipped) when transformers or torch is not installed.
"""
import json
import os
import struct
import subprocess
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
try:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)


def winnow(*arguments):
    done = subprocess.run(arguments, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def shard_ids(path):
    """Ids of a .tokens file (64-byte header, then u16 or u32)."""
    data = open(path, "rb").read()
    size, count = struct.unpack_from("<I", data, 12)[0], struct.unpack_from("<Q", data, 16)[0]
    return list(struct.unpack_from(f"<{count}{'H' if size == 2 else 'I'}", data, 64))


def mean_loss(model, ids, window, limit):
    """Mean loss over windows that do not overlap, each predicting `window` tokens after its first."""
    total = predictions = 0
    with torch.no_grad():
        for begin in range(0, min(len(ids) - 1, limit), window):
            piece = torch.tensor([ids[begin : begin + window + 1]])
            if piece.shape[1] < 2:
                break
            logits = model(piece[:, :-1]).logits.double()
            total += torch.nn.functional.cross_entropy(logits[0], piece[0, 1:], reduction="sum").item()
            predictions += piece.shape[1] - 1
    return total / predictions, predictions


def two_of_four(x, soft):
    """The two largest of each four features, earlier ones first; soft: less the third magnitude."""
    features = x.shape[-1]
    groups = torch.nn.functional.pad(x, (0, -features % 4)).unflatten(-1, (-1, 4))
    order = torch.argsort(groups.abs(), dim=-1, descending=True, stable=True)
    keep = torch.zeros_like(groups).scatter(-1, order[..., :2], 1.0)
    third = groups.abs().gather(-1, order[..., 2:3]) if soft else 0.0
    return (groups.sign() * (groups.abs() - third) * keep).flatten(-2)[..., :features]


def prune_as_trained(model, directory):
    """Hooks before the layers that read what is pruned; their number."""
    with open(os.path.join(directory, "config.json")) as file:
        lists = json.load(file).get("winnow", {})
    modules = dict(model.named_modules())
    acts = [(item["layer"].removesuffix("act") + "down_proj", item) for item in lists.get("activation_sparsity", [])]
    inputs = [(item["layer"], item) for item in lists.get("input_sparsity", [])]
    done = set()
    for layer, item in acts + inputs:
        if layer in done:
            continue  # its input is 2:4 already
        done.add(layer)
        scale = item.get("scale", 1.0)
        soft = item["method"].startswith("soft")
        modules[layer].register_forward_pre_hook(lambda _, x, scale=scale, soft=soft: (scale * two_of_four(x[0], soft),))
    return len(done)


def main():
    program, directory, shard = sys.argv[1:4]
    prompt = sys.argv[4] if len(sys.argv) > 4 else "It is a truth"
    directory = os.path.join(directory, "latest") if os.path.exists(os.path.join(directory, "latest")) else directory
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(directory)
    print(f"transformers: {type(model).__name__}, {type(tokenizer).__name__}, {sum(p.numel() for p in model.parameters())} parameters")
    pruned = prune_as_trained(model, directory)
    if pruned > 0:
        print(f"2:4 inputs by hooks before {pruned} layers, as config.json says")

    ours = winnow(program, "generate", directory, "--prompt", prompt, "--tokens", "60", "--temperature", "0", "--ignore-eos", "--json")
    inputs = tokenizer(prompt, return_tensors="pt")
    with torch.no_grad():
        theirs = model.generate(**inputs, max_new_tokens=60, min_new_tokens=60, do_sample=False)[0, inputs["input_ids"].shape[1] :].tolist()
    print(f"greedy text: {ours['text']!r}")
    same = ours["ids"] == theirs
    print(f"greedy ids {'equal' if same else 'DIFFER'}: {len(theirs)} tokens")

    window = 128
    loss, predictions = mean_loss(model, shard_ids(shard), window, 20000)
    result = winnow(program, "eval", directory, "--data", shard, "--seq-len", str(window), "--max-tokens", str(predictions), "--json")
    close = abs(result["loss"] - loss) < 1e-4 and result["tokens"] == predictions
    print(f"loss over {predictions} tokens: transformers {loss:.7f}, winnow {result['loss']:.7f} over {result['tokens']}: {'equal within 1e-4' if close else 'DIFFER'}")
    return 0 if same and close else 1


if __name__ == "__main__":
    sys.exit(main())
