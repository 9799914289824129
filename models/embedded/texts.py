"""Static token vectors distilled from a sentence encoder, without any corpus, as model2vec describes it.

texts.py MODEL.onnx TOKENIZER.json OUT     writes OUT.onnx and OUT.tokenizer.json
texts.py judge OUT MODEL.onnx TOKENIZER.json SETS      probes on the sets beside the encoder's and a hash of words

Each token goes through the encoder alone; its sentence vector is taken to fewer dimensions by principal components and
weighed by how rare it is (the vocabulary stands in the order of frequency). Rows are kept in 8 bits, with a scale each.
"""

import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
import tokenizers
from onnx import TensorProto, helper, numpy_helper

# 2 MB: as many tokens of as many dimensions.
N_DIMENSIONS = 160
N_TOKENS = 12_100
# How much weaker the most frequent tokens are (Arora et al. 2017, smooth inverse frequency).
RARITY = 1e-2


def encode(session, batch):
    length = max(map(len, batch))
    ids = np.zeros((len(batch), length), np.int64)
    mask = np.zeros_like(ids)
    for row, it in enumerate(batch):
        ids[row, : len(it)], mask[row, : len(it)] = it, 1
    given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    hidden = session.run(None, {it.name: given[it.name] for it in session.get_inputs()})[0]
    wide = mask[..., None].astype(np.float32)
    rows = (hidden * wide).sum(1) / wide.sum(1)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def choose(vocab):
    """Tokens that are kept, in the order of the vocabulary: all letters, then words from the most frequent on."""
    ordered = sorted(vocab, key=vocab.get)
    real = [it for it in ordered if not it.startswith("[")]
    letters = [it for it in real if len(it.removeprefix("##")) == 1]
    kept = set(letters) | set([it for it in real if it not in letters][: N_TOKENS - len(letters) - 2])
    return ["[PAD]", "[UNK]", *[it for it in real if it in kept]]


def distil(model, tokenizer, out):
    described = json.loads(pathlib.Path(tokenizer).read_text(encoding="utf-8"))
    vocab = described["model"]["vocab"]
    tokens = choose(vocab)
    session = onnxruntime.InferenceSession(model)
    first, last = vocab["[CLS]"], vocab["[SEP]"]
    rows = [encode(session, [[first, vocab[it], last] for it in tokens[at : at + 512]]) for at in range(0, len(tokens), 512)]
    rows = np.concatenate(rows).astype(np.float64)
    rows -= rows[2:].mean(axis=0)
    _, _, components = np.linalg.svd(rows[2:], full_matrices=False)
    rows = rows @ components[:N_DIMENSIONS].T
    # Zipf's law: the n-th word is as frequent as 1/n.
    rank = np.arange(1, len(tokens) + 1)
    frequency = 1 / rank / (1 / rank).sum()
    rows *= (RARITY / (RARITY + frequency))[:, None]
    rows[:2] = 0
    scale = np.abs(rows).max(axis=1, keepdims=True) / 127
    scale[scale == 0] = 1
    save(np.round(rows / scale).astype(np.int8), scale.astype(np.float32), f"{out}.onnx")
    described["model"]["vocab"] = {it: place for place, it in enumerate(tokens)}
    described["added_tokens"] = [
        {"id": place, "content": it, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        for place, it in enumerate(tokens[:2])
    ]
    described["post_processor"] = described["truncation"] = described["padding"] = None
    text = json.dumps(described, ensure_ascii=False, separators=(",", ":"))
    pathlib.Path(f"{out}.tokenizer.json").write_text(text, encoding="utf-8")


def save(table, scale, path):
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["small"], name="look_up"),
        helper.make_node("Cast", ["small"], ["wide"], name="widen", to=TensorProto.FLOAT),
        helper.make_node("Gather", ["scale", "input_ids"], ["scales"], name="look_up_scale"),
        helper.make_node("Mul", ["wide", "scales"], ["rows"], name="weigh"),
        helper.make_node("Cast", ["attention_mask"], ["mask"], name="mask", to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["mask_wide"], name="mask_wide"),
        helper.make_node("Mul", ["rows", "mask_wide"], ["last_hidden_state"], name="count"),
    ]
    ids = [helper.make_tensor_value_info(it, TensorProto.INT64, ["N", "T"]) for it in ("input_ids", "attention_mask")]
    out = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["N", "T", table.shape[1]])
    constants = [
        numpy_helper.from_array(table, "table"),
        numpy_helper.from_array(scale, "scale"),
        numpy_helper.from_array(np.array([2], np.int64), "last"),
    ]
    graph = helper.make_graph(nodes, "headstart-words", ids, [out], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="headstart")
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def hashed(texts, n):
    """Words in n places, by their hash; the same every time."""
    rows = np.zeros((len(texts), n), np.float32)
    for row, text in enumerate(texts):
        for word in text.lower().split():
            value = 2166136261
            for byte in word.encode():
                value = (value ^ byte) * 16777619 % 2**32
            rows[row, value % n] += 1
    return rows / np.maximum(1e-9, np.linalg.norm(rows, axis=1, keepdims=True))


def static(out, texts):
    tokenizer = tokenizers.Tokenizer.from_file(f"{out}.tokenizer.json")
    session = onnxruntime.InferenceSession(f"{out}.onnx")
    rows = []
    for text in texts:
        ids = tokenizer.encode(text).ids[:512] or [1]
        given = {"input_ids": np.array([ids]), "attention_mask": np.ones((1, len(ids)), np.int64)}
        rows.append(session.run(None, given)[0][0].mean(axis=0))
    rows = np.array(rows)
    return rows / np.maximum(1e-9, np.linalg.norm(rows, axis=1, keepdims=True))


def teacher(model, tokenizer, texts):
    tokenizer = tokenizers.Tokenizer.from_file(tokenizer)
    tokenizer.enable_truncation(256)
    session = onnxruntime.InferenceSession(model)
    ids = [it.ids for it in tokenizer.encode_batch(texts)]
    order = np.argsort([len(it) for it in ids])
    rows = np.zeros((len(texts), 384), np.float32)
    for at in range(0, len(order), 32):
        some = order[at : at + 32]
        rows[some] = encode(session, [ids[it] for it in some])
    return rows


def judge(out, model, tokenizer, sets):
    from sklearn.linear_model import LogisticRegression

    for train, held_out in [("trec/train", "trec/test"), ("sst2/train", "sst2/val"), ("banking77/train", "banking77/val"), ("../tatoeba_lid/train", "../tatoeba_lid/val")]:
        parts = []
        for part in (train, held_out):
            lines = pathlib.Path(sets, f"{part}.jsonl").read_text(encoding="utf-8").splitlines()
            parts.append([json.loads(it) for it in lines])
        texts = [[it["text"] for it in part] for part in parts]
        labels = [[it["label"] for it in part] for part in parts]
        said = []
        for name, rows in [
            ("hashed", [hashed(it, N_DIMENSIONS) for it in texts]),
            ("static", [static(out, it) for it in texts]),
            ("encoder", [teacher(model, tokenizer, it) for it in texts] if "--all" in sys.argv else None),
        ]:
            if rows is None:
                continue
            head = LogisticRegression(C=10, max_iter=300).fit(rows[0], labels[0])
            said.append(f"{name} {head.score(rows[1], labels[1]):.3f}")
        print(train, ", ".join(said), flush=True)


if sys.argv[1] == "judge":
    judge(*[it for it in sys.argv[2:] if it != "--all"])
else:
    distil(*sys.argv[1:4])
