"""Reference values for tests/linalg.rs, tests/sparse.rs and tests/fft.rs, from numpy and scipy.

Run in this folder: python linalg.py > linalg.json
"""

import json

import numpy as np
import scipy.linalg

random = np.random.default_rng(7)
square = random.normal(size=(4, 4))
tall = random.normal(size=(5, 3))
wide = tall.T.copy()
symmetric = square + square.T
definite = square @ square.T + np.eye(4)
columns = random.normal(size=(4, 2))
deficient = np.outer([1.0, 2.0, 3.0], [1.0, -1.0, 0.5, 2.0])
cube = random.normal(size=(3, 4, 5))
cube_im = random.normal(size=(3, 4, 5))


def positive_diagonal(q, r):
    signs = np.sign(np.diag(r))
    return q * signs, r * signs[:, None]


def largest_positive(u, vt=None):
    signs = np.sign(u[np.abs(u).argmax(0), np.arange(u.shape[1])])
    return (u * signs) if vt is None else (u * signs, vt * signs[:, None])


q, r = positive_diagonal(*np.linalg.qr(tall))
q_wide, r_wide = positive_diagonal(*np.linalg.qr(wide))
u, s, vt = np.linalg.svd(tall, full_matrices=False)
u, vt = largest_positive(u, vt)
w, v = np.linalg.eigh(symmetric)
sign, log = np.linalg.slogdet(square)
full = np.fft.fftn(cube + 1j * cube_im, axes=(0, 2))
inverse = np.fft.ifftn(cube + 1j * cube_im)
half = np.fft.rfftn(cube, axes=(2, 1))
odd = np.fft.rfft(cube, axis=2)
back = np.fft.irfftn(cube + 1j * cube_im, s=(3, 8), axes=(0, 2))

values = {
    "square": square, "tall": tall, "wide": wide, "symmetric": symmetric, "definite": definite,
    "columns": columns, "deficient": deficient, "cube": cube, "cube_im": cube_im,
    "solve": np.linalg.solve(square, columns), "inverse": np.linalg.inv(square),
    "det": np.linalg.det(square), "slogdet_sign": sign, "slogdet_log": log,
    "cholesky": np.linalg.cholesky(definite),
    "triangular": scipy.linalg.solve_triangular(definite, columns, lower=True),
    "triangular_upper": scipy.linalg.solve_triangular(definite, columns, lower=False),
    "q": q, "r": r, "q_wide": q_wide, "r_wide": r_wide,
    "u": u, "s": s, "vt": vt,
    "eigenvalues": w, "eigenvectors": largest_positive(v),
    "lstsq_tall": np.linalg.lstsq(tall, np.vstack([columns, [[1.0, -1.0]]]), rcond=None)[0],
    "lstsq_wide": np.linalg.lstsq(wide, columns[:3], rcond=None)[0],
    "pinv": np.linalg.pinv(deficient),
    "expm": scipy.linalg.expm(3.0 * square),
    "fft_re": full.real, "fft_im": full.imag, "ifft_re": inverse.real, "ifft_im": inverse.imag,
    "rfft_re": half.real, "rfft_im": half.imag, "rfft_odd_re": odd.real, "rfft_odd_im": odd.imag,
    "irfft": back,
}
print(json.dumps({k: {"shape": np.shape(x), "values": np.ravel(x).tolist()} for k, x in values.items()}, indent=0))
