"""Writes palettes.csv and china.csv from the two photographs that scikit-learn ships.

    python -m venv .venv && .venv/bin/pip install scikit-learn pillow
    .venv/bin/python data/palettes.py

palettes.csv: 64 colours of each photograph, red, green and blue from 0 to 1, and the share of the pixels that each stands for (k-means of every
37th pixel). china.csv: every fifth pixel of china.jpg in both directions, as the number of its nearest colour.
"""

import pathlib

import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_sample_image

HERE = pathlib.Path(__file__).parent


def palette(name):
    image = load_sample_image(name) / 255.0
    pixels = image.reshape(-1, 3)[::37]
    means = KMeans(64, n_init=10, random_state=0).fit(pixels)
    order = np.lexsort(np.round(means.cluster_centers_, 3).T)
    share = np.bincount(means.labels_, minlength=64)[order] / len(pixels)
    return image, np.round(means.cluster_centers_[order], 4), share


def main():
    lines = ["photograph,red,green,blue,share"]
    for name in ["china", "flower"]:
        image, colours, share = palette(f"{name}.jpg")
        lines += [f"{name},{r:.4f},{g:.4f},{b:.4f},{s:.10g}" for (r, g, b), s in zip(colours, share)]
        if name == "china":
            small = image[::5, ::5]
            nearest = ((small[:, :, None] - colours) ** 2).sum(-1).argmin(-1)
            rows = [",".join(map(str, row)) for row in nearest]
            (HERE / "china.csv").write_text("\n".join(rows) + "\n")
    (HERE / "palettes.csv").write_text("\n".join(lines) + "\n")


main()
