#!/usr/bin/env python3
"""Logistic regression of the shape of a9a (32561 x 123, fourteen one-hot fields) to a gradient of 1e-8 by scikit-learn's `newton-cholesky`:
python gns.py REPETITIONS THREADS. Prints JSON as peer_case.py does, and the iterations and the gradient reached. The same data as in gns.rs, from the
same hash."""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from side_by_side import peak_mib  # noqa: E402

ROWS = 32561
FIELDS = [5, 8, 5, 16, 5, 7, 14, 6, 5, 2, 2, 2, 5, 41]


def uniform(np, counter):
    """splitmix64 of a counter, as a number from 0 to below 1."""
    with np.errstate(over="ignore"):
        z = (counter + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) / 2.0**53


def data(np):
    rows = np.arange(ROWS, dtype=np.uint64)
    x = np.zeros((ROWS, sum(FIELDS)))
    logits = np.full(ROWS, -1.5)
    start = 0
    for field, size in enumerate(FIELDS):
        u = uniform(np, rows * np.uint64(16) + np.uint64(field))
        # Some values are common, most are rare.
        column = start + np.floor(size * u * u).astype(np.int64)
        x[np.arange(ROWS), column] = 1.0
        logits += np.sin(1.7 * column)
        start += size
    y = np.where(uniform(np, rows * np.uint64(16) + np.uint64(15)) < 1.0 / (1.0 + np.exp(-logits)), 1.0, -1.0)
    return x, y


def main():
    repetitions, threads = int(sys.argv[1]), sys.argv[2]
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = threads
    import statistics
    import time

    import numpy as np
    from sklearn.linear_model import LogisticRegression

    x, y = data(np)
    base = peak_mib()
    times = []
    for i in range(repetitions + 1):
        model = LogisticRegression(solver="newton-cholesky", C=1.0, tol=1e-8, fit_intercept=False, max_iter=100)
        start = time.perf_counter()
        model.fit(x, y)
        # The first one warms up.
        if i > 0:
            times.append(time.perf_counter() - start)
    w = model.coef_[0]
    s = 1.0 / (1.0 + np.exp(y * (x @ w)))
    gradient = -(x.T @ (s * y)) / ROWS + w / ROWS
    loss = np.logaddexp(0.0, -y * (x @ w)).mean() + 0.5 * (w @ w) / ROWS
    print(
        json.dumps(
            {
                "case": "gns_a9a",
                "seconds": statistics.median(times),
                "peak_mib": peak_mib() - base,
                "iterations": int(model.n_iter_[0]),
                "loss": loss,
                "gradient": float(np.linalg.norm(gradient)),
            }
        )
    )


main()
