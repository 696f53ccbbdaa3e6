# SPDX-License-Identifier: MIT
"""Numbers. Every tensor here has a first dimension of replicas: replica 0 is computed in float64 as the formulas say; the
others carry, at every place where float32 code rounds, a random error of the size such a rounding has at most. How far
their losses stray from replica 0's is how far float32 may stray (docs/parity.md derives the sizes).

Also the narrow formats: bfloat16 and the two of FP8, which are part of the methods and apply to every replica."""
import math
import random

import torch

UNIT = 2.0**-24  # unit roundoff of float32
POOL = 1 << 22

E4M3 = (448.0, 3, -6)  # largest, bits of the mantissa, least exponent
E5M2 = (57344.0, 2, -14)


def bfloat16(x):
    return x.float().bfloat16().double()


def float8(x, form, errors):
    """(fp8(s x), s) with one s = largest/amax for each replica's tensor."""
    largest, mantissa, least = form
    amax = x.abs().flatten(1).amax(1)
    scale = torch.where(amax > 0, (largest / amax).float().double(), torch.ones_like(amax))
    scale = scale.view(-1, *[1] * (x.ndim - 1))
    y = errors.relative(x * scale)
    exponent = torch.frexp(y).exponent - 1
    quantum = torch.ldexp(torch.ones_like(y), exponent.clamp(min=least) - mantissa)
    return (torch.round(y / quantum) * quantum).clamp(-largest, largest), scale


class Errors:
    """Roundings of float32, for replicas 1, 2, ..."""

    def __init__(self, replicas, seed):
        self.replicas = replicas
        generator = torch.Generator().manual_seed(seed)
        self.pool = UNIT * (2 * torch.rand(POOL, generator=generator, dtype=torch.float64) - 1)
        self.random = random.Random(seed)
        self.constants = {}

    def draw(self, like):
        """Numbers uniform in +-UNIT, of the shape of like[1:]."""
        shape = (self.replicas - 1, *like.shape[1:])
        count = math.prod(shape)
        if count > POOL:
            raise ValueError(f"{count} errors at once")
        begin = self.random.randrange(POOL - count + 1)
        return self.pool[begin : begin + count].view(shape)

    def relative(self, x, roundings=1):
        """In place: x (1 + sqrt(roundings) e). The sum of n independent roundings is sqrt(n) times as wide as one."""
        if self.replicas > 1:
            x[1:] *= 1 + math.sqrt(roundings) * self.draw(x)
        return x

    def absolute(self, x, size):
        """In place: x + size e, size a tensor that broadcasts to x."""
        if self.replicas > 1:
            x[1:] += size[1:] * self.draw(x)
        return x

    def constant(self, name, dims):
        """1 + e that stays the same all run: a coefficient that was rounded once. Broadcasts over `dims` more dimensions."""
        if name not in self.constants:
            value = torch.ones(self.replicas, dtype=torch.float64)
            self.constants[name] = self.relative(value)
        return self.constants[name].view(-1, *[1] * dims)

    def summed(self, total, squares, n):
        """In place: a sum of n terms, added up one by one. squares: the sum of their squares. Rounding j errs by e s_j with
        s_j the partial sum; for terms of random signs the squares of s_j add up to n/2 squares, for terms alike to n/3
        total^2."""
        return self.absolute(total, torch.sqrt(n / 2 * squares + n / 3 * total * total))

    def product(self, a, b):
        """a b over the last two dimensions. The squares of the n terms of an element are taken as
        |row of a|^2 |column of b|^2 / n, their mean over all pairings."""
        c = a @ b
        if self.replicas == 1:
            return c
        n = a.shape[-1]
        norms = (a[1:] * a[1:]).sum(-1, keepdim=True) * (b[1:] * b[1:]).sum(-2, keepdim=True)
        c[1:] += torch.sqrt(norms / 2 + n / 3 * c[1:] * c[1:]) * self.draw(c)
        return c
