# SPDX-License-Identifier: MIT
"""Exact steps of W = M N^T and GaLore's projectors (src/sparse/lowrank.h). M [replicas, out, r], N [replicas, in, r]."""
import torch


def exact_step(m, n, dm, dn, lr, symmetric, gauge):
    """The best approximation of rank r of W - lr T; see docs/methods/loro.md for the letters. lr: [replicas, 1, 1]."""
    r = m.shape[-1]
    u, rm = torch.linalg.qr(m)
    v, rn = torch.linalg.qr(n)
    zb = torch.linalg.solve_triangular(rn, dm, upper=True, left=False)  # dM R_N^-1
    za = torch.linalg.solve_triangular(rm.mT, dn.mT, upper=False)  # R_M^-T dN^T
    k0 = za @ v
    if symmetric:
        k0 = (k0 + u.mT @ zb) / 2
    y2, y1 = zb, za.mT
    for _ in range(2):
        y2 = y2 - u @ (u.mT @ y2)
        y1 = y1 - v @ (v.mT @ y1)
    q2, k2 = torch.linalg.qr(y2)
    q1, k1 = torch.linalg.qr(y1)
    core = torch.cat([torch.cat([rm @ rn.mT - lr * k0, -lr * k1.mT], 2), torch.cat([-lr * k2, torch.zeros_like(k0)], 2)], 1)
    p, s, qt = torch.linalg.svd(core)
    root = s[:, None, :r].sqrt()
    new_m = torch.cat([u, q2], 2) @ p[:, :, :r] * root
    new_n = torch.cat([v, q1], 2) @ qt[:, :r].mT * root
    if gauge:
        a, _, bt = torch.linalg.svd(new_m.mT @ m + new_n.mT @ n)
        return new_m @ (a @ bt), new_n @ (a @ bt)
    away = (new_m * m).sum(1, keepdim=True) + (new_n * n).sum(1, keepdim=True) < 0  # the signs an SVD leaves open
    return torch.where(away, -new_m, new_m), torch.where(away, -new_n, new_n)


def best_factors(w, r):
    """M = U_r S_r^(1/2), N = V_r S_r^(1/2)."""
    u, s, vt = torch.linalg.svd(w, full_matrices=False)
    root = s[..., None, :r].sqrt()
    return u[..., :r] * root, vt[..., :r, :].mT * root


def signed(vectors):
    """Columns whose largest entry is positive."""
    at = vectors.abs().argmax(-2, keepdim=True)
    return vectors * vectors.gather(-2, at).sign()


def projector(g, left, r):
    """P [replicas, m, r] of the left singular vectors, or [replicas, r, n] of the right ones."""
    u, _, vt = torch.linalg.svd(g, full_matrices=False)
    return signed(u[..., :r]) if left else signed(vt[..., :r, :].mT).mT
