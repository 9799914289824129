"""The same network with random weights: random_twin.py IN OUT PICTURES SEED

Normal weights for every convolution (seeded), each then scaled and shifted so that its outputs have mean 0
and variance 1 over the photos of the folder PICTURES: what batch normalisation does for an untrained
network. Without it activations would grow or vanish through the layers, and random features look worse
than they are.
"""

import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from PIL import Image

model = onnx.load(sys.argv[1])
rng = np.random.default_rng(20260101 + int(sys.argv[4]))
size = model.graph.input[0].type.tensor_type.shape.dim[2].dim_value
photos = sorted(it for it in pathlib.Path(sys.argv[3]).iterdir() if it.suffix.lower() in (".jpg", ".jpeg"))[:48]
pictures = [np.asarray(Image.open(it).convert("RGB").resize((size, size)), np.float32) for it in photos]
batch = ((np.stack(pictures) - 127.5) / 58).transpose(0, 3, 1, 2)
weights = {it.name: it for it in model.graph.initializer}


def put(name, value):
    weights[name].CopyFrom(numpy_helper.from_array(value.astype(np.float32), name))


for node in [it for it in model.graph.node if it.op_type == "Conv"]:
    _, weight, bias = node.input
    value = rng.normal(0, 1, numpy_helper.to_array(weights[weight]).shape)
    put(weight, value)
    put(bias, np.zeros(len(value)))
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    probe.graph.output.append(helper.make_empty_tensor_value_info(node.output[0]))
    session = onnxruntime.InferenceSession(probe.SerializeToString())
    out = session.run([node.output[0]], {session.get_inputs()[0].name: batch})[0]
    mean, std = out.mean((0, 2, 3)), out.std((0, 2, 3)) + 1e-6
    put(weight, value / std[:, None, None, None])
    put(bias, -mean / std)
onnx.save(model, sys.argv[2])
