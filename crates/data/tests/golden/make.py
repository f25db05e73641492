"""Writes the golden files of this folder with NumPy and PyArrow.

    python -m venv .venv && .venv/bin/pip install numpy pyarrow
    .venv/bin/python crates/data/tests/golden/make.py
"""

import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

HERE = pathlib.Path(__file__).parent

grid = np.arange(6).reshape(2, 3)
arrays = {
    "f64": grid / 4,
    "f32_fortran": np.asfortranarray(grid.astype(np.float32)),
    "f16": (grid / 2).astype(np.float16),
    "i64": grid - 3,
    "i32_big_endian": grid.astype(">i4"),
    "i8": (grid - 3).astype(np.int8),
    "u8": grid.astype(np.uint8),
    "u64": grid.astype(np.uint64),
    "bool": grid % 2 == 0,
    "scalar": np.float64(2.5),
    "empty": np.zeros((0, 3)),
    "fortran_3d": np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)),
}
np.save(HERE / "grid.npy", arrays["f64"])
np.save(HERE / "text.npy", np.array(["a", "bc"]))
np.save(HERE / "too_large.npy", np.array([2**63], dtype=np.uint64))
np.savez(HERE / "arrays.npz", **arrays)
np.savez_compressed(HERE / "compressed.npz", inputs=np.zeros((40, 5)), targets=np.arange(40))

table = pa.table(
    {
        "height": pa.array([1.5, None, 1.75], pa.float64()),
        "count": pa.array([3, 4, 5], pa.int32()),
        "gap": pa.array([None, 7, 8], pa.int64()),
        "name": pa.array(["ann", "bob", None], pa.string()),
        "member": pa.array([True, False, True], pa.bool_()),
        "weight": pa.array([0.5, 0.25, 1.0], pa.float32()),
    }
)
pq.write_table(table, HERE / "people.parquet", compression="snappy")
pq.write_table(table, HERE / "people_zstd.parquet", compression="zstd", row_group_size=2)
pq.write_table(pa.table({"tags": [[1, 2], [3]]}), HERE / "nested.parquet")
pq.write_table(table.slice(0, 0), HERE / "no_rows.parquet")
