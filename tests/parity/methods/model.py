# SPDX-License-Identifier: MIT
"""A Llama-style decoder and one training update of it, forward and backward by hand."""
import math

import torch

from . import arithmetic, options, philox, schedules, sparse
from .layers import Activation, Factored, InputSparse, Linear
from .optimizers import Optimizer

EPS = 1e-6  # of RMSNorm


class Norm:
    """y = x rstd w, rstd = 1/sqrt(mean x^2 + eps)"""

    def __init__(self, model, name):
        self.model, self.e, self.name = model, model.e, name + ".weight"

    def forward(self, x):
        n = x.shape[2]
        self.x = x
        self.rstd = self.e.relative(1 / torch.sqrt(x.square().mean(2, keepdim=True) + EPS), 4 + n / 12)
        return self.model.keep(self.e.relative(x * self.rstd * self.model.weight(self.name).unsqueeze(1), 2))

    def backward(self, dy, onto=None):
        n = self.x.shape[2]
        terms = dy * self.x * self.rstd
        dw = self.e.summed(terms.sum(1), terms.square().sum(1), terms.shape[1])
        self.model.g[self.name] = self.e.relative(self.model.g[self.name] + dw)
        h = self.e.relative(dy * self.model.weight(self.name).unsqueeze(1))
        hx = h * self.x
        c = self.e.summed(hx.sum(2, keepdim=True), hx.square().sum(2, keepdim=True), n) / n
        dx = self.e.relative(self.rstd * (h - self.e.relative(self.x * self.rstd.square() * c, 4)), 2)
        return self.model.keep(dx if onto is None else self.e.relative(onto + dx))


class Attention:
    def __init__(self, model, block):
        o = model.o
        self.model, self.o, self.e = model, o, model.e
        name = block + ".self_attn."
        self.q, self.k, self.v, self.out = (model.linear(name + p + "_proj") for p in "qkvo")
        self.size = o.hidden_size // o.heads
        self.group = o.heads // o.kv_heads
        half = self.size // 2
        angle = torch.arange(o.seq_len).double()[:, None] * o.rope_theta ** (-torch.arange(half).double() / half)
        tables = torch.stack([angle.cos(), angle.sin()]).expand(model.replicas, 2, *angle.shape).clone()
        self.cos, self.sin = self.e.relative(tables)[:, :, None, None].unbind(1)  # [replicas, 1, 1, T, half]

    def split(self, x, heads):  # [replicas, B, heads, T, size]
        return x.view(x.shape[0], -1, self.o.seq_len, heads, self.size).transpose(2, 3)

    def join(self, x):
        return x.transpose(2, 3).flatten(3).flatten(1, 2)

    def rotate(self, x, sign=1):
        a, b = x.chunk(2, dim=-1)
        c, s = self.cos, sign * self.sin
        return self.e.relative(torch.cat([a * c - b * s, b * c + a * s], dim=-1), 2)

    def forward(self, x, onto):
        self.x = x
        keep = self.model.keep
        q = keep(self.rotate(self.split(self.q.forward(x), self.o.heads)))
        k = keep(self.rotate(self.split(self.k.forward(x), self.o.kv_heads)))
        v = self.split(self.v.forward(x), self.o.kv_heads)
        self.heads = q, *(t.repeat_interleave(self.group, dim=2) for t in (k, v))
        q, k, v = self.heads
        length = self.o.seq_len
        score = self.e.relative(self.e.product(q, k.mT) / math.sqrt(self.size))
        score = score.masked_fill(torch.ones(length, length, dtype=torch.bool).triu(1), -math.inf)
        lse = score.logsumexp(-1, keepdim=True)
        self.p = self.e.relative(torch.exp(score - lse), 8)
        self.mixed = self.e.product(self.p, v)
        self.joined = keep(self.join(self.mixed))
        self.mixed = self.split(self.joined, self.o.heads)
        return self.out.forward(self.joined, onto)

    def backward(self, dout):
        q, k, v = self.heads
        keep = self.model.keep
        do = self.split(self.out.backward(self.joined, dout), self.o.heads)
        dv = self.e.product(self.p.mT, do)
        dp = self.e.product(do, v.mT)
        terms = do * self.mixed
        delta = self.e.summed(terms.sum(-1, keepdim=True), terms.square().sum(-1, keepdim=True), self.size)
        ds = self.e.relative(self.p * self.e.relative(dp - delta), 2)
        root = 1 / math.sqrt(self.size)
        dq = self.e.relative(root * self.e.product(ds, k))
        dk = self.e.relative(root * self.e.product(ds.mT, q))
        dk, dv = (t.unflatten(2, (-1, self.group)).sum(3) for t in (dk, dv))
        dq, dk, dv = keep(self.join(self.rotate(dq, -1))), keep(self.join(self.rotate(dk, -1))), keep(self.join(dv))
        dx = self.q.backward(self.x, dq)
        dx = self.k.backward(self.x, dk, dx)
        return self.v.backward(self.x, dv, dx)


