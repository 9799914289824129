"""Writes the student as ONNX: export.py DATA OUT

Takes the averaged weights of DATA/checkpoint.pt, folds the batch normalisation into the convolutions and
writes a graph of Conv, Clip, Add, GlobalAveragePool and Flatten: `input` (n, 3, size, size), normalised
pixels, to `features` (n, 384). Compares it with the network it came from before it is kept.
"""

import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

from distil import STAGES, Block, Student

SIZE = 96
data, out = pathlib.Path(sys.argv[1]), sys.argv[2]
student = Student().eval()
state = torch.load(data / "checkpoint.pt", map_location="cpu")
student.load_state_dict(state["average"])
nodes, weights = [], []


def constant(name, value):
    weights.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
    return name


def conv(x, sequence, name):
    """A convolution, its batch normalisation folded in, and its activation."""
    convolution, norm = sequence[0], sequence[1]
    scale = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach()
    weight = (convolution.weight * scale[:, None, None, None]).detach().numpy()
    bias = (norm.bias - norm.running_mean * scale).detach().numpy()
    inputs = [x, constant(f"{name}.weight", weight), constant(f"{name}.bias", bias)]
    pad, stride = convolution.padding[0], convolution.stride[0]
    nodes.append(helper.make_node("Conv", inputs, [name], name=name, group=convolution.groups,
                                  kernel_shape=list(weight.shape[2:]), pads=[pad] * 4, strides=[stride] * 2))
    if len(sequence) == 2:
        return name
    nodes.append(helper.make_node("Clip", [name, "zero", "six"], [f"{name}.relu6"], name=f"{name}.relu6"))
    return f"{name}.relu6"


constant("zero", 0.0)
constant("six", 6.0)
x = "input"
for index, layer in enumerate(student.body):
    if isinstance(layer, Block):
        before = x
        for part, sequence in enumerate(layer.body):
            x = conv(x, sequence, f"block{index}.{part}")
        if layer.residual:
            nodes.append(helper.make_node("Add", [before, x], [f"block{index}"], name=f"block{index}"))
            x = f"block{index}"
    else:
        x = conv(x, layer, "stem" if index == 0 else "last")
nodes.append(helper.make_node("GlobalAveragePool", [x], ["pool"], name="pool"))
nodes.append(helper.make_node("Flatten", ["pool"], ["features"], name="features", axis=1))
n_features = student.body[-1][0].out_channels
graph = helper.make_graph(
    nodes, "headstart-distilled-96",
    [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, SIZE, SIZE])],
    [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", n_features])], weights)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8,
                          producer_name="headstart")
onnx.checker.check_model(model)
pixels = np.random.default_rng(0).integers(0, 256, (4, 3, SIZE, SIZE)).astype(np.float32)
session = onnxruntime.InferenceSession(model.SerializeToString())
ours = session.run(None, {"input": (pixels - 127.5) / 58})[0]
with torch.no_grad():
    theirs = student(torch.from_numpy(pixels)).numpy()
difference = np.abs(ours - theirs).max() / np.abs(theirs).max()
assert difference < 1e-4, difference
onnx.save(model, out)
print(f"epoch {state['epoch']}, {sum(it.numel() for it in student.parameters())} parameters, "
      f"{len(model.SerializeToString())} bytes, differs by {difference:.1e}")
