#!/usr/bin/env python3
"""One iteration of SOBA in JAX, compiled, in a scan of 200 as `benchmark_bilevel` runs it: python bilevel.py CASE REPETITIONS THREADS [float32]. Prints
JSON as peer_case.py does. The same problems, sizes, steps and arithmetic (float64) as in solve_bilevel.rs; batches are random blocks of 64
neighbours there too. With `float32` it is JAX's default precision.

    python bilevel.py --compare BINARY

runs both by turns and prints the ratios."""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from side_by_side import by_turns, peak_mib  # noqa: E402

ITERATIONS = 200
BATCH = 64
BOUND = 0.7


def uniform(np, counter):
    """splitmix64 of a counter, as a number from 0 to below 1."""
    with np.errstate(over="ignore"):
        z = (counter + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) / 2.0**53


def examples(np, first, rows, width, classes):
    counter = np.arange(first * width, (first + rows) * width, dtype=np.uint64)
    x = ((uniform(np, counter) - 0.5) * (2.0 / width**0.5)).reshape(rows, width)
    sums = np.stack([x[:, c::classes].sum(1) for c in range(classes)], 1)
    best = sums.argmax(1)
    return x, (2.0 * best - 1.0 if classes == 2 else best)


def build(case, jax, jnp, np, dtype):
    if case == "regularization":
        train, validation = examples(np, 0, 49990, 22, 2), examples(np, 49990, 91701, 22, 2)
        a, l = jnp.asarray(train[0], dtype), jnp.asarray(train[1], dtype)
        b, m = jnp.asarray(validation[0], dtype), jnp.asarray(validation[1], dtype)
        loss = lambda z: jnp.logaddexp(0.0, -z)

        def inner(y, x, start):
            rows, labels = jax.lax.dynamic_slice(a, (start, 0), (BATCH, 22)), jax.lax.dynamic_slice(l, (start,), (BATCH,))
            return loss(rows @ y * labels).mean() + 0.5 * (jnp.exp(x) * y**2).sum()

        def outer(y, x, start):
            rows, labels = jax.lax.dynamic_slice(b, (start, 0), (BATCH, 22)), jax.lax.dynamic_slice(m, (start,), (BATCH,))
            return loss(rows @ y * labels).mean()

        return inner, outer, (49990, 91701), (22, 22)
    train, validation = examples(np, 0, 20000, 785, 10), examples(np, 20000, 5000, 785, 10)
    a, l = jnp.asarray(train[0], dtype), jnp.asarray(np.eye(10)[train[1]], dtype)
    b, m = jnp.asarray(validation[0], dtype), jnp.asarray(np.eye(10)[validation[1]], dtype)

    def losses(rows, targets, y):
        z = rows @ y.reshape(785, 10)
        return jax.nn.logsumexp(z, axis=1) - (z * targets).sum(1)

    def inner(y, x, start):
        rows, targets = jax.lax.dynamic_slice(a, (start, 0), (BATCH, 785)), jax.lax.dynamic_slice(l, (start, 0), (BATCH, 10))
        weights = jax.nn.sigmoid(jax.lax.dynamic_slice(x, (start,), (BATCH,)))
        return (weights * losses(rows, targets, y)).mean() + 0.1 * (y**2).sum()

    def outer(y, x, start):
        rows, targets = jax.lax.dynamic_slice(b, (start, 0), (BATCH, 785)), jax.lax.dynamic_slice(m, (start, 0), (BATCH, 10))
        return losses(rows, targets, y).mean()

    return inner, outer, (20000, 5000), (20000, 7850)


def run(case, repetitions, threads, single):
    os.environ["XLA_FLAGS"] = "" if threads != "1" else "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    import jax
    import jax.numpy as jnp
    import numpy as np
    import statistics
    import time

    if not single:
        jax.config.update("jax_enable_x64", True)
    dtype = jnp.float32 if single else jnp.float64
    inner, outer, counts, (dx, dy) = build(case, jax, jnp, np, dtype)
    base = peak_mib()

    def step(carry, key):
        x, y, z = carry
        keys = jax.random.split(key)
        start = [jax.random.randint(k, (), 0, n // BATCH) * BATCH for k, n in zip(keys, counts)]
        grad_y = lambda x, y: jax.grad(inner, argnums=0)(y, x, start[1])
        # One linearization gives gradient, Hessian product and mixed product, as in benchmark_bilevel.
        gradient, pullback = jax.vjp(lambda y, x: grad_y(x, y), y, x)
        hessian, cross = pullback(z)
        upper_y, upper_x = jax.grad(outer, argnums=(0, 1))(y, x, start[0])
        return (x - 0.01 * (upper_x - cross), y - 0.01 * gradient, z - 0.01 * (hessian - upper_y)), None

    many = jax.jit(lambda carry, key: jax.lax.scan(step, carry, jax.random.split(key, ITERATIONS))[0])
    carry = (jnp.zeros(dx, dtype), jnp.zeros(dy, dtype), jnp.zeros(dy, dtype))
    times = []
    for i in range(repetitions + 3):
        key = jax.random.PRNGKey(i)
        begin = time.perf_counter()
        carry = jax.block_until_ready(many(carry, key))
        if i >= 3:
            times.append((time.perf_counter() - begin) / ITERATIONS)
    assert all(bool(jnp.isfinite(c).all()) for c in carry)
    print(json.dumps({"case": case, "seconds": statistics.median(times), "peak_mib": peak_mib() - base}))


def compare(binary):
    print(f"{'case':<16} {'threads':>7} {'Lisse':>10} {'JAX f64':>10} {'ratio':>6} {'bound':>6} {'JAX f32':>10} {'ratio':>6}")
    worst = 0.0
    for case in ("regularization", "cleaning"):
        for threads in ("1", "2"):
            ours, theirs = by_turns([binary, case, "21"], [sys.executable, __file__, case, "21", threads], threads)
            _, single = by_turns([binary, case, "5"], [sys.executable, __file__, case, "21", threads, "float32"], threads)
            a, b, c = (r["seconds"] * 1e6 for r in (ours, theirs, single))
            worst = max(worst, a / b)
            print(f"{case:<16} {threads:>7} {a:>7.1f} us {b:>7.1f} us {a / b:>6.2f} {BOUND:>6} {c:>7.1f} us {a / c:>6.2f}")
    sys.exit(0 if worst <= BOUND else 1)


if __name__ == "__main__":
    if sys.argv[1] == "--compare":
        compare(sys.argv[2])
    else:
        run(sys.argv[1], int(sys.argv[2]), sys.argv[3], len(sys.argv) > 4)
