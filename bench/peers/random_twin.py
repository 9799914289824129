"""The same network with random weights: random_twin.py IN OUT

He-normal for every convolution and matrix (seeded), a little noise for biases; everything else stays.
"""

import sys

import numpy as np
import onnx
from onnx import numpy_helper

model = onnx.load(sys.argv[1])
rng = np.random.default_rng(20260101)
for weight in model.graph.initializer:
    value = numpy_helper.to_array(weight)
    if value.dtype != np.float32 or value.size < 2:
        continue
    if value.ndim >= 2:
        # Variance 2 / fan-in keeps the scale through ReLU.
        value = rng.normal(0, np.sqrt(2 / np.prod(value.shape[1:])), value.shape)
    else:
        value = rng.normal(0, 0.05, value.shape)
    weight.CopyFrom(numpy_helper.from_array(value.astype(np.float32), weight.name))
onnx.save(model, sys.argv[2])
