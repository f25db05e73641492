"""Times one case in PyTorch, as ../src/bin/array.rs does in Lisse: python torch_case.py CASE REPETITIONS THREADS"""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from side_by_side import peak_mib, time_case  # noqa: E402


def mlp():
    return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))


class ConvNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 32, 3, padding=1)
        self.second = nn.Conv2d(32, 64, 3, padding=1)
        self.hidden = nn.Linear(64 * 7 * 7, 128)
        self.head = nn.Linear(128, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.first(x)), 2)
        x = F.max_pool2d(F.relu(self.second(x)), 2)
        return self.head(F.relu(self.hidden(x.flatten(1))))


class Block(nn.Module):
    def __init__(self, width=256, heads=8):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x):
        b, t, w = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(b, t, 3, self.heads, w // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.projection(mixed.transpose(1, 2).reshape(b, t, w))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


def adam_step(module, loss):
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)

    def step():
        optimizer.zero_grad()
        loss(module).backward()
        optimizer.step()

    return step


def work(case):
    torch.manual_seed(0)
    if case == "mlp_adam_step":
        x, y = torch.randn(128, 784), torch.arange(128) % 10
        return adam_step(mlp(), lambda m: F.cross_entropy(m(x), y))
    if case == "mlp_gradient":
        x, y, m = torch.randn(128, 784), torch.arange(128) % 10, mlp()
        params = list(m.parameters())
        return lambda: torch.autograd.grad(F.cross_entropy(m(x), y), params)
    if case == "mlp_hessian_vector_product":
        x, y, m = torch.randn(128, 784), torch.arange(128) % 10, mlp()
        params = list(m.parameters())
        v = [torch.randn_like(p) for p in params]

        def product():
            gradient = torch.autograd.grad(F.cross_entropy(m(x), y), params, create_graph=True)
            along = sum((g * d).sum() for g, d in zip(gradient, v))
            return torch.autograd.grad(along, params)

        return product
    if case == "conv_adam_step":
        x, y = torch.randn(64, 1, 28, 28), torch.arange(64) % 10
        return adam_step(ConvNet(), lambda m: F.cross_entropy(m(x), y))
    if case == "gpt_block_adam_step":
        x = torch.randn(8, 128, 256)
        return adam_step(Block(), lambda m: m(x).square().mean())
    if case == "chain_1000_matmul_tanh_32":
        w, start = torch.randn(32, 32) * 0.2, torch.randn(32, 32)

        def chain():
            h = start
            for _ in range(1000):
                h = torch.tanh(h @ w)

        return torch.no_grad()(chain)
    if case == "exp_mul_add_4m":
        x = torch.randn(1 << 22)
        return lambda: x.exp() * x + x
    if case == "sum_4m":
        x = torch.randn(1 << 22)
        return lambda: x.sum()
    raise SystemExit(f"torch_case.py: unknown case {case}")


def main():
    case, repetitions, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(threads)
    base = peak_mib()
    time_case(case, work(case), repetitions, base)


main()
