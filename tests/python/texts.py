"""What Python makes of texts: texts.py MODEL TOKENIZER MAX_TOKENS POOL NORMALIZE, a JSON list of texts on stdin.

Prints a line of JSON for each: the ids of its tokens, and, unless MODEL is `-`, its embedding by onnxruntime, alone.
"""

import json
import sys

import numpy as np
import onnxruntime
import tokenizers

model, tokenizer, max_tokens, pool, normalize = sys.argv[1:]
tokenizer = tokenizers.Tokenizer.from_file(tokenizer)
tokenizer.no_padding()
tokenizer.enable_truncation(int(max_tokens))
session = None if model == "-" else onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

for text in json.load(sys.stdin):
    encoding = tokenizer.encode(text)
    line = {"ids": encoding.ids}
    if session and encoding.ids:
        given = {"input_ids": encoding.ids, "attention_mask": encoding.attention_mask, "token_type_ids": encoding.type_ids}
        feed = {it.name: np.array([given[it.name]], np.int64) for it in session.get_inputs()}
        tokens = session.run(None, feed)[0][0]
        row = {"mean": tokens.mean(0), "last": tokens[-1], "first": tokens[0]}[pool]
        if normalize == "yes":
            row = row / np.linalg.norm(row)
        line["row"] = row.tolist()
    print(json.dumps(line))
