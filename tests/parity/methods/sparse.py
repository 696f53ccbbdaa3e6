# SPDX-License-Identifier: MIT
"""2:4 operators on [replicas, r, c], c a multiple of 4: masks, the soft threshold and its scale, unbiased pruning, pruning
along tokens. Formulas: src/kernels/mask24.h, soft24.h, act24.h."""
import itertools

import torch

ROWS = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]  # 1100 1010 1001 0110 0101 0011
TILES = [t for t in itertools.product(range(6), repeat=4) if all(sum(j in ROWS[i] for i in t) == 2 for j in range(4))]
assert len(TILES) == 90


def groups(x):
    return x.unflatten(-1, (-1, 4))


def kept(a):
    """Of the last dimension's four, the two largest, the earlier one on a tie."""
    order = torch.sort(a, dim=-1, descending=True, stable=True).indices
    return torch.zeros_like(a, dtype=torch.bool).scatter_(-1, order[..., :2], True)


def row_mask(w):
    return kept(groups(w.abs())).flatten(-2)


def unpack(mask):
    """A mask as winnow keeps it, [r, c/4]: bit j of a byte, column j of the group."""
    return (torch.from_numpy(mask).unsqueeze(-1) >> torch.arange(4) & 1).bool().flatten(-2)


def tile_mask(w):
    """The mask of the 90 with the largest sum, in float32: the two of a row first, then (r0 + r1) + (r2 + r3)."""
    r, rows, columns = w.shape
    tiles = w.abs().float().view(r, rows // 4, 4, columns // 4, 4).transpose(2, 3)
    pairs = torch.stack([tiles[..., i] + tiles[..., j] for i, j in ROWS], dim=-1)  # [..., row, pattern]
    table = torch.tensor(TILES)
    row = [pairs[..., i, :][..., table[:, i]] for i in range(4)]
    best = ((row[0] + row[1]) + (row[2] + row[3])).argmax(-1)
    patterns = torch.tensor([[j in p for j in range(4)] for p in ROWS])
    masks = patterns[table]  # [90, row, column]
    return masks[best].transpose(2, 3).reshape(r, rows, columns)


def greedy_mask(w):
    """The 16 entries of a tile from the largest on, the earlier one on a tie; one stays while its row and its column have
    fewer than two."""
    r, rows, columns = w.shape
    tiles = w.abs().view(r, rows // 4, 4, columns // 4, 4).transpose(2, 3).flatten(3)
    order = torch.sort(tiles, dim=-1, descending=True, stable=True).indices
    stays = torch.zeros_like(tiles, dtype=torch.bool)
    in_row, in_column = torch.zeros_like(tiles[..., :4]), torch.zeros_like(tiles[..., :4])
    for k in range(16):
        at = order[..., k : k + 1]
        i, j = at // 4, at % 4
        free = (in_row.gather(-1, i) < 2) & (in_column.gather(-1, j) < 2)
        stays.scatter_(-1, at, free)
        in_row.scatter_add_(-1, i, free.double())
        in_column.scatter_add_(-1, j, free.double())
    return stays.unflatten(3, (4, 4)).transpose(2, 3).reshape(r, rows, columns)


MASKS = {"row": row_mask, "tile": tile_mask, "greedy": greedy_mask}


def soft(w):
    """sign(w) (|w| - tau) where kept, tau the second smallest magnitude of four."""
    a = groups(w.abs())
    tau = a.sort(dim=-1).values[..., 1:2]
    return torch.where(kept(a), groups(w.sign()) * (a - tau), torch.zeros_like(a)).flatten(-2)


def scale(w, keep_norm=False):
    """[replicas, 1, 1]: <W,S>/<S,S>, or |W|/|S|."""
    s = soft(w)
    ss = (s * s).flatten(1).sum(1)
    beta = torch.sqrt((w * w).flatten(1).sum(1) / ss).clamp(0.1, 10) if keep_norm else (w * s).flatten(1).sum(1) / ss
    return torch.where(ss < 1e-12, torch.ones_like(beta), beta).view(-1, 1, 1)


def mvue_exact(x, u):
    """x [..., 4], u [...]: systematic sampling with probabilities min(1, 2|x|/S); where one is capped, |x_j|/(sum of the
    others) for the others. i survives when [c_(i-1), c_i) holds u or u+1."""
    a = x.abs()
    total = a.sum(-1, keepdim=True)
    capped = 2 * a > total
    others = torch.where(capped, torch.zeros_like(a), a).sum(-1, keepdim=True)
    plain = 2 * a / total
    pi = torch.where(capped.any(-1, keepdim=True), torch.where(capped, torch.ones_like(a), a / others), plain)
    end = pi.cumsum(-1)
    end[..., 3] = 2  # whatever rounding said
    begin = torch.cat([torch.zeros_like(end[..., :1]), end[..., :3]], dim=-1)
    u = u.unsqueeze(-1)
    survives = ((begin <= u) & (u < end)) | ((begin <= u + 1) & (u + 1 < end))
    return torch.where(survives, x / pi, torch.zeros_like(x))


def first_beyond(lengths, v):
    """The index of the interval of the running sums that holds v."""
    return (lengths.cumsum(-1) <= v.unsqueeze(-1)).sum(-1, keepdim=True).clamp(max=3)


def mvue_approx(x, u, v):
    """i with probability |x_i|/S by u, then j with |x_j|/(S - |x_i|) by v; both over their probability to be in."""
    a = x.abs()
    total = a.sum(-1, keepdim=True)
    ratio = a / (total - a)
    of_others = (ratio.unsqueeze(-2) * (1 - torch.eye(4, dtype=a.dtype))).sum(-1)
    pi = a / total * (1 + of_others)
    i = first_beyond(a, u * total.squeeze(-1))
    rest = a.scatter(-1, i, 0.0)
    j = first_beyond(rest, v * rest.sum(-1))
    survives = torch.zeros_like(a, dtype=torch.bool).scatter_(-1, i, True).scatter_(-1, j, True)
    return torch.where(survives, x / pi, torch.zeros_like(x))


def mvue(x, axis, method, uniforms):
    """x [replicas, r, c] in groups of four along axis 0 (rows) or 1; uniforms(n): the first n of the draws. Groups with at
    most two non-zeros stay."""
    if axis == 0:
        four = x.unflatten(1, (-1, 4)).transpose(2, 3)  # [replicas, block, column, 4]: number block c + column
    else:
        four = groups(x)  # [replicas, row, group, 4]
    n = four.shape[1] * four.shape[2]
    shape = four.shape[1:3]
    if method == "exact":
        y = mvue_exact(four, torch.from_numpy(uniforms(n)).view(1, *shape))
    else:
        u = torch.from_numpy(uniforms(2 * n)).view(*shape, 2)
        y = mvue_approx(four, u[None, ..., 0], u[None, ..., 1])
    y = torch.where(((four != 0).sum(-1, keepdim=True) <= 2), four, y)
    return y.transpose(2, 3).flatten(1, 2) if axis == 0 else y.flatten(2)


def densest(zeros, count):
    """[replicas, c]: the `count` columns with the fewest zeros, the lower column on a tie."""
    order = torch.sort(zeros, dim=-1, stable=True).indices
    return torch.zeros_like(zeros, dtype=torch.bool).scatter_(-1, order[..., :count], True)


def prune_tokens(x, order, dense):
    """Two of each four rows order[4i .. 4i+3] of a column; the columns in dense [replicas, c] stay."""
    four = x[:, order].unflatten(1, (-1, 4)).transpose(2, 3)
    pruned = torch.where(kept(four.abs()), four, torch.zeros_like(four)).transpose(2, 3).flatten(1, 2)
    back = torch.empty_like(x)
    back[:, order] = pruned
    return torch.where(dense.unsqueeze(1), x, back)
