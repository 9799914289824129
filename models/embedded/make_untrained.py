"""Writes models/headstart-untrained-96.onnx: a MobileNet-style network with seeded random weights.

Depthwise-separable, ReLU6, 96x96 RGB in, 256 features out. Random convolutions are a baseline, not a
trained network; the file exists so that the demo runs without a download.

    python3 models/embedded/make_untrained.py models/headstart-untrained-96.onnx   (numpy 2.4, onnx 1.23)
"""

import sys

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save

# (channels out, stride) of each depthwise-separable block after the stem.
BLOCKS = [(32, 1), (64, 2), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1)]
STEM, SIZE, SEED = 16, 96, 20260101

rng = np.random.default_rng(SEED)
nodes, weights = [], []


def constant(name, value):
    weights.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
    return name


def conv(x, name, shape, stride, group=1):
    # He initialisation: variance 2 / fan-in keeps the scale through ReLU.
    fan_in = np.prod(shape[1:])
    w = constant(f"{name}.weight", rng.normal(0, np.sqrt(2 / fan_in), shape))
    b = constant(f"{name}.bias", rng.normal(0, 0.05, shape[0]))
    pad = shape[2] // 2
    nodes.append(helper.make_node("Conv", [x, w, b], [name], name=name, strides=[stride] * 2,
                                  kernel_shape=list(shape[2:]), pads=[pad] * 4, group=group))
    nodes.append(helper.make_node("Clip", [name, "zero", "six"], [f"{name}.relu6"], name=f"{name}.relu6"))
    return f"{name}.relu6"


constant("zero", 0.0)
constant("six", 6.0)
x, channels = conv("input", "stem", (STEM, 3, 3, 3), 2), STEM
for index, (out, stride) in enumerate(BLOCKS):
    x = conv(x, f"block{index}.depthwise", (channels, 1, 3, 3), stride, channels)
    x = conv(x, f"block{index}.pointwise", (out, channels, 1, 1), 1)
    channels = out
nodes.append(helper.make_node("GlobalAveragePool", [x], ["pool"], name="pool"))
nodes.append(helper.make_node("Flatten", ["pool"], ["features"], name="features", axis=1))
graph = helper.make_graph(
    nodes, "headstart-untrained-96",
    [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, SIZE, SIZE])],
    [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", channels])], weights)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8,
                          producer_name="headstart")
checker.check_model(model)
save(model, sys.argv[1])
