"""scikit-learn on a peer's features: text_heads.py TRAIN.npy TRAIN.jsonl VAL.npy VAL.jsonl TABLE.parquet

Prints JSON: accuracy on VAL of a logistic regression (C = 10, as the rows have length 1), and the smallest cosine of
VAL's rows to those of TABLE, which headstart wrote.
"""

import json
import sys

import numpy as np
import pyarrow.parquet
from sklearn.linear_model import LogisticRegression

train, train_rows, val, val_rows, table = sys.argv[1:]


def labels(file):
    with open(file, encoding="utf-8") as lines:
        return [json.loads(line)["label"] for line in lines]


x, y = np.load(train), np.load(val)
head = LogisticRegression(C=10, max_iter=1000).fit(x, labels(train_rows))
accuracy = float((head.predict(y) == np.array(labels(val_rows))).mean())
ours = pyarrow.parquet.read_table(table).to_pandas()
name = val_rows.rsplit("/", 1)[-1]
ours = ours[ours.path.str.startswith(f"{name}:")]
order = ours.path.str.split(":").str[-1].astype(int).to_numpy() - 1
rows = np.stack(ours.embedding.to_numpy())
cosine = (rows * y[order]).sum(1) / np.linalg.norm(rows, axis=1) / np.linalg.norm(y[order], axis=1)
print(json.dumps({"accuracy": accuracy, "min_cosine": float(cosine.min()), "n_compared": len(cosine)}))
