"""Compares a cut model with the same tensor of the model it was cut from: compare_cut.py ORIGINAL TENSOR CUT.

Prints JSON: the largest absolute difference for single samples, the largest for a batch of three against
single samples, and the shape of the cut model's output. TENSOR may end in ":mean" for a mean over positions.
"""

import json
import sys

import numpy as np
import onnx
import onnxruntime

original_path, tensor, cut_path = sys.argv[1:]
tensor, _, pool = tensor.partition(":")
original = onnx.load(original_path)
if tensor not in [it.name for it in original.graph.output]:
    original.graph.output.append(onnx.helper.make_empty_tensor_value_info(tensor))
providers = ["CPUExecutionProvider"]
options = onnxruntime.SessionOptions()
options.log_severity_level = 3
a = onnxruntime.InferenceSession(original.SerializeToString(), options, providers=providers)
b = onnxruntime.InferenceSession(cut_path, options, providers=providers)
onnx.checker.check_model(onnx.load(cut_path))

inputs = b.get_inputs()
assert len(inputs) == 1, inputs
shape = [3] + inputs[0].shape[1:]
x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
singles = []
largest = 0.0
for sample in x:
    expected = a.run([tensor], {inputs[0].name: sample[None]})[0]
    if pool == "mean":
        expected = expected.mean(axis=tuple(range(2, expected.ndim)))
    actual = b.run(None, {inputs[0].name: sample[None]})[0]
    assert actual.shape == expected.shape, (actual.shape, expected.shape)
    largest = max(largest, float(np.abs(actual - expected).max()))
    singles.append(actual)
batch = b.run(None, {inputs[0].name: x})[0]
difference = float(np.abs(batch - np.concatenate(singles)).max())
print(json.dumps({"difference": largest, "batch_difference": difference, "shape": list(batch.shape),
                  "scale": float(np.abs(batch).max())}))
