"""The quantiser of onnxruntime, on the same images: what ours is held against.

    quantize.py MODEL OUT < paths

Per channel, QDQ, int8 weights, uint8 activations, ranges by MinMax, its default.
"""

import sys

import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

import numpy as np
from preprocess import crop, decode, normalise

model, out = sys.argv[1:]
name = onnx.load(model).graph.input[0].name


class Images(CalibrationDataReader):
    def __init__(self, paths):
        self.paths = iter(paths)

    def get_next(self):
        path = next(self.paths, None)
        return None if path is None else {name: normalise(np.stack([crop(decode(path))]))}


quant_pre_process(model, out + ".prepared.onnx", skip_symbolic_shape=True)
quantize_static(
    out + ".prepared.onnx",
    out,
    Images(sys.stdin.read().split("\n")[:-1]),
    quant_format=QuantFormat.QDQ,
    per_channel=True,
    activation_type=QuantType.QUInt8,
    weight_type=QuantType.QInt8,
)