class Mlp:
    def __init__(self, model, block):
        self.model, self.o, self.e = model, model.o, model.e
        name = block + ".mlp."
        self.gated = self.o.mlp == "swiglu"
        self.gate = model.linear(name + "gate_proj") if self.gated else None
        self.up = model.linear(name + "up_proj")
        self.act = Activation(model, name + "act", self.up.number, options.structure_of(self.o, name + "act", True))
        self.down = model.linear(name + "down_proj")

    def forward(self, x, onto):
        self.x = x
        if self.gated:
            self.g = self.gate.forward(x)
        self.y1 = self.up.forward(x)
        if self.gated:
            y2 = self.e.relative(self.g * torch.sigmoid(self.g) * self.y1, 5)
        elif self.o.mlp == "relu2":
            y2 = self.e.relative(self.y1.clamp(min=0).square())
        else:
            y2 = self.y1.clamp(min=0)
        self.y2 = self.model.keep(y2)
        self.y2s = self.act.forward(self.y2, self.down)
        return self.down.forward(self.y2s, onto)

    def backward(self, dout):
        for_weight = self.y2 if self.act.straight_through else self.y2s
        tokens = self.act.along_tokens(self.y2s)
        dy2 = self.down.backward(self.y2s, dout, x_for_weight=for_weight if tokens is None else tokens)
        if self.gated:
            s = torch.sigmoid(self.g)
            dup = self.model.keep(self.e.relative(dy2 * self.g * s, 5))
            dgate = self.model.keep(self.e.relative(dy2 * self.y1 * (s + self.g * s * (1 - s)), 6))
            return self.up.backward(self.x, dup, self.gate.backward(self.x, dgate))
        slope = 2 * self.y1.clamp(min=0) if self.o.mlp == "relu2" else (self.y1 > 0).double()
        dy1 = self.model.keep(self.e.relative(dy2 * slope))
        if not self.act.straight_through:
            dy1 = dy1 * (self.y2s != 0)  # F
        return self.up.backward(self.x, dy1, dy_for_weight=self.act.along_tokens(dy1))


def is_master(name):
    return name.endswith((".weight", ".weight_in", ".weight_out"))


