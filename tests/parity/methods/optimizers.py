# SPDX-License-Identifier: MIT
"""Optimizers by the formulas of src/optim/optimizer.h, kernels/adamw.h and kernels/update.h. Parameters, gradients and
states are [replicas, ...]; a parameter's count t of updates since its moments began is its own."""
import math

import torch

from . import lowrank

BLOCK = 256  # elements of a block of 8-bit codes
ADAM8BIT_LEAST = 4096


def codes(signed):
    """The 256 values of the dynamic 8-bit type, ascending."""
    values = [0.0, 1.0]
    for i in range(7):
        n = 2**i if signed else 2 ** (i + 1)
        values += [10.0 ** (i - 6) * (0.1 + 0.9 * (2 * j + 1) / (2 * n)) for j in range(n)]
    if signed:
        values += [-v for v in values if 0 < v < 1]
    assert len(values) == 256
    return torch.tensor(sorted(values), dtype=torch.float32).double()


class Optimizer:
    def __init__(self, options, model):
        self.o, self.model, self.e = options, model, model.e
        self.p, self.g = model.p, model.g
        self.state = {name: {} for name in self.g}
        self.count = dict.fromkeys(self.g, 0)
        self.exact_steps = 0
        if options.optimizer == "adam8bit":
            self.signed, self.unsigned = codes(True), codes(False)

    # -- what several share

    def constant(self, name, value, x):
        return value * self.e.constant(name, x.ndim - 1)

    def average(self, name, key, beta, x, label):
        """state = beta state + (1 - beta) x, three roundings."""
        old = self.state[name].get(key)
        new = self.e.relative(self.constant(f"1-{label}", 1 - beta, x) * x)
        if old is not None:
            new += self.e.relative(self.constant(label, beta, x) * old)
        self.state[name][key] = self.e.relative(new)
        return new

    def decay(self, name):
        return self.o.weight_decay if self.p[name].ndim == 3 else 0.0

    def move(self, name, change, shrink):
        """p = (1 - shrink) p - change"""
        w = self.p[name]
        if shrink:
            w = self.e.relative(w * self.constant(f"shrink {name}", 1 - shrink, w))
        self.p[name] = self.e.relative(w - change)

    def adamw_change(self, t, lr, m, v):
        step = self.constant("lr", lr / (1 - self.o.beta1**t), m)
        return self.e.relative(step * m / (v.sqrt() / math.sqrt(1 - self.o.beta2**t) + self.o.eps), 4)

    def adamw(self, name, g, lr, decay):
        t = self.count[name]
        m = self.average(name, "m", self.o.beta1, g, "beta1")
        v = self.average(name, "v", self.o.beta2, self.e.relative(g * g), "beta2")
        self.move(name, self.adamw_change(t, lr, m, v), lr * decay)

    def direction(self, name, g):
        m = self.average(name, "m", self.o.beta1, g, "beta1")
        v = self.average(name, "v", self.o.beta2, self.e.relative(g * g), "beta2")
        return self.e.relative(m / (v.sqrt() + self.o.eps), 3)

    def corrected(self, name, lr):
        t = self.count[name]
        return lr * math.sqrt(1 - self.o.beta2**t) / (1 - self.o.beta1**t)

    # -- the kinds: one update of one parameter with gradient g

    def update_adamw(self, name, g, lr):
        self.adamw(name, g, lr, self.decay(name))

    def update_adam(self, name, g, lr):
        self.adamw(name, self.e.relative(g + self.decay(name) * self.p[name]), lr, 0.0)

    def update_sgd(self, name, g, lr):
        g = self.e.relative(g + self.decay(name) * self.p[name])
        if self.o.momentum > 0:
            old = self.state[name].get("momentum", torch.zeros_like(g))
            g = self.state[name]["momentum"] = self.e.relative(self.constant("momentum", self.o.momentum, g) * old + g)
        self.move(name, self.e.relative(self.constant("lr", lr, g) * g), 0.0)

    def update_adafactor(self, name, g, lr):
        rho = 1 - self.count[name] ** -0.8
        square = self.e.relative(g * g) + 1e-30
        if g.ndim == 3:
            row = self.average(name, "row", rho, square.mean(2), "rho")
            col = self.average(name, "col", rho, square.mean(1), "rho")
            v = row.unsqueeze(2) * col.unsqueeze(1) / row.mean(1).view(-1, 1, 1)
        else:
            v = self.average(name, "v", rho, square, "rho")
        u = self.e.relative(g / v.sqrt(), 4)
        rms = u.square().flatten(1).mean(1).sqrt()
        u = self.e.relative(u / rms.clamp(min=1).view(-1, *[1] * (u.ndim - 1)), 2)
        if self.o.momentum > 0:
            u = self.average(name, "m", self.o.momentum, u, "momentum")
        self.move(name, self.e.relative(self.constant("lr", lr, u) * u), lr * self.decay(name))

    def encode(self, x, table):
        """[replicas, n] to the nearest codes of blocks of 256, ties to the lower one."""
        padding = -x.shape[1] % BLOCK
        blocks = torch.nn.functional.pad(x, (0, padding)).unflatten(1, (-1, BLOCK))
        largest = blocks.abs().amax(2, keepdim=True)
        share = self.e.relative(blocks / torch.where(largest > 0, largest, torch.ones_like(largest)))
        code = torch.searchsorted((table[1:] + table[:-1]) / 2, share.contiguous())
        return self.e.relative(table[code] * largest).flatten(1)[:, : x.shape[1]]

    def update_adam8bit(self, name, g, lr):
        if g[0].numel() < ADAM8BIT_LEAST:
            return self.update_adamw(name, g, lr)
        self.adamw(name, g, lr, self.decay(name))
        for key, table in (("m", self.signed), ("v", self.unsigned)):
            whole = self.state[name][key]
            self.state[name][key] = self.encode(whole.flatten(1), table).view_as(whole)

    def plain(self, name, g, lr):
        d = self.direction(name, g)
        self.after(name, d, self.corrected(name, lr), lr * self.decay(name))

    def after(self, name, d, step, shrink):
        """p -= step d; p -= shrink p"""
        w = self.e.relative(self.p[name] - self.e.relative(self.constant("lr", step, d) * d))
        self.p[name] = self.e.relative(w * self.constant(f"shrink {name}", 1 - shrink, w)) if shrink else w

    def update_galore_adamw(self, name, g, lr):
        factor = name.endswith(("weight_in", "weight_out"))
        if g.ndim != 3 or factor or (".self_attn." not in name and ".mlp." not in name):
            return self.plain(name, g, lr)
        small_left = g.shape[1] < g.shape[2]
        left = {"std": small_left, "reverse_std": not small_left, "left": True, "full": True}.get(self.o.galore_type, False)
        right = {"std": not small_left, "reverse_std": small_left, "right": True, "full": True}.get(self.o.galore_type, False)
        state, rank = self.state[name], min(self.o.galore_rank, *g.shape[1:])
        if (self.count[name] - 1) % self.o.galore_gap == 0:
            state["left"] = self.e.relative(lowrank.projector(g, True, rank)) if left else None
            state["right"] = self.e.relative(lowrank.projector(g, False, rank)) if right else None
        if left:
            g = self.e.product(state["left"].mT, g)
        if right:
            g = self.e.product(g, state["right"].mT)
        d = self.direction(name, g)
        if right:
            d = self.e.product(d, state["right"])
        if left:
            d = self.e.product(state["left"], d)
        self.after(name, d, self.corrected(name, lr) * self.o.galore_scale, lr * self.decay(name))

    def update_loro_adamw(self, name, g, lr):
        if not name.endswith(("weight_in", "weight_out")):
            return self.plain(name, g, lr)
        if name.endswith("weight_in"):
            return None  # with its other factor
        other = name[: -len("weight_out")] + "weight_in"
        step = self.corrected(name, lr)
        dm, dn = self.direction(name, g), self.direction(other, self.scaled[other])
        if self.o.exact_every > 0 and (self.u + 1) % self.o.exact_every == 0:
            gauge, symmetric = self.o.exact_gauge == "fix", self.o.exact_core == "symmetric"
            m, n = lowrank.exact_step(self.p[name], self.p[other].mT, dm, dn.mT, step, symmetric, gauge)
            self.p[name], self.p[other] = self.e.relative(m), self.e.relative(n.mT.contiguous())
            self.exact_steps += 1
            return None
        rank = self.p[name].shape[2]
        s = rank / self.o.hidden_size if self.o.lr_scaler < 0 else self.o.lr_scaler
        for key, d in ((name, dm), (other, dn)):
            self.after(key, d, step * s, step * self.decay(key))
        return None

    # -- all

    def take_over(self, name, tensors, which):
        """States of a parameter in some replicas from winnow's; 8-bit ones are decoded."""
        for key, value in self.state[name].items():
            if value is None:
                continue
            stored = torch.from_numpy(tensors[f"{name}.{key}"])
            if stored.dtype == torch.uint8:
                table = self.signed if key == "m" else self.unsigned
                scale = torch.from_numpy(tensors[f"{name}.{key}_scale"]).double().repeat_interleave(BLOCK)
                stored = (table[stored.flatten().long()] * scale[: stored.numel()]).view(stored.shape)
            value[which] = stored.double()

    def forget(self, which):
        for name in self.g:
            factor = name.endswith(("weight_in", "weight_out"))
            if which == "all" or factor == (which == "lrk"):
                self.state[name], self.count[name] = {}, 0

    def update(self, u, lr, clip):
        """Update number u from the model's gradients times clip, [replicas]."""
        self.u = u
        self.scaled = {k: self.e.relative(g * clip.view(-1, *[1] * (g.ndim - 1))) for k, g in self.g.items()}
        for name in self.g:
            self.count[name] += 1
        one = getattr(self, f"update_{self.o.optimizer}")
        for name, g in self.scaled.items():
            one(name, g, lr)
        if self.o.moment_reset_every > 0 and u % self.o.moment_reset_every == 0:
            self.forget("all")
        elif self.o.refresh != "none" and (u + 1) % (self.o.refresh_every or self.o.exact_every) == 0:
            self.forget(self.o.refresh)
