# SPDX-License-Identifier: MIT
"""Linear layers by structure, forward and backward by hand. W is [replicas, out, in], activations [replicas, tokens, width];
the letters are those of docs/methods/."""
import torch

from . import arithmetic, philox, sparse
from .arithmetic import E4M3, E5M2


class Linear:
    """Dense, 2:4 by mask, S-STE: one weight w that the products read, whose gradient goes straight to the master."""

    def __init__(self, model, name, number, structure):
        self.model, self.name, self.number, self.s, self.o, self.e = model, name, number, structure, model.o, model.e
        self.mask = self.beta = None
        self.is_dense = False

    # -- what the products multiply by

    def prepare(self, step):
        master = self.model.weight(self.name + ".weight")
        self.is_dense = self.s.kind in ("dense", "in24") or (self.s.kind == "sparse24" and 0 < self.o.mask_dense_after <= step)
        if self.is_dense:
            self.w = master
        elif self.s.kind == "sste":
            self.w = self.threshold(master, "beta")
        else:
            frozen = 0 < self.o.mask_freeze_after <= step
            if self.mask is None or (step % self.o.mask_every == 0 and not frozen):
                self.mask = sparse.MASKS[self.s.method](master)
            self.w = master * self.mask

    def threshold(self, master, which):
        """beta S(W), beta chosen the first time."""
        if getattr(self, which) is None:
            setattr(self, which, sparse.scale(master, self.o.scale_norm))
        w = self.e.relative(getattr(self, which) * self.e.relative(sparse.soft(master)))
        return self.model.keep(w)

    def take_over(self, tensors, which):
        """Mask and scale in some replicas from winnow's."""
        if self.mask is not None:
            self.mask[which] = sparse.unpack(tensors[self.name + ".mask"])
        if self.beta is not None:
            self.beta[which] = float(tensors[self.name + ".scale"][0])

    # -- products

    def multiply(self, a, b, form):
        if not (self.o.fp8 and self.name != "lm_head"):
            return self.e.product(a, b)
        a, scale_a = arithmetic.float8(a, form, self.e)
        b, scale_b = arithmetic.float8(b, form, self.e)
        return self.e.relative(self.e.product(a, b) / (scale_a * scale_b))

    def pruned(self, dy, factor):
        if not self.s.mvue or (self.is_dense and self.s.kind == "sparse24"):
            return dy
        return self.model.unbiased(dy, 0, self.s.mvue, self.number, factor)

    def add_gradient(self, name, dy, x, factor=0):
        g = self.multiply(self.pruned(dy, factor).mT, x, E5M2)
        self.model.g[name] = self.e.relative(self.model.g[name] + g)

    def added(self, y, onto):
        """y rounded as a tensor that is written, after it was added to what was there."""
        return self.model.keep(y if onto is None else self.e.relative(onto + y))

    def forward(self, x, onto=None):
        return self.added(self.multiply(x, self.w.mT, E4M3), onto)

    def backward(self, x, dy, onto=None, x_for_weight=None, dy_for_weight=None):
        x_for_weight = x if x_for_weight is None else x_for_weight
        dy_for_weight = dy if dy_for_weight is None else dy_for_weight
        self.add_gradient(self.name + ".weight", dy_for_weight, x_for_weight)
        return self.added(self.multiply(dy, self.w, E5M2), onto)

    def masked_decay(self):
        if self.s.kind != "sparse24" or self.is_dense or self.o.mask_decay == 0:
            return None
        return self.o.mask_decay * torch.where(self.mask, 0.0, self.model.weight(self.name + ".weight"))


class InputSparse(Linear):
    """Y = X~ W^T with X~ two of each four features of X; dX = dY W, dW = T(dY)^T X."""

    def forward(self, x, onto=None):
        if self.s.method == "mvue":
            x = self.model.unbiased(x, 1, "exact", self.number, 2)
        else:
            if self.beta is None:
                self.beta = sparse.scale(x, self.o.scale_norm)
            x = self.e.relative(self.beta * self.e.relative(sparse.soft(x)))
        return super().forward(self.model.keep(x), onto)

    def take_over(self, tensors, which):
        if self.beta is not None:
            self.beta[which] = float(tensors[self.name + ".input_scale"][0])


