"""Tiny models of sounds, made on the spot: sound_models.py FOLDER.

bands.onnx    takes 0.1 s at 16 kHz, `waveform` [N,1600]: how much of eight pitches there is
any.onnx      the same of any length, a row a frame, `audio` [N,1,S]
masked.onnx   takes a mask of samples beside them
loose.onnx    as any.onnx, and does not say of what shape its output is
nct.onnx      gives channels before frames, as a convolution does
random.onnx   takes features, and says so in no word: [N,40,100]
"""

import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

folder = pathlib.Path(sys.argv[1])
PITCHES = [200, 400, 800, 1200, 1600, 2400, 3200, 5000]
t = np.arange(160) / 16000
wave = [f(2 * np.pi * it * t) * np.hanning(160) / 40 for it in PITCHES for f in (np.sin, np.cos)]
KERNEL = np.array(wave, np.float32)[:, None]


def save(name, nodes, inputs, output, shape):
    weights = [
        numpy_helper.from_array(KERNEL, "kernel"),
        numpy_helper.from_array(np.array([1], np.int64), "one"),
        numpy_helper.from_array(np.array([2], np.int64), "two"),
        numpy_helper.from_array(np.array([0, 8, 2, -1], np.int64), "pairs"),
    ]
    out = helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)
    if shape is None:
        out.type.tensor_type.ClearField("shape")
    graph = helper.make_graph(nodes, name, inputs, [out], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if shape is not None:
        onnx.checker.check_model(model)
    onnx.save(model, folder / name)


def bands(source):
    """(n, 1, samples) to powers (n, 8, frames)."""
    return [
        helper.make_node("Conv", [source, "kernel"], ["both"], strides=[80]),
        helper.make_node("Mul", ["both", "both"], ["squares"]),
        helper.make_node("Reshape", ["squares", "pairs"], ["split"]),
        helper.make_node("ReduceSum", ["split", "two"], ["power"], keepdims=0),
    ]


def value(name, shape, dtype=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


wide = helper.make_node("Unsqueeze", ["waveform", "one"], ["wide"])
mean = helper.make_node("ReduceMean", ["power"], ["row"], axes=[2], keepdims=0)
save("bands.onnx", [wide, *bands("wide"), mean], [value("waveform", ["N", 1600])], "row", ["N", 8])
turned = helper.make_node("Transpose", ["power"], ["frames"], perm=[0, 2, 1])
save("any.onnx", [*bands("audio"), turned], [value("audio", ["N", 1, "S"])], "frames", ["N", "T", 8])
save("loose.onnx", [*bands("audio"), turned], [value("audio", ["N", 1, "S"])], "frames", None)
conv = helper.make_node("Conv", ["audio", "kernel"], ["maps"], strides=[80])
save("nct.onnx", [conv], [value("audio", ["N", 1, "S"])], "maps", ["N", 16, "T"])
masked = [
    helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
    helper.make_node("Mul", ["input_values", "mask"], ["counted"]),
    helper.make_node("Unsqueeze", ["counted", "one"], ["wide"]),
]
inputs = [value("input_values", ["N", "S"]), value("attention_mask", ["N", "S"], TensorProto.INT64)]
save("masked.onnx", [*masked, *bands("wide"), turned], inputs, "frames", ["N", "T", 8])
flat = helper.make_node("Flatten", ["features"], ["row"], axis=1)
save("random.onnx", [flat], [value("features", ["N", 40, 100])], "row", ["N", 4000])
