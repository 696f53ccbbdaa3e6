# SPDX-License-Identifier: MIT
"""Numbers. Every tensor here has a first dimension of replicas. Two of them, 0 and 1, are computed in float64 as the formulas
say; the others carry, at every place where float32 code rounds, a random error of the size such a rounding has at most. How
far their losses stray is how far float32 may stray (docs/parity.md derives the sizes).

Also the narrow formats: bfloat16 and the two of FP8, which are part of the methods and apply to every replica."""
import math
import random

import torch

UNIT = 2.0**-24  # unit roundoff of float32
POOL = 1 << 22
EXACT = 2  # replicas without errors

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
    """Roundings of float32, for replicas EXACT, EXACT + 1, ..."""

    def __init__(self, replicas, seed):
        self.replicas = replicas
        generator = torch.Generator().manual_seed(seed)
        self.pool = UNIT * (2 * torch.rand(POOL, generator=generator, dtype=torch.float64) - 1)
        self.random = random.Random(seed)
        self.constants = {}

    def draw(self, like):
        """Numbers uniform in +-UNIT, of the shape of like[EXACT:]."""
        shape = (self.replicas - EXACT, *like.shape[1:])
        count = math.prod(shape)
        if count > POOL:
            raise ValueError(f"{count} errors at once")
        begin = self.random.randrange(POOL - count + 1)
        return self.pool[begin : begin + count].view(shape)

    def relative(self, x, roundings=1):
        """In place: x (1 + sqrt(roundings) e). The sum of n independent roundings is sqrt(n) times as wide as one."""
        if self.replicas > EXACT:
            wrong = x[EXACT:]
            wrong.addcmul_(wrong, self.draw(x), value=math.sqrt(roundings))
        return x

    def absolute(self, x, size):
        """In place: x + size e, size a tensor that broadcasts to x."""
        if self.replicas > EXACT:
            x[EXACT:] += size[EXACT:] * self.draw(x)
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
        if self.replicas <= EXACT:
            return c
        n, wrong = a.shape[-1], c[EXACT:]
        rows, columns = torch.linalg.vecdot(a[EXACT:], a[EXACT:]), torch.linalg.vecdot(b[EXACT:], b[EXACT:], dim=-2)
        half = rows.unsqueeze(-1) * columns.unsqueeze(-2) / 2
        wrong += half.addcmul_(wrong, wrong, value=n / 3).sqrt_().mul_(self.draw(c))
        return c