class Factored(Linear):
    """y = share (x N) M^T, of an adapter besides x W^T with W frozen. M [out, r] is weight_out, N^T [r, in] weight_in; each
    may be beta S(.)."""

    def __init__(self, model, name, number, structure):
        super().__init__(model, name, number, structure)
        self.share = structure.alpha / structure.rank if structure.kind == "adapter" else 1.0
        self.beta_in = self.beta_out = None

    def prepare(self, step):
        m, n = (self.model.weight(f"{self.name}.weight_{side}") for side in ("out", "in"))
        self.m = self.threshold(m, "beta_out") if self.s.sparse_out else m
        self.n = self.threshold(n, "beta_in") if self.s.sparse_in else n
        self.frozen = self.model.weight(self.name + ".weight") if self.s.kind == "adapter" else None

    def take_over(self, tensors, which):
        for side in ("in", "out"):
            beta = getattr(self, "beta_" + side)
            if beta is not None:
                beta[which] = float(tensors[f"{self.name}.weight_{side}.scale"][0])

    def rebased(self):
        """After an exact step."""
        if self.o.scale_rule == "exact":
            self.beta_in = self.beta_out = None

    def inner(self, x):
        h = self.multiply(x, self.n.mT, E4M3)
        return self.model.keep(h if self.share == 1 else self.e.relative(self.share * h))

    def forward(self, x, onto=None):
        if self.frozen is not None:
            onto = self.e.relative(self.multiply(x, self.frozen.mT, E4M3) + (0 if onto is None else onto))
        return self.added(self.multiply(self.inner(x), self.m.mT, E4M3), onto)

    def backward(self, x, dy, onto=None, x_for_weight=None, dy_for_weight=None):
        x_for_weight = x if x_for_weight is None else x_for_weight
        self.add_gradient(self.name + ".weight_out", dy if dy_for_weight is None else dy_for_weight, self.inner(x), 0)
        dh = self.multiply(dy, self.m, E5M2)
        dh = self.model.keep(dh if self.share == 1 else self.e.relative(self.share * dh))
        self.add_gradient(self.name + ".weight_in", dh, x_for_weight, 1)
        if self.frozen is not None:
            onto = self.e.relative(self.multiply(dy, self.frozen, E5M2) + (0 if onto is None else onto))
        return self.added(self.multiply(dh, self.n, E5M2), onto)

    def masked_decay(self):
        return None


class Activation:
    """2:4 activations of an MLP without a gate (docs/methods/act24.md)."""

    def __init__(self, model, name, number, structure):
        self.model, self.name, self.number, self.s, self.o, self.e = model, name, number, structure, model.o, model.e
        self.scale = None
        self.scaled_at = -1

    def choose_scale(self, y2, down):
        self.scaled_at = self.model.update
        if self.s.method == "soft_weights":
            full, part = y2 @ down.w.mT, sparse.soft(y2) @ down.w.mT
            self.scale = ((full * part).flatten(1).sum(1) / part.square().flatten(1).sum(1)).view(-1, 1, 1)
            return
        rows = y2.shape[1]
        if self.s.method == "soft_dynamic" and rows > self.o.act_samples:
            y2 = y2[:, :: rows // self.o.act_samples][:, : self.o.act_samples]
        self.scale = sparse.scale(y2, self.o.scale_norm)

    def take_over(self, tensors, which):
        if self.scale is not None:
            self.scale[which] = float(tensors[self.name + ".scale"][0])

    def due(self):
        since = self.model.update - self.o.act_warmup
        dynamic = self.s.method == "soft_dynamic" and self.scaled_at != self.model.update and since % self.o.act_every == 0
        return self.scale is None or dynamic

    def forward(self, y2, down):
        """Y2s, or Y2 where this pass is dense."""
        self.sparse = self.s.kind == "act24" and self.model.update >= self.o.act_warmup
        self.zeros = (y2 == 0).sum(1)
        if not self.sparse:
            return y2
        if self.s.method == "naive":
            return torch.where(sparse.row_mask(y2), y2, torch.zeros_like(y2))
        if self.s.method == "mvue":
            return self.model.keep(self.model.unbiased(y2, 1, "exact", self.number, 7))
        if self.due():
            self.choose_scale(y2, down)
        return self.model.keep(self.e.relative(self.scale * self.e.relative(sparse.soft(y2))))

    def along_tokens(self, x):
        """T: two of each four tokens, but for the densest features."""
        if not (self.sparse and self.o.act_backward == "split"):
            return None
        sequences, length = self.o.batch_size, self.o.seq_len
        position = philox.permutation(self.o.seed, philox.TOKENS, length) if self.o.act_permute else range(length)
        order = torch.tensor([s * length + int(p) for s in range(sequences) for p in position])
        count = -int(-(self.o.act_dense * x.shape[2] - 1e-9) // 1)  # rounded up, but for the product's own rounding
        return sparse.prune_tokens(x, order, sparse.densest(self.zeros, count))

    @property
    def straight_through(self):
        return not self.sparse or self.o.act_backward == "dense"
