"""Writes the data sets of this folder from the copies that scikit-learn ships, and the text from Python's own help.

    python -m venv .venv && .venv/bin/pip install scikit-learn
    .venv/bin/python data/make.py

Numbers are written in the shortest form that reads back to the same f64, so running it
again changes nothing. The text is that of the Python that runs this: 3.11 wrote the file here.
"""

import csv
import gzip
import io
import pathlib
import pydoc_data.topics
import re

from sklearn import datasets

HERE = pathlib.Path(__file__).parent


def column_name(name):
    """`sepal length (cm)` becomes `sepal_length_cm`."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def number(value):
    """The shortest text of a number; whole numbers without a point."""
    value = float(value)
    return str(int(value)) if value.is_integer() else repr(value)


def table_text(header, rows):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def classification(name, bunch):
    header = [column_name(feature) for feature in bunch.feature_names] + ["class"]
    rows = [
        [number(value) for value in inputs] + [bunch.target_names[label]]
        for inputs, label in zip(bunch.data, bunch.target)
    ]
    (HERE / f"{name}.csv").write_text(table_text(header, rows))


def diabetes():
    bunch = datasets.load_diabetes(scaled=False)
    header = list(bunch.feature_names) + ["progression"]
    rows = [
        [number(value) for value in inputs] + [number(target)]
        for inputs, target in zip(bunch.data, bunch.target)
    ]
    (HERE / "diabetes.csv").write_text(table_text(header, rows))


def digits():
    bunch = datasets.load_digits()
    header = [f"pixel_{row}_{column}" for row in range(8) for column in range(8)] + ["class"]
    rows = [
        [int(value) for value in pixels] + [int(label)]
        for pixels, label in zip(bunch.data, bunch.target)
    ]
    # A fixed time stamp keeps the compressed file the same on every run.
    packed = gzip.compress(table_text(header, rows).encode(), compresslevel=9, mtime=0)
    (HERE / "digits.csv.gz").write_bytes(packed)


def topics():
    """Python's help topics in the order of their names, an empty line between two."""
    topics = pydoc_data.topics.topics
    text = "\n\n".join(topics[name].strip("\n") for name in sorted(topics)) + "\n"
    packed = gzip.compress(text.encode(), compresslevel=9, mtime=0)
    (HERE / "topics.txt.gz").write_bytes(packed)


if __name__ == "__main__":
    classification("iris", datasets.load_iris())
    classification("wine", datasets.load_wine())
    classification("breast_cancer", datasets.load_breast_cancer())
    diabetes()
    digits()
    topics()
