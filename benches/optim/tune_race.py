#!/usr/bin/env python3
"""Finds the learning rates of recipes/training-race.toml: every optimizer on every task at seven rates, a factor of about three apart, on another seed
than the race's. Prints, for each task, the rates and what each reached, and the chosen ones as the arms of the recipe.

    python benches/optim/tune_race.py LISSE_BINARY [OPTIMIZER ...]

Digits have wrong labels: their rate is the one with the best accuracy on held-out data; the other two tasks take the lowest training loss.
"""

import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

TASKS = ["digits", "text", "softmax"]
EVALUATIONS = {"digits": 600, "text": 300, "softmax": 600}
STEPS = [0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0]


def rule(name, **keys):
    def value(v):
        if isinstance(v, dict):
            return "{ " + ", ".join(f"{k} = {value(w)}" for k, w in v.items()) + " }"
        return json.dumps(v)

    return lambda rate: value({"name": name, "learning_rate": rate, **keys})


def sgd(rate):
    return rule("sgd", momentum=0.9)(rate)


# optimizer: its table by rate, further tables, the middle of the grid for each task
ARMS = {
    "sgd": (rule("sgd"), {}, (0.3, 1.0, 1.0)),
    "momentum": (sgd, {}, (0.05, 0.1, 0.3)),
    "momentum-linear": (sgd, {"schedule": '{ name = "linear-to-zero" }'}, (0.05, 0.1, 0.3)),
    "momentum-ema": (sgd, {"average": '{ decay = 0.98 }'}, (0.05, 0.1, 0.3)),
    "adam": (rule("adam"), {}, (0.003, 0.003, 0.03)),
    "adamw": (rule("adamw"), {}, (0.003, 0.003, 0.03)),
    "rmsprop": (rule("rmsprop"), {}, (0.001, 0.001, 0.01)),
    "adagrad": (rule("adagrad"), {}, (0.02, 0.02, 0.1)),
    "adagrad-norm": (rule("adagrad-norm"), {}, (2.0, 3.0, 3.0)),
    "lion": (rule("lion"), {}, (0.0003, 0.0003, 0.003)),
    "adafactor": (rule("adafactor"), {}, (0.03, 0.03, 0.1)),
    "sign-sgd": (rule("sign-sgd", momentum=0.9), {}, (0.0003, 0.0003, 0.003)),
    "normalized-sgd": (rule("normalized-sgd", momentum=0.9), {}, (0.03, 0.03, 0.1)),
    "schedule-free": (rule("schedule-free"), {}, (0.3, 1.0, 1.0)),
    "csmd": (
        rule("csmd", penalty={"name": "l1", "weight": 1e-5}),
        {"schedule": '{ name = "last-iterate", steps = { name = "linear-decay", eta = 1.0 } }'},
        (0.3, 1.0, 1.0),
    ),
    "clipped-momentum": (sgd, {"coordinate_clip": "{ fraction = 0.1 }"}, (0.1, 0.3, 0.3)),
    "clipped-adam": (rule("adam"), {"coordinate_clip": "{ fraction = 0.1 }"}, (0.003, 0.003, 0.03)),
    "sam": (sgd, {"sam": "{ rho = 0.05 }"}, (0.05, 0.1, 0.3)),
    "asam": (sgd, {"sam": "{ rho = 0.5, adaptive = true }"}, (0.05, 0.1, 0.3)),
    "smoothed": (sgd, {"smooth": "{ sigma = 0.005, samples = 1 }"}, (0.05, 0.1, 0.3)),
    "gradient-penalty": (sgd, {"gradient_penalty": "{ lambda = 0.01 }"}, (0.05, 0.1, 0.3)),
    "mfac": (rule("mfac", window=32, momentum=0.9, damping=1e-3), {}, (0.0003, 0.0003, 0.003)),
    "mfac-sam": (rule("mfac", window=32, momentum=0.9, damping=1e-3), {"sam": "{ rho = 0.05 }"}, (0.0003, 0.0003, 0.003)),
    "curvature-penalty": (sgd, {"curvature_penalty": "{ lambda = 0.01 }"}, (0.05, 0.1, 0.3)),
    "sso": (rule("sso", inner_steps=5), {}, (1.0, 1.0, 3.0)),
}


def arm(name, label, rates):
    table, others, _ = ARMS[name]
    lines = []
    for task, rate in zip(TASKS, rates):
        lines.append(f"[arms.{label}.{task}]\noptimizer = {table(rate)}")
        lines += [f"{key} = {value}" for key, value in others.items()]
    return "\n".join(lines) + "\n"


def budget():
    tasks = "".join(f"[budget.{task}]\nevaluations = {n}\nseconds = 0.0\n" for task, n in EVALUATIONS.items())
    return "[budget]\nproducts = 1\n" + tasks


def run(binary, text):
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "tune.toml"
        recipe.write_text(text)
        command = [binary, "run", str(recipe), "--seed", "1", "--out", str(Path(folder) / "run")]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(done.stderr)
        return json.loads((Path(folder) / "run" / "summary.json").read_text())["figures"]


def merit(task, figures, label):
    value = figures.get(f"{label}.{task}.{'accuracy' if task == 'digits' else 'loss'}")
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return -math.inf
    return value if task == "digits" else -value


def main():
    binary, names = sys.argv[1], sys.argv[2:] or list(ARMS)
    chosen = ""
    for name in names:
        middles = ARMS[name][2]
        grid = {f"r{i}": [float(f"{step * middle:.3g}") for middle in middles] for i, step in enumerate(STEPS)}
        text = 'kind = "training-race"\n' + budget() + "".join(arm(name, label, rates) for label, rates in grid.items())
        figures = run(binary, text)
        best = []
        for k, task in enumerate(TASKS):
            reached = {rates[k]: merit(task, figures, label) for label, rates in grid.items()}
            rate = max(reached, key=reached.get)
            best.append(rate)
            edge = "  AT THE EDGE" if rate in (min(reached), max(reached)) else ""
            print(f"{name:<18} {task:<8}", " ".join(f"{r:g}: {abs(m):.4f}" for r, m in reached.items()), f"-> {rate:g}{edge}", flush=True)
        chosen += f"\n# {name}\n" + arm(name, name, best)
    print(chosen)


main()