class Model:
    """tensors: winnow's checkpoint."""

    def __init__(self, o, tensors, replicas, seed=1):
        self.o, self.replicas = o, replicas
        self.e = arithmetic.Errors(replicas, seed)
        self.narrow = o.dtype == "bfloat16"
        self.p = {n: torch.from_numpy(t).double().expand(replicas, *t.shape).clone() for n, t in tensors.items() if is_master(n)}
        self.linears, self.passes, self.update = [], 0, 0
        self.blocks = []
        for i in range(o.layers):
            name = f"model.layers.{i}"
            attention, mlp = Attention(self, name), Mlp(self, name)
            self.blocks.append((Norm(self, name + ".input_layernorm"), attention, Norm(self, name + ".post_attention_layernorm"), mlp))
        self.norm = Norm(self, "model.norm")
        self.table = "model.embed_tokens.weight"
        self.head = None if o.tie_embeddings else self.linear("lm_head")
        frozen = {layer.name + ".weight" for layer in self.linears if layer.s.kind == "adapter"}
        self.g = {n: torch.zeros_like(t) for n, t in self.p.items() if n not in frozen}
        self.optimizer = Optimizer(o, self)

    def linear(self, name):
        s = options.structure_of(self.o, name)
        kind = {"lowrank": Factored, "adapter": Factored, "in24": InputSparse}.get(s.kind, Linear)
        self.linears.append(kind(self, name, len(self.linears), s))
        return self.linears[-1]

    def keep(self, x):
        """x as a tensor that is written: bfloat16's numbers where the run keeps no more."""
        return arithmetic.bfloat16(x) if self.narrow else x

    def weight(self, name):
        """A parameter as layers read it."""
        return self.keep(self.p[name])

    def take_over(self, tensors, which):
        """The state after self.update updates in some replicas (a slice) from winnow's checkpoint of that update."""
        for name in self.p:
            self.p[name][which] = torch.from_numpy(tensors[name]).double()
        for name in self.g:
            self.optimizer.take_over(name, tensors, which)
        for part in [*self.linears, *(mlp.act for _, _, _, mlp in self.blocks)]:
            part.take_over(tensors, which)
        self.prepare()

    def prepare(self):
        for layer in self.linears:
            layer.prepare(self.update)

    def unbiased(self, x, axis, method, number, product):
        """x pruned by MVUE with the draws of a layer's product in this training pass."""
        stream = philox.MVUE + 8 * number + product
        draws = lambda n: philox.uniforms(self.o.seed, stream, self.passes, n)  # noqa: E731
        return self.e.relative(sparse.mvue(x, axis, method, draws), 2)

    def head_forward(self, x):
        table = self.weight(self.table)
        return self.keep(self.e.product(x, table.mT)) if self.head is None else self.head.forward(x)

    def head_backward(self, x, dy):
        if self.head is not None:
            return self.head.backward(x, dy)
        self.g[self.table] = self.e.relative(self.g[self.table] + self.e.product(dy.mT, x))
        return self.keep(self.e.product(dy, self.weight(self.table)))

    def embed_gradient(self, tokens, d):
        g = torch.zeros_like(self.g[self.table]).index_add_(1, tokens, d)
        squares = torch.zeros_like(g).index_add_(1, tokens, d * d)
        times = torch.bincount(tokens, minlength=g.shape[1]).view(1, -1, 1)
        self.g[self.table] = self.e.relative(self.g[self.table] + self.e.absolute(g, torch.sqrt(times / 2 * squares)))

    def loss_and_gradients(self, tokens, targets, labels):
        """Adds the gradients of sum(loss)/labels; returns sum(loss) [replicas]."""
        x = self.weight(self.table)[:, tokens]
        for norm1, attention, norm2, mlp in self.blocks:
            x = attention.forward(norm1.forward(x), x)
            x = mlp.forward(norm2.forward(x), x)
        last = self.norm.forward(x)
        logits = self.head_forward(last)
        lse = logits.logsumexp(2, keepdim=True)
        picked = targets.view(1, -1, 1).expand(self.replicas, -1, 1)
        loss = self.e.relative(self.e.relative(lse, 4) - logits.gather(2, picked)).sum((1, 2))
        dlogits = torch.exp(logits - lse)
        dlogits.scatter_add_(2, picked, torch.full_like(picked, -1.0, dtype=torch.float64))
        dlogits = self.keep(self.e.relative(dlogits / labels, 8))
        d = self.norm.backward(self.head_backward(last, dlogits))
        for norm1, attention, norm2, mlp in reversed(self.blocks):
            d = norm2.backward(mlp.backward(d), d)
            d = norm1.backward(attention.backward(d), d)
        self.embed_gradient(tokens, d)
        self.passes += 1
        return loss

    def train(self, batches):
        """One update from grad_accum batches of (tokens, targets): (loss, gradient norm, learning rate) before it."""
        labels = sum(t.numel() for _, t in batches)
        for name in self.g:
            self.g[name].zero_()
        loss = sum(self.loss_and_gradients(*batch, labels) for batch in batches) / labels
        norm = torch.stack([g.square().flatten(1).sum(1) for g in self.g.values()]).sum(0).sqrt()
        clip = torch.ones_like(norm)
        if self.o.clip_norm > 0:
            clip = torch.where(norm > self.o.clip_norm, self.o.clip_norm / (norm + 1e-6), clip)
        for layer in self.linears:
            decay = layer.masked_decay()
            if decay is not None:
                self.g[layer.name + ".weight"] += decay / clip.view(-1, 1, 1)
        lr = schedules.rate(self.o, self.update)
        before = self.optimizer.exact_steps
        self.optimizer.update(self.update, lr, clip)
        if self.optimizer.exact_steps > before:
            for layer in self.linears:
                if isinstance(layer, Factored):
                    layer.rebased()
        self.update += 1
        self.prepare()
        return loss, norm, lr
