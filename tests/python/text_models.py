"""Tiny models of texts, made on the spot: text_models.py FOLDER.

static.onnx      a table of word vectors, `last_hidden_state`, with a mask; static.tokenizer.json beside it
bare.onnx        the same without a mask
bert.onnx        32-bit integers, BERT's older names, a sum over all words before the table's rows (attention of a kind)
past.onnx        wants the keys and values of tokens before, of which there are none
fixed.onnx       takes eight tokens, no more and no fewer
stiff.onnx       the same without a mask
"""

import pathlib
import sys

import numpy as np
import onnx
import tokenizers
from onnx import TensorProto, helper, numpy_helper

folder = pathlib.Path(sys.argv[1])
WORDS = ["[PAD]", "[UNK]", *"good bad fine awful great poor film food day the a is was very not it".split()]
rng = np.random.default_rng(7)
TABLE = rng.normal(size=(len(WORDS), 8)).astype(np.float32)
# The first feature is the mood.
TABLE[:, 0] = [{"good": 2, "fine": 1, "great": 3, "bad": -2, "awful": -3, "poor": -1}.get(it, 0) for it in WORDS]


def tokenizer(path):
    model = tokenizers.models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]")
    made = tokenizers.Tokenizer(model)
    made.normalizer = tokenizers.normalizers.Lowercase()
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.save(str(path))


def save(name, nodes, inputs, outputs, constants=()):
    weights = [numpy_helper.from_array(np.asarray(value), key) for key, value in constants]
    graph = helper.make_graph(nodes, name, inputs, outputs, [numpy_helper.from_array(TABLE, "table"), *weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, folder / name)
    tokenizer(folder / f"{name.removesuffix('.onnx')}.tokenizer.json")


def ids(name, dtype=TensorProto.INT64, n="T"):
    return helper.make_tensor_value_info(name, dtype, ["N", n])


def tokens(name="last_hidden_state", n="T"):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", n, 8])


look_up = helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])
# The mask is looked at, as every transformer does, without changing anything that counts.
masked = [
    helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
    helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
    helper.make_node("Unsqueeze", ["mask", "two"], ["wide"]),
    helper.make_node("Mul", ["rows", "wide"], ["last_hidden_state"]),
]
two = ("two", np.array([2], np.int64))
save("static.onnx", masked, [ids("input_ids"), ids("attention_mask")], [tokens()], [two])
save("bare.onnx", [look_up], [ids("input_ids")], [tokens()])
save("stiff.onnx", [look_up], [ids("input_ids", n=8)], [tokens(n=8)])
save("fixed.onnx", masked, [ids("input_ids", n=8), ids("attention_mask", n=8)], [tokens(n=8)], [two])
bert = [
    helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
    helper.make_node("Cast", ["input_mask"], ["mask"], to=TensorProto.FLOAT),
    helper.make_node("Unsqueeze", ["mask", "two"], ["wide"]),
    helper.make_node("Mul", ["rows", "wide"], ["counted"]),
    helper.make_node("ReduceSum", ["counted", "one"], ["sum"], keepdims=1),
    helper.make_node("Cast", ["segment_ids"], ["segments"], to=TensorProto.FLOAT),
    helper.make_node("Unsqueeze", ["segments", "two"], ["segments_wide"]),
    helper.make_node("Add", ["counted", "sum"], ["attended"]),
    helper.make_node("Add", ["attended", "segments_wide"], ["last_hidden_state"]),
]
int32 = TensorProto.INT32
save("bert.onnx", bert, [ids("input_ids", int32), ids("input_mask", int32), ids("segment_ids", int32)], [tokens()],
     [two, ("one", np.array([1], np.int64))])
past = helper.make_tensor_value_info("past_key_values.0.key", TensorProto.FLOAT, ["N", 2, "P", 4])
present = helper.make_tensor_value_info("present.0.key", TensorProto.FLOAT, ["N", 2, "Q", 4])
decoder = [
    *masked,
    helper.make_node("Reshape", ["last_hidden_state", "heads"], ["split"]),
    helper.make_node("Transpose", ["split"], ["keys"], perm=[0, 2, 1, 3]),
    helper.make_node("Concat", ["past_key_values.0.key", "keys"], ["present.0.key"], axis=2),
]
save("past.onnx", decoder, [ids("input_ids"), ids("attention_mask"), past], [tokens(), present],
     [two, ("heads", np.array([0, 0, 2, 4], np.int64))])
