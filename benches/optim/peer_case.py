"""Times one case in its peer, as ../src/bin/optim.rs does in Lisse: python peer_case.py CASE REPETITIONS THREADS"""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from side_by_side import peak_mib, time_case  # noqa: E402


def step(make):
    torch.manual_seed(0)
    params = [torch.randn(500, 500, requires_grad=True) for _ in range(20)]
    for p in params:
        p.grad = torch.randn(500, 500)
    return make(params).step


def mlp():
    torch.manual_seed(0)
    x, y = torch.randn(128, 784), torch.arange(128) % 10
    shapes = [(784, 256), (256, 256), (256, 10)]
    params = [(torch.randn(a, b) / a**0.5).requires_grad_() for a, b in shapes]

    def loss():
        return F.cross_entropy(torch.relu(torch.relu(x @ params[0]) @ params[1]) @ params[2], y)

    return params, loss


def momentum_step():
    params, loss = mlp()
    optimizer = torch.optim.SGD(params, lr=1e-3, momentum=0.9, fused=True)

    def work():
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return work


def sam_step():
    from pytorch_optimizer import SAM

    params, loss = mlp()
    optimizer = SAM(params, torch.optim.SGD, lr=1e-3, momentum=0.9, rho=0.05)

    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    def work():
        closure()
        optimizer.step(closure)

    return work


def work(case):
    if case == "sgd_5m":
        return step(lambda p: torch.optim.SGD(p, lr=1e-3, fused=True))
    if case == "momentum_5m":
        return step(lambda p: torch.optim.SGD(p, lr=1e-3, momentum=0.9, fused=True))
    if case == "adam_5m":
        return step(lambda p: torch.optim.Adam(p, lr=1e-3, fused=True))
    if case == "adamw_5m":
        return step(lambda p: torch.optim.AdamW(p, lr=1e-3, weight_decay=0.01, fused=True))
    if case == "mlp_momentum_step":
        return momentum_step()
    if case == "mlp_sam_step":
        return sam_step()
    raise SystemExit(f"peer_case.py: unknown case {case}")


def main():
    case, repetitions, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(threads)
    base = peak_mib()
    time_case(case, work(case), repetitions, base)


main()
