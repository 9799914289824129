"""Gathers what the student learns from: gather.py VIEWS STORE TEACHER OUT

VIEWS is the folder the teacher embedded, STORE headstart's store of it, TEACHER the .onnx file. Writes
OUT/views.npy, OUT/features.npy and OUT/classifier.npz (pyarrow, onnx, pillow, numpy).
"""

import pathlib
import sys

import numpy as np
import onnx
import pyarrow.parquet as pq
from onnx import numpy_helper
from PIL import Image

views, store, teacher, out = map(pathlib.Path, sys.argv[1:])
rows = {}
for part in sorted((store / "embeddings").glob("part-*.parquet")):
    table = pq.read_table(part)
    values = table["embedding"].combine_chunks().flatten().to_numpy().reshape(len(table), -1)
    rows |= {digest.as_py(): row for digest, row in zip(table["digest"], values)}
samples = pq.read_table(store / "samples" / "whole.parquet", columns=["path", "digest"]).to_pylist()
pictures = np.empty((len(samples), 64, 64, 3), np.uint8)
features = np.empty((len(samples), len(next(iter(rows.values())))), np.float32)
for index, sample in enumerate(samples):
    pictures[index] = np.asarray(Image.open(views / sample["path"]).convert("RGB"))
    features[index] = rows[sample["digest"]]
graph = onnx.load(teacher).graph
weights = {it.name: numpy_helper.to_array(it) for it in graph.initializer}
gemm = next(it for it in reversed(graph.node) if it.op_type in ("Gemm", "MatMul"))
weight = weights[gemm.input[1]]
transposed = any(it.name == "transB" and it.i for it in gemm.attribute)
weight = weight if transposed else weight.T
bias = weights[gemm.input[2]] if len(gemm.input) > 2 else np.zeros(len(weight), np.float32)
np.save(out / "views.npy", pictures)
np.save(out / "features.npy", features)
np.savez(out / "classifier.npz", weight=weight.astype(np.float32), bias=bias.astype(np.float32))
print(f"{len(samples)} views, {features.shape[1]} features, {len(bias)} classes")
