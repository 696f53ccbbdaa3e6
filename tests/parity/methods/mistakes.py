# SPDX-License-Identifier: MIT
"""Deliberate mistakes: a function of these programs with a piece of its text replaced. The comparison must see each of them;
one that it does not see would go unseen in winnow too."""
import contextlib
import functools
import inspect
import textwrap

from . import layers, lowrank, model, optimizers


@contextlib.contextmanager
def changed(owner, name, old, new):
    function = getattr(owner, name)
    text = textwrap.dedent(inspect.getsource(function))
    assert text.count(old) == 1, f"{name}: {old}"
    names = dict(function.__globals__)
    exec(text.replace(old, new), names)
    setattr(owner, name, names[name])
    try:
        yield
    finally:
        setattr(owner, name, function)


def mistake(case, what, owner, name, old, new):
    return case, what, functools.partial(changed, owner, name, old, new)


ALL = [
    mistake("sste-mvue", "every other counter", model.Model, "unbiased", "self.passes", "2 * self.passes"),
    mistake("sste-mvue", "another layer's stream", model.Model, "unbiased", "8 * number", "8 * (number + 1)"),
    mistake("sste", "beta in the weight's gradient", layers.Linear, "add_gradient", "x, E5M2)", "x, E5M2) * (1 if self.beta is None else self.beta)"),
    mistake("sste", "the norm's scale", layers.Linear, "threshold", "self.o.scale_norm", "True"),
    mistake("tile", "masked decay is clipped", model.Model, "train", "decay / clip.view(-1, 1, 1)", "decay"),
    mistake("tile", "the weight's gradient is masked", layers.Linear, "add_gradient", "x, E5M2)", "x, E5M2) * (1 if self.mask is None else self.mask)"),
    mistake("loro", "symmetric core", lowrank, "exact_step", "if symmetric", "if True"),
    mistake("loro", "no gauge", lowrank, "exact_step", "if gauge", "if False"),
    mistake("loro-keep-none", "signs of pairs as they come", lowrank, "exact_step", "(new_n * n).sum(1, keepdim=True) < 0", "(new_n * n).sum(1, keepdim=True) < -1e30"),
    mistake("loro", "exact step without bias correction", optimizers.Optimizer, "update_loro_adamw", "dn.mT, step,", "dn.mT, lr,"),
    mistake("loro", "decay of factors is scaled", optimizers.Optimizer, "update_loro_adamw", "step * self.decay(key)", "step * s * self.decay(key)"),
    mistake("loro", "eps larger by 1 %", optimizers.Optimizer, "direction", "self.o.eps", "1.01 * self.o.eps"),
    mistake("act-naive", "the sparsest features stay dense", layers.Activation, "along_tokens", "self.zeros, count", "-self.zeros, count"),
    mistake("act-naive", "what was dropped comes back", model.Mlp, "backward", "dy1 * (self.y2s != 0)", "dy1"),
    mistake("act-naive", "tokens not permuted", layers.Activation, "along_tokens", "if self.o.act_permute", "if False"),
    mistake("fp8", "E4M3 for the input's gradient", layers.Linear, "backward", "self.w, E5M2", "self.w, E4M3"),
    mistake("bfloat16", "queries not rounded after rotation", model.Attention, "forward", "q = keep(", "q = ("),
    mistake("galore", "signs of vectors as they come", lowrank, "signed", " * vectors.gather(-2, at).sign()", ""),
    mistake("adafactor", "another exponent", optimizers.Optimizer, "update_adafactor", "-0.8", "-0.81"),
    mistake("adam8bit", "codes 1 % beside the middle", optimizers.Optimizer, "encode", "(table[1:] + table[:-1]) / 2", "0.49 * table[1:] + 0.51 * table[:-1]"),
]  # fmt: skip
