#!/usr/bin/env python3
"""Gradients through solutions beside JAXopt and Optimistix, f64 on the processor, at the same tolerances:

    python benches/solve/implicit.py            all cases, by turns, in fresh processes; builds solve_implicit; makes a virtual environment outside the repository
    python benches/solve/implicit.py PEER CASE  one peer on one case, as JSON

A case is the validation loss and its gradient with respect to the logarithms of all penalties: see solve_implicit.rs. The first call counts tracing and
compilation. Each peer runs its best of several linear solvers: ridge by a Cholesky factor (the adjoint system by Cholesky too, or by CG), softmax by its
quasi-Newton method and CG."""

import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

CLASSES, ROWS = 10, 1000
CASES = ["ridge_100", "ridge_1000", "softmax_100", "softmax_1000"]
PEERS = ["jaxopt_cholesky", "jaxopt_cg", "optimistix"]
MEMORY = [100, 200, 400, 800]


def uniform(np, start, count):
    """splitmix64 of a counter, as numbers from -1 to below 1."""
    with np.errstate(over="ignore"):
        counter = np.uint64(start) + np.arange(count, dtype=np.uint64)
        z = (counter + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) / 2.0**52 - 1.0


def ridge_data(np, d):
    matrix = lambda r, c, start: uniform(np, start, r * c).reshape(r, c)
    rows = 2 * d
    x, valid_x, truth = matrix(rows, d, 0), matrix(rows, d, 1 << 30), matrix(d, 1, 1 << 40)[:, 0]
    return x, x @ truth + matrix(rows, 1, 1 << 41)[:, 0], valid_x, valid_x @ truth + matrix(rows, 1, 1 << 42)[:, 0]


def softmax_data(np, features):
    matrix = lambda r, c, start: uniform(np, start, r * c).reshape(r, c)
    truth = matrix(features, CLASSES, 1 << 40)

    def part(start):
        x = matrix(ROWS, features, start)
        labels = (x @ truth + matrix(ROWS, CLASSES, start + (1 << 31))).argmax(1)
        return x, np.eye(CLASSES)[labels]

    return *part(0), *part(1 << 30)


def peer(name, case):
    """The loss of a case as a function of logarithms and data, where to differentiate it, and the data, which must not be constants that the compiler could
    compute with beforehand."""
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp
    import numpy as np

    kind, size = case.rsplit("_", 1)
    d = int(size)
    if kind == "ridge":
        data = tuple(map(jnp.asarray, ridge_data(np, d)))
        n = 2 * d

        def condition(w, t, x, y):
            return x.T @ (x @ w) / n - x.T @ y / n + w * jnp.exp(t)

        def direct(t, x, y):
            gram = x.T @ x / n + jnp.diag(jnp.exp(t))
            return jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(gram), x.T @ y / n)

        if name == "optimistix":
            import lineax as lx

            # A linear problem: its own solver with implicit derivatives, which keeps the factor.
            def solution(t, x, y):
                gram = x.T @ x / n + jnp.diag(jnp.exp(t))
                operator = lx.MatrixLinearOperator(gram, lx.positive_semidefinite_tag)
                return lx.linear_solve(operator, x.T @ y / n, lx.Cholesky()).value

        else:
            from functools import partial

            from jaxopt import linear_solve
            from jaxopt.implicit_diff import custom_root

            if name == "jaxopt_cholesky":
                linear = linear_solve.solve_cholesky
            else:
                linear = partial(linear_solve.solve_cg, tol=1e-10)

            def solver(init, t, x, y):
                return direct(t, x, y)

            wrapped = custom_root(condition, solve=linear)(solver)
            solution = lambda t, x, y: wrapped(None, t, x, y)

        def loss(t, data):
            x, y, valid_x, valid_y = data
            w = solution(t, x, y)
            return 0.5 * jnp.mean((valid_x @ w - valid_y) ** 2)

        return loss, jnp.zeros(d), data

    features = d // CLASSES
    data = tuple(map(jnp.asarray, softmax_data(np, features)))

    def entropy(w, x, y):
        return -jnp.mean(jnp.sum(jax.nn.log_softmax(x @ w, axis=1) * y, axis=1))

    def inner(w, args):
        t, x, y = args
        return entropy(w, x, y) + 0.5 * jnp.sum(w**2 * jnp.exp(t)[:, None])

    start = jnp.zeros((features, CLASSES))
    if name == "optimistix":
        import lineax as lx
        import optimistix as optx

        quasi = optx.BFGS(rtol=1e-8, atol=1e-8) if d <= 100 else optx.LBFGS(rtol=1e-8, atol=1e-8)
        adjoint = optx.ImplicitAdjoint(lx.CG(rtol=1e-8, atol=1e-8))

        def solution(args):
            return optx.minimise(inner, quasi, start, args=args, adjoint=adjoint, max_steps=10_000, tags=frozenset({lx.positive_semidefinite_tag})).value

    else:
        from functools import partial

        import jaxopt
        from jaxopt import linear_solve

        if name == "jaxopt_cholesky":
            return None
        lbfgs = jaxopt.LBFGS(inner, tol=1e-8, maxiter=10_000, implicit_diff=True, implicit_diff_solve=partial(linear_solve.solve_cg, tol=1e-8))

        def solution(args):
            return lbfgs.run(start, args).params

    def loss(t, data):
        x, y, valid_x, valid_y = data
        return entropy(solution((t, x, y)), valid_x, valid_y)

    return loss, jnp.full(features, np.log(1e-2)), data


