"""The peer of `solve_pde state_255 REPETITIONS`: semismooth Newton for -Lap y + 10 max(0, y) = f in scipy, with the same mesh, right-hand side and
stopping rule. Prints the median seconds as JSON: `python benches/solve/pde.py state_255 REPETITIONS`."""

import json
import resource
import sys
import time

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

N, KAPPA = 255, 10.0


def main(case, repetitions):
    if case != "state_255":
        sys.exit(f"unknown case `{case}`")
    h = 1.0 / (N + 1)
    line = sp.diags([-1.0, 2.0, -1.0], [-1, 0, 1], shape=(N, N))
    eye = sp.identity(N)
    a = (sp.kron(eye, line) + sp.kron(line, eye)).tocsc()
    x = np.arange(1, N + 1) * h
    y = np.outer(np.sin(np.pi * x), np.sin(2 * np.pi * x)).ravel()
    right = h * h * (5 * np.pi**2 * y + KAPPA * np.maximum(0.0, y))

    def solve():
        z = np.zeros(N * N)
        for _ in range(60):
            r = a @ z + KAPPA * h * h * np.maximum(0.0, z) - right
            if np.linalg.norm(r) <= 1e-11 * np.linalg.norm(right):
                return z
            j = a + sp.diags(KAPPA * h * h * (z > 0))
            # A symmetric matrix: order and pivots as for Cholesky.
            factor = splu(
                j.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
            )
            z = z - factor.solve(r)
        raise RuntimeError("not converged")

    for _ in range(3):
        solve()
    seconds = []
    for _ in range(repetitions):
        clock = time.perf_counter()
        solve()
        seconds.append(time.perf_counter() - clock)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"case": case, "seconds": float(np.median(seconds)), "peak_mib": peak}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
