"""headstart-log-mel.onnx: statistics of log-mel features, a graph without weights: sounds.py FILE.

`features` (n, frames, 64) -> `row` (n, 384): for each bin its mean and the first three cosines over the sound's length
(how it rises, falls, and rises again), its standard deviation, and that of its differences from frame to frame.
"""

import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

N_COSINES, N_MELS = 4, 64


def constant(name, value):
    return numpy_helper.from_array(np.asarray(value), name)


def node(op, inputs, output, **attributes):
    return helper.make_node(op, inputs, [output], name=output, **attributes)


def deviation(x, name):
    return [
        node("ReduceMean", [x], f"{name}_mean", axes=[1], keepdims=1),
        node("Sub", [x, f"{name}_mean"], f"{name}_centred"),
        node("Mul", [f"{name}_centred", f"{name}_centred"], f"{name}_squares"),
        node("ReduceMean", [f"{name}_squares"], f"{name}_variance", axes=[1], keepdims=0),
        node("Sqrt", [f"{name}_variance"], name),
    ]


nodes = [
    node("Shape", ["features"], "shape"),
    node("Gather", ["shape", "one"], "n_frames", axis=0),
    node("Cast", ["n_frames"], "n_float", to=TensorProto.FLOAT),
    node("Range", ["zero", "n_frames", "one"], "frames"),
    node("Cast", ["frames"], "frames_float", to=TensorProto.FLOAT),
    node("Add", ["frames_float", "half"], "middles"),
    node("Div", ["middles", "n_float"], "places"),
    node("Mul", ["pitches", "places"], "angles"),
    node("Cos", ["angles"], "cosines"),
    node("Div", ["cosines", "n_float"], "basis"),
    node("MatMul", ["basis", "features"], "courses"),
    node("Reshape", ["courses", "flat"], "course"),
    *deviation("features", "std"),
    node("Slice", ["features", "first", "second", "axis"], "begin"),
    node("Slice", ["features", "first", "last", "axis"], "but_last"),
    # The first frame has none before it, and differs by nothing.
    node("Concat", ["begin", "but_last"], "before", axis=1),
    node("Sub", ["features", "before"], "steps"),
    *deviation("steps", "steps_std"),
    node("Concat", ["course", "std", "steps_std"], "row", axis=1),
]
constants = [
    constant("zero", np.int64(0)),
    constant("one", np.int64(1)),
    constant("half", np.float32(0.5)),
    constant("pitches", (np.pi * np.arange(N_COSINES)).astype(np.float32)[:, None]),
    constant("flat", np.array([0, N_COSINES * N_MELS])),
    constant("first", np.array([0])),
    constant("second", np.array([1])),
    constant("last", np.array([-1])),
    constant("axis", np.array([1])),
]
graph = helper.make_graph(
    nodes,
    "headstart-log-mel",
    [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", "frames", N_MELS])],
    [helper.make_tensor_value_info("row", TensorProto.FLOAT, ["N", (N_COSINES + 2) * N_MELS])],
    constants,
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="headstart")
onnx.checker.check_model(model, full_check=True)
onnx.save(model, sys.argv[1])
