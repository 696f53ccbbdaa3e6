# SPDX-License-Identifier: MIT
"""Learning rates of update u, counted from 0: src/optim/optim.h and docs/methods/optimizers.md."""
import math


def half_cosine(p):
    return (1 + math.cos(math.pi * p)) / 2


def restart(o, u, zero):
    total, warmup, every, climb, least, adjust = o.steps, o.warmup, o.restart_every, o.restart_warmup, o.min_lr_ratio, o.lr_adjust

    def rising(q, top):
        low = 0.1 * top if zero else 1e-6
        return q / climb * (top - low) + low

    if u < warmup:
        base = 0 if zero else least
        rise = half_cosine(-adjust / max(1, total - warmup)) - base
        q, n = u % every, u // every
        if q < climb and n != 0 and not o.restart_after_warmup:
            return rising(q, n * every / max(1, warmup) * rise + base)
        return u / warmup * rise + base
    k = u + adjust
    q, n = k % every, k // every

    def cosine(at):
        return least + (1 - least) * half_cosine((at - warmup) / (total - warmup))

    if q < climb and (n != 0 if zero else n > 0):
        return rising(q, cosine(n * every))
    return cosine(k)


def rate(o, u):
    if o.schedule in ("cosine_restart", "cosine_restart_zero"):
        return o.lr * restart(o, u, o.schedule.endswith("zero"))
    if o.schedule == "cosine_cycle":
        length = o.restart_every or o.steps
        at = u % length
        if at < o.warmup:
            return o.lr * (1e-7 if u != at and at < 2 else at / o.warmup)
        return o.lr * (o.min_lr_ratio + (1 - o.min_lr_ratio) * half_cosine((at - o.warmup) / (length - o.warmup)))
    if o.schedule == "linear_zero":
        return o.lr * (u / o.warmup if u < o.warmup else max(0.0, (o.steps - u) / max(1, o.steps - o.warmup)))
    if u < o.warmup:
        return o.lr * (u + 1) / (o.warmup + 1)
    p = min(1.0, (u - o.warmup) / max(1, o.steps - 1 - o.warmup))
    if o.schedule == "cosine":
        return o.lr * (o.min_lr_ratio + (1 - o.min_lr_ratio) * half_cosine(p))
    if o.schedule == "linear":
        return o.lr * (1 - (1 - o.min_lr_ratio) * p)
    if o.schedule == "wsd":
        decay = o.wsd_decay or o.steps // 5
        return o.lr * (1 - (1 - o.min_lr_ratio) * min(1.0, max(0.0, (u - (o.steps - decay) + 1) / decay)))
    assert o.schedule == "constant"
    return o.lr