def measure(name, case):
    import statistics

    import jax

    from side_by_side import peak_mib

    built = peer(name, case)
    if built is None:
        return {}
    loss, at, data = built
    gradient = jax.jit(jax.value_and_grad(loss))
    clock = time.perf_counter()
    value, slope = jax.block_until_ready(gradient(at, data))
    first = time.perf_counter() - clock
    times = []
    for _ in range(15):
        clock = time.perf_counter()
        jax.block_until_ready(gradient(at, data))
        times.append(time.perf_counter() - clock)
    return {
        "case": case,
        "peer": name,
        "seconds": statistics.median(times),
        "first_seconds": first,
        "peak_mib": peak_mib(),
        "value": float(value),
        "gradient_square": float((slope**2).sum()),
    }


def compare(threads):
    import tempfile
    from pathlib import Path

    import side_by_side

    folder = Path(os.environ.get("LISSE_PEERS", Path(tempfile.gettempdir()) / "lisse-peers-solve"))
    packages = {"jax": "jax", "jaxopt": "jaxopt", "optimistix": "optimistix"}
    python = side_by_side.python_with(folder, packages)
    binary = os.environ.get("SOLVE_IMPLICIT") or side_by_side.build("solve_implicit")
    environment = {"RAYON_NUM_THREADS": threads, "OMP_NUM_THREADS": threads, "JAX_PLATFORMS": "cpu"}
    if threads == "1":
        environment["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    run = lambda command: side_by_side.output(command, **environment)
    print(f"{threads} threads; seconds of a gradient (of the first one), sum of its squares")
    for case in CASES:
        results = {}
        for _ in range(side_by_side.ROUNDS):
            for name in ["lisse", *PEERS]:
                command = [binary, case, "15"] if name == "lisse" else [python, __file__, name, case]
                found = run(command)
                if found and found["seconds"] < results.get(name, found)["seconds"] + 1e-12:
                    found["first_seconds"] = min(found["first_seconds"], results.get(name, found)["first_seconds"])
                    results[name] = found
        ours = results["lisse"]
        for name, r in results.items():
            ratio = f"{ours['seconds'] / r['seconds']:.2f} of its time, {ours['first_seconds'] / r['first_seconds']:.3f} with compilation"
            note = "" if name == "lisse" else ratio
            print(f"{case:14} {name:16} {r['seconds']:.2e} ({r['first_seconds']:.2e})  {r['gradient_square']:.10e}  {r['peak_mib']:.0f} MiB  {note}")
    for way in ["implicit", "unrolled"]:
        peaks = [run([binary, f"memory_{way}_{n}", "1"])["peak_mib"] for n in MEMORY]
        print(f"peak MiB, {way}, {MEMORY} inner iterations: {[round(p) for p in peaks]}")


def main():
    if len(sys.argv) == 3:
        print(json.dumps(measure(*sys.argv[1:])))
    else:
        for threads in (sys.argv[1:2] or ["1", "2"]):
            compare(threads)


if __name__ == "__main__":
    main()
