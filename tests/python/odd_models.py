"""Writes small ONNX models that are odd in one way each into a folder: odd_models.py FOLDER

All take `x` (n, 3, 8, 8) and see the mean of each picture; weights are constants.
"""

import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def save(name, nodes, weights, outputs, input_type=TensorProto.FLOAT, input_name="x"):
    inputs = [helper.make_tensor_value_info(input_name, input_type, ["n", 3, 8, 8])]
    weights = [numpy_helper.from_array(value, key) for key, value in weights.items()]
    graph = helper.make_graph(nodes, name, inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / f"{name}.onnx")


def output(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


node = helper.make_node
folder = pathlib.Path(sys.argv[1])
pool = [node("GlobalAveragePool", ["x"], ["pool"]), node("Flatten", ["pool"], ["flat"])]

# Fails on a picture whose first channel is brighter than 200: the index leaves the table.
save(
    "fails_on_bright",
    [
        *pool,
        node("Cast", ["flat"], ["levels"], to=TensorProto.INT64),
        node("Gather", ["table", "levels"], ["features"]),
    ],
    {"table": np.arange(200, dtype=np.float32)},
    [output("features", ["n", 3])],
)
# The batch dimension is gone from the output of one picture.
save(
    "squeezed",
    [*pool, node("Gemm", ["flat", "w"], ["wide"]), node("Squeeze", ["wide"], ["features"])],
    {"w": np.arange(48, dtype=np.float32).reshape(3, 16)},
    [output("features", None)],
)
# One number for the whole batch.
save("scalar", [node("ReduceMean", ["x"], ["features"], keepdims=0)], {}, [output("features", [])])
# Computes in 16 bits throughout, under names that surgery wants for itself.
save(
    "half",
    [
        node("GlobalAveragePool", ["image"], ["pool"]),
        node("Flatten", ["pool"], ["logits"]),
        node("Gemm", ["logits", "w"], ["probabilities"]),
    ],
    {"w": np.ones((3, 2), np.float16)},
    [output("probabilities", ["n", 2], TensorProto.FLOAT16)],
    TensorProto.FLOAT16,
    "image",
)
# Positions that nobody pools.
save("positions", [node("Relu", ["x"], ["features"])], {}, [output("features", ["n", 3, 8, 8])])
# Not a number on dark pictures: the root of less than nothing.
save(
    "not_a_number",
    [*pool, node("Sub", ["flat", "hundred"], ["shifted"]), node("Sqrt", ["shifted"], ["features"])],
    {"hundred": np.array([100, -1, -1], np.float32)},
    [output("features", ["n", 3])],
)
# An operator that no runtime has.
save("unknown_operator", [node("Clairvoyance", ["x"], ["features"])], {}, [output("features", ["n", 3, 8, 8])])
