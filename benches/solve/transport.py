#!/usr/bin/env python3
"""Transport beside POT and ott-jax, one command: builds the benchmark, makes a virtual environment outside the repository, prints a table of ratios.

    benches/solve/transport.py [--cases emd_1000,...] [--repetitions 5] [--venv DIR]

`transport.py case CASE PEER REPETITIONS THREADS` is what it runs for a peer: prints JSON with median seconds and the marginal error reached.

The same problems as in ../src/bin/solve_transport.rs, from the same hash: squared distances of two clouds in the unit square, masses that differ. Sinkhorn stops when
|T 1 - a|_1 <= 1e-6: the peers run the number of iterations, in steps of 10, after which their error is below that, found beforehand and not timed, without looking at the error in between. L-BFGS of
POT stops by its own rule with the tolerance that brings it nearest to the same error."""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from side_by_side import build, by_turns, output, peak_mib, python_with  # noqa: E402

EPSILON, GAMMA, K, ERROR = 0.01, 10.0, 4, 1e-6
# case: peers, bound on Lisse / peer
CASES = {
    "emd_200": (["pot"], 1.5),
    "emd_1000": (["pot"], 1.5),
    "sinkhorn_200": (["pot_log", "pot", "ott"], 0.7),
    "sinkhorn_1000": (["pot_log", "pot", "ott"], 0.7),
    "quadratic_200": (["pot"], 0.5),
    "quadratic_1000": (["pot"], 0.5),
    "quadratic_dual_200": (["pot"], 0.5),
    "quadratic_dual_1000": (["pot"], 0.5),
    "sparse_200": (["pot"], 0.5),
    "sparse_1000": (["pot"], 0.5),
    "sparse_dual_200": (["pot"], 0.5),
    "sparse_dual_1000": (["pot"], 0.5),
}


def uniform(np, start, count):
    """splitmix64 of counters, as numbers from 0 to below 1."""
    counter = np.arange(start, start + count, dtype=np.uint64)
    with np.errstate(over="ignore"):
        z = (counter + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) / 2.0**53


def problem(np, n):
    x, y = uniform(np, 0, 2 * n).reshape(n, 2), uniform(np, 10_000, 2 * n).reshape(n, 2)
    a, b = 0.5 + uniform(np, 20_000, n), 0.5 + uniform(np, 30_000, n)
    return a / a.sum(), b / b.sum(), ((x[:, None] - y[None]) ** 2).sum(-1)


def error_of(np, plan, a, b):
    plan = np.asarray(plan)
    return max(float(abs(plan.sum(1) - a).sum()), float(abs(plan.sum(0) - b).sum()))


def fewest(run, error):
    """The fewest iterations, in steps of 10, after which the error is small enough."""
    count = 10
    while error(run(count)) > ERROR:
        count *= 2
        if count > 200_000:
            raise SystemExit("transport.py: the peer does not reach the error")
    low, high = count // 2, count
    while high - low > 10:
        middle = (low + high) // 20 * 10
        low, high = (low, middle) if error(run(middle)) <= ERROR else (middle, high)
    return high


def work(method, peer, n):
    import numpy as np

    a, b, cost = problem(np, n)
    if peer == "ott":
        import jax

        jax.config.update("jax_enable_x64", True)
        from ott.geometry import geometry
        from ott.problems.linear import linear_problem
        from ott.solvers.linear import sinkhorn

        geom = geometry.Geometry(cost_matrix=jax.numpy.asarray(cost), epsilon=EPSILON)
        prob = linear_problem.LinearProblem(geom, jax.numpy.asarray(a), jax.numpy.asarray(b))
        # Its own rule: the same norm of the same margin, looked at every ten iterations.
        solver = jax.jit(sinkhorn.Sinkhorn(threshold=ERROR, norm_error=1, inner_iterations=10, max_iterations=200_000))

        def run():
            return solver(prob).f.block_until_ready()

        return run, lambda: error_of(np, solver(prob).matrix, a, b)
    import warnings

    import ot

    warnings.simplefilter("ignore")
    if method == "emd":
        return lambda: ot.emd(a, b, cost, numItermax=10_000_000), lambda: error_of(np, ot.emd(a, b, cost, numItermax=10_000_000), a, b)
    if method == "sinkhorn":
        kind = "sinkhorn_log" if peer == "pot_log" else "sinkhorn"

        def sink(count):
            return ot.sinkhorn(a, b, cost, EPSILON, method=kind, numItermax=count, stopThr=0.0, warn=False)

        count = fewest(sink, lambda plan: error_of(np, plan, a, b))
        return lambda: sink(count), lambda: error_of(np, sink(count), a, b)
    from ot import smooth

    function = smooth.smooth_ot_dual if method.endswith("_dual") else smooth.smooth_ot_semi_dual
    options = {"reg_type": "l2"} if method.startswith("quadratic") else {"reg_type": "sparsity_constrained", "max_nz": K}

    def solve(stop):
        # Its plans of the semi-dual come with exact columns, like ours.
        return function(a, b, cost, reg=GAMMA, stopThr=stop, numItermax=5000, **options)

    stops = [10.0**-p for p in range(7, 16)]
    best = next((stop for stop in stops if error_of(np, solve(stop), a, b) <= ERROR), 1e-9)
    return lambda: solve(best), lambda: error_of(np, solve(best), a, b)


def case(name, peer, repetitions, threads):
    os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'} intra_op_parallelism_threads={threads}"
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(threads)
    import statistics
    import time

    method, _, size = name.rpartition("_")
    # POT prints shapes in some versions.
    with open(os.devnull, "w") as nowhere:
        out, sys.stdout = sys.stdout, nowhere
        run, error = work(method, peer, int(size))
        base, times = peak_mib(), []
        for i in range(repetitions + 1):
            start = time.perf_counter()
            run()
            if i > 0:
                times.append(time.perf_counter() - start)
        reached = error()
        sys.stdout = out
    print(json.dumps({"case": name, "seconds": statistics.median(times), "peak_mib": peak_mib() - base, "error": reached}))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--venv", type=Path, default=Path(tempfile.gettempdir()) / "lisse-peers-solve")
    parser.add_argument("--binary", type=Path, help="a benchmark that is built already")
    options = parser.parse_args()
    packages = {"numpy": "numpy", "scipy": "scipy", "ot": "POT", "ott": "ott-jax"}
    python = python_with(options.venv, packages)
    binary = options.binary or build("solve_transport")
    print(f"{'case':<20} {'peer':<8} {'threads':>7} {'Lisse':>12} {'peer':>12} {'ratio':>6} {'bound':>6}  peer's error")
    for name in options.cases.split(","):
        peers, bound = CASES[name]
        for peer in peers:
            for threads in ("1", "2"):
                theirs = [python, __file__, "case", name, peer, str(options.repetitions), threads]
                ours, other = by_turns([binary, name, str(options.repetitions)], theirs, threads)
                reached = output(theirs[:-2] + ["1", threads])["error"]
                ratio = ours["seconds"] / other["seconds"]
                mark = "" if ratio <= bound else "  misses"
                print(
                    f"{name:<20} {peer:<8} {threads:>7} {ours['seconds'] * 1e3:>9.3f} ms {other['seconds'] * 1e3:>9.3f} ms "
                    f"{ratio:>6.2f} {bound:>6}  {reached:.1e}{mark}",
                    flush=True,
                )


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] == "case":
        case(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    else:
        main()
