"""Peers for texts: text_peers.py PEER MODEL TOKENIZER MAX_TOKENS CORES FILE [OUT]

PEER is `onnxruntime` (batches of 32 in the order of the file, padded to their longest, all threads in one session),
`pool` (the same in a process a core, one thread each) or `fastembed` (the package, its own batches, on the same
files). FILE has a text a line of JSON. Prints JSON: texts, seconds from the first text to the last row, start-up not
counted; with OUT, the rows go there as float32, `.npy`.
"""

import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import time

import numpy as np

peer, model, tokenizer_file, max_tokens, cores, file = sys.argv[1:7]
out = sys.argv[7] if len(sys.argv) > 7 else None
max_tokens, cores = int(max_tokens), int(cores)
with open(file, encoding="utf-8") as lines:
    texts = [json.loads(line)["text"] for line in lines]
BATCH = 32


def start(n_threads):
    global session, tokenizer
    import onnxruntime
    import tokenizers

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    tokenizer = tokenizers.Tokenizer.from_file(tokenizer_file)
    tokenizer.enable_truncation(max_tokens)
    tokenizer.enable_padding()


def embed(batch):
    encodings = tokenizer.encode_batch(batch)
    given = {
        "input_ids": [it.ids for it in encodings],
        "attention_mask": [it.attention_mask for it in encodings],
        "token_type_ids": [it.type_ids for it in encodings],
    }
    given = {key: np.array(value, np.int64) for key, value in given.items()}
    tokens = session.run(None, {it.name: given[it.name] for it in session.get_inputs()})[0]
    mask = given["attention_mask"][..., None].astype(np.float32)
    rows = (tokens * mask).sum(1) / mask.sum(1)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def in_batches():
    return [texts[at:at + BATCH] for at in range(0, len(texts), BATCH)]


def with_fastembed():
    from fastembed import TextEmbedding

    with tempfile.TemporaryDirectory() as folder:
        for name, value in {
            "config.json": {"pad_token_id": 0},
            "tokenizer_config.json": {"model_max_length": max_tokens, "pad_token": "[PAD]"},
            "special_tokens_map.json": {"pad_token": "[PAD]", "unk_token": "[UNK]"},
        }.items():
            with open(os.path.join(folder, name), "w") as described:
                json.dump(value, described)
        shutil.copy(tokenizer_file, os.path.join(folder, "tokenizer.json"))
        shutil.copy(model, os.path.join(folder, "model.onnx"))
        name = "sentence-transformers/all-MiniLM-L6-v2"
        made = TextEmbedding(name, specific_model_path=folder, threads=cores)
        list(made.embed(["warm"]))
        begin = time.perf_counter()
        rows = np.stack(list(made.embed(texts, batch_size=256)))
        return rows, time.perf_counter() - begin


if __name__ == "__main__":
    if peer == "fastembed":
        rows, seconds = with_fastembed()
    elif peer == "pool":
        with multiprocessing.Pool(cores, start, [1]) as pool:
            pool.map(len, [[]] * 8)  # Every process is up before the clock starts.
            begin = time.perf_counter()
            rows = np.concatenate(pool.map(embed, in_batches(), chunksize=1))
            seconds = time.perf_counter() - begin
    else:
        start(cores)
        embed(["warm"])
        begin = time.perf_counter()
        rows = np.concatenate([embed(it) for it in in_batches()])
        seconds = time.perf_counter() - begin
    if out:
        np.save(out, rows.astype(np.float32))
    print(json.dumps({"n_texts": len(texts), "seconds": seconds}))
