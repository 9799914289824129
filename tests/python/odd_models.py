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
# A map whose channels come last, as Keras models have it that come through tf2onnx.
random = np.random.RandomState(3)
weights = {"w": random.randn(32, 3, 3, 3).astype(np.float32)}
save(
    "nhwc_map",
    [
        node("Conv", ["x", "w"], ["conv"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Relu", ["conv"], ["active"]),
        node("Transpose", ["active"], ["features"], perm=[0, 2, 3, 1]),
    ],
    weights,
    [output("features", ["n", "rows", "columns", 32])],
)
# The same pooled, which keeps its two dimensions of one.
save(
    "nhwc_pooled",
    [
        node("Conv", ["x", "w"], ["conv"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Relu", ["conv"], ["active"]),
        node("GlobalAveragePool", ["active"], ["pool"]),
        node("Transpose", ["pool"], ["features"], perm=[0, 2, 3, 1]),
    ],
    weights,
    [output("features", ["n", 1, 1, 32])],
)
# Dropout that was exported in training mode, and batch normalisation likewise.
save(
    "dropout",
    [*pool, node("Dropout", ["flat", "ratio", "training"], ["features"])],
    {"ratio": np.array(0.5, np.float32), "training": np.array(True)},
    [output("features", ["n", 3])],
)
ones = {key: np.full(3, value, np.float32) for key, value in [("s", 1), ("b", 0), ("m", 0), ("v", 1)]}
save(
    "batch_statistics",
    [node("BatchNormalization", ["x", "s", "b", "m", "v"], ["y", "mean", "var"], training_mode=1),
     node("GlobalMaxPool", ["y"], ["pool"]), node("Flatten", ["pool"], ["features"])],
    ones,
    [output("features", ["n", 3])],
)
# Grey levels become 0-1 within.
save("rescales", [node("Mul", ["x", "c"], ["y"]), node("GlobalAveragePool", ["y"], ["pool"]),
                  node("Flatten", ["pool"], ["features"])],
     {"c": np.array(1 / 255, np.float32)}, [output("features", ["n", 3])])


def tower():
    """A transformer's block whose heads are folded with the batch: right for a batch of one alone."""
    length, heads, width = 5, 2, 16
    weights, nodes = {}, []

    def constant(value):
        weights[f"c{len(weights)}"] = np.asarray(value)
        return f"c{len(weights) - 1}"

    def add(op, *inputs, out=None, **attributes):
        out = out or f"t{len(nodes)}"
        nodes.append(node(op, list(inputs), [out], **attributes))
        return out

    def matrix(*shape):
        return constant((random.randn(*shape) / 4).astype(np.float32))

    y = add("Conv", "x", matrix(width, 3, 4, 4), kernel_shape=[4, 4], strides=[4, 4])
    y = add("Transpose", add("Reshape", y, constant([1, width, 4])), perm=[0, 2, 1])
    y = add("Concat", matrix(1, 1, width), y, axis=1)
    y = add("Transpose", y, perm=[1, 0, 2])
    shape = [length, heads, width // heads]
    q, k, v = (
        add("Transpose", add("Reshape", add("MatMul", y, matrix(width, width)), constant(shape)), perm=[1, 0, 2])
        for _ in range(3)
    )
    scores = add("Softmax", add("MatMul", q, add("Transpose", k, perm=[0, 2, 1])), axis=-1)
    mixed = add("Transpose", add("MatMul", scores, v), perm=[1, 0, 2])
    y = add("Transpose", add("Add", y, add("Reshape", mixed, constant([length, 1, width]))), perm=[1, 0, 2])
    y = add("Gather", y, constant(0), axis=1)
    add("MatMul", y, matrix(width, 12), out="image_embeds")
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])]
    initializers = [numpy_helper.from_array(value, key) for key, value in weights.items()]
    graph = helper.make_graph(nodes, "tower", inputs, [output("image_embeds", [1, 12])], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, folder / "tower.onnx")


tower()
# Weights in another file, as PyTorch writes them.
wide = onnx.load(folder / "squeezed.onnx")
del wide.graph.node[-1]
wide.graph.output[0].CopyFrom(output("wide", ["n", 16]))
onnx.save_model(wide, folder / "external.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
