#!/usr/bin/env python3
"""Times one case of M-FAC in PyTorch, as ../src/bin/mfac.rs does in Lisse: python mfac.py CASE REPETITIONS THREADS. Prints JSON as peer_case.py does.

    mfac_step           a whole step on eight leaves of 125,000: gradient in, window, product, parameters
    mfac_precondition   the window and the product alone
    authors_step        the step with the coefficients as the authors' package computes them without its CUDA kernels; that package
                        (ista-daslab-optimizers 1.1) does not run on the processor: PyTorch has no LU without pivots there, so the factor comes from
                        Cholesky
    read                a plain sum over as much memory as one pass reads

The first two solve the small system by one Cholesky factor, which is the fastest way that PyTorch has.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from side_by_side import peak_mib, time_case  # noqa: E402

WINDOW, LEAVES, LEAF = 32, 8, 125_000
RATE, DAMPING = 1e-3, 1e-4


class Window:
    """The newest gradients as the rows of one matrix, and their inner products in f64."""

    def __init__(self, torch, authors):
        self.torch, self.authors, self.last = torch, authors, 0
        self.rows = torch.randn(WINDOW, LEAVES * LEAF)
        self.gram = (self.rows @ self.rows.T).double()

    def precondition(self, g):
        self.rows[self.last] = g
        dots = self.rows @ g
        self.gram[self.last] = dots.double()
        self.gram[:, self.last] = dots.double()
        p = self.recursive(g, dots) if self.authors else self.push_through()
        self.last = (self.last + 1) % WINDOW
        return p

    def push_through(self):
        torch = self.torch
        factor = torch.linalg.cholesky(self.gram + WINDOW * DAMPING * torch.eye(WINDOW, dtype=torch.float64))
        unit = torch.zeros(WINDOW, 1, dtype=torch.float64)
        unit[self.last] = WINDOW
        return torch.cholesky_solve(unit, factor)[:, 0].float() @ self.rows

    def recursive(self, g, dots):
        torch = self.torch
        root = torch.linalg.cholesky(self.gram / DAMPING + WINDOW * torch.eye(WINDOW, dtype=torch.float64))
        denominators = torch.diagonal(root) ** 2
        upper = (root * torch.diagonal(root)).T
        factors = -upper.T / denominators
        coefficients = torch.eye(WINDOW, dtype=torch.float64) / DAMPING
        for i in range(1, WINDOW):
            coefficients[i, :i] = factors[i, :i] @ coefficients[:i, :i]
        y = dots.double() / DAMPING
        for i in range(1, WINDOW):
            y[i:].sub_(upper[i - 1, i:], alpha=(y[i - 1] / denominators[i - 1]).item())
        weights = (y / denominators) @ coefficients
        return g / DAMPING - weights.float() @ self.rows


def work(torch, case):
    torch.manual_seed(0)
    if case == "read":
        values = torch.ones(WINDOW * LEAVES * LEAF)
        return lambda: values.sum()
    window = Window(torch, case == "authors_step")
    if case == "mfac_precondition":
        g = torch.randn(LEAVES * LEAF)
        return lambda: window.precondition(g)
    params = [torch.randn(250, LEAF // 250) for _ in range(LEAVES)]
    grads = [torch.randn(250, LEAF // 250) for _ in range(LEAVES)]

    def step():
        p = window.precondition(torch.cat([g.reshape(-1) for g in grads]))
        for x, part in zip(params, p.split(LEAF)):
            x.add_(part.view_as(x), alpha=-RATE)

    return step


def main():
    case, repetitions, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    import torch

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    base = peak_mib()
    time_case(case, work(torch, case), repetitions, base)


main()
