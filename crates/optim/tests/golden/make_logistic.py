"""Minimal value of L2-penalised logistic regression on the standardised breast-cancer data, by scipy's trust-exact Newton method.

Run: python make_logistic.py > logistic_minimum.txt   (needs numpy, scipy, scikit-learn)
"""

import numpy as np
from scipy.optimize import minimize
from sklearn.datasets import load_breast_cancer

L2 = 1e-3
x, y = load_breast_cancer(return_X_y=True)
x = (x - x.mean(0)) / x.std(0)
z = np.hstack([x, np.ones((len(x), 1))]) * (2.0 * y - 1.0)[:, None]


def value(w):
    return np.logaddexp(0.0, -(z @ w)).mean() + 0.5 * L2 * w @ w


def gradient(w):
    s = 1.0 / (1.0 + np.exp(z @ w))
    return -(z * s[:, None]).mean(0) + L2 * w


def hessian(w):
    s = 1.0 / (1.0 + np.exp(z @ w))
    return (z * (s * (1 - s))[:, None]).T @ z / len(z) + L2 * np.eye(z.shape[1])


best = minimize(value, np.zeros(z.shape[1]), jac=gradient, hess=hessian, method="trust-exact", options={"gtol": 1e-13})
print(repr(float(best.fun)))
