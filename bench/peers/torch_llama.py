# SPDX-License-Identifier: MIT
"""The model that `winnow bench train` measures, in PyTorch, and an update of it: what every program here times.

Llama without biases: RMSNorm, rotary attention, an MLP (relu2, relu, swiglu), a head tied to the embedding; AdamW with decay on matrices
only, gradients clipped to norm 1, float32 or autocast to bfloat16."""
import torch
import torch.nn.functional as F


def inner_width(mlp, hidden):
    """The MLP's width when nothing is said, as winnow train has it."""
    return (hidden * 8 // 3 + 31) // 32 * 32 if mlp == "swiglu" else 4 * hidden


def linear(n_in, out):
    return torch.nn.Linear(n_in, out, bias=False)


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


class Block(torch.nn.Module):
    def __init__(self, hidden, heads, inner, mlp):
        super().__init__()
        self.heads, self.mlp = heads, mlp
        self.first, self.second = torch.nn.RMSNorm(hidden), torch.nn.RMSNorm(hidden)
        self.q, self.k, self.v, self.o = (linear(hidden, hidden) for _ in range(4))
        self.up, self.down = linear(hidden, inner), linear(inner, hidden)
        if mlp == "swiglu":
            self.gate = linear(hidden, inner)

    def activated(self, x):
        up = self.up(x)
        if self.mlp == "swiglu":
            return F.silu(self.gate(x)) * up
        return F.relu(up) if self.mlp == "relu" else F.relu(up).square()

    def forward(self, x, cos, sin):
        b, t, c = x.shape
        h = self.first(x)
        q, k, v = (w(h).view(b, t, self.heads, -1).transpose(1, 2) for w in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(rotate(q, cos, sin), rotate(k, cos, sin), v, is_causal=True)
        x = x + self.o(y.transpose(1, 2).reshape(b, t, c))
        return x + self.down(self.activated(self.second(x)))


class Llama(torch.nn.Module):
    def __init__(self, hidden, layers, heads, inner, vocab, seq, mlp):
        super().__init__()
        self.embed = torch.nn.Embedding(vocab, hidden)
        self.blocks = torch.nn.ModuleList(Block(hidden, heads, inner or inner_width(mlp, hidden), mlp) for _ in range(layers))
        self.norm = torch.nn.RMSNorm(hidden)
        half = hidden // heads // 2
        angle = torch.outer(torch.arange(seq), 10000.0 ** (-torch.arange(half) / half))
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())

    def forward(self, tokens, targets):
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        return F.cross_entropy(F.linear(self.norm(x), self.embed.weight).flatten(0, 1).float(), targets.flatten())


class Trainer:
    def __init__(self, hidden, layers, heads, vocab, seq, batch, inner=0, mlp="relu2", bf16=False):
        torch.manual_seed(1)
        self.vocab, self.seq, self.batch, self.bf16 = vocab, seq, batch, bf16
        self.model = Llama(hidden, layers, heads, inner, vocab, seq, mlp)
        matrices = [p for p in self.model.parameters() if p.ndim > 1]
        rest = [p for p in self.model.parameters() if p.ndim < 2]
        groups = [{"params": matrices, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), fused=True)

    def parameters(self):
        return sum(p.numel() for p in self.model.parameters())

    def update(self, clock):
        """Seconds by that clock; drawing the tokens is not in them."""
        tokens = torch.randint(self.vocab, (self.batch, self.seq + 1))
        start = clock()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bf16):
            loss = self.model(tokens[:, :-1], tokens[:, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return clock() - start
