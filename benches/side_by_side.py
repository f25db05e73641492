"""What comparisons with peers share: the virtual environment, the build, running a case, peak memory."""

import json
import os
import statistics
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 3


def python_with(folder, packages):
    """The interpreter of a virtual environment that has `packages`: import name to what pip installs."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    for module, package in packages.items():
        if subprocess.run([python, "-c", f"import {module}"], capture_output=True).returncode != 0:
            print(f"installing {package} into {folder}", file=sys.stderr)
            subprocess.run([python, "-m", "pip", "install", "--quiet", package], check=True)
    return python


def build(name):
    """Builds the binary `name` of this folder for release, with AVX-512 where the processor has it; returns its path."""
    command = ["cargo", "build", "--release", "--package", "lisse-benches", "--bin", name, "--message-format", "json"]
    if "avx512f" in Path("/proc/cpuinfo").read_text():
        command += ["--features", "x86-v4"]
    messages = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    return next(
        m["executable"]
        for m in map(json.loads, messages.splitlines())
        if m.get("reason") == "compiler-artifact" and m.get("executable")
    )


def output(command, **variables):
    """What a command prints, as JSON."""
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables})
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} failed:\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout)


def by_turns(ours, theirs, threads):
    """The best of ROUNDS results of each of two commands, run by turns: smallest seconds, smallest memory."""
    results = [], []
    for _ in range(ROUNDS):
        results[0].append(output(ours, RAYON_NUM_THREADS=threads))
        results[1].append(output(theirs, OMP_NUM_THREADS=threads))
    return [{key: min(r[key] for r in list_) for key in ("seconds", "peak_mib")} for list_ in results]


def peak_mib():
    """The most memory this process held."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return float(line.split()[1]) / 1024
    return 0.0


def time_case(case, work, repetitions, base):
    """Prints median seconds of `work()` after a warm-up, and peak memory above `base`: what loading the libraries took is not the case's."""
    for _ in range(3):
        work()
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    print(json.dumps({"case": case, "seconds": statistics.median(times), "peak_mib": peak_mib() - base}))
