"""scikit-learn on a peer's features: sound_heads.py ROWS.npz TABLE.parquet SPLIT

Prints JSON: accuracy on SPLIT of a logistic regression on standardised features (C = 0.01), and the smallest cosine of
the rows to those of TABLE, which headstart wrote.
"""

import json
import sys

import numpy as np
import pyarrow.parquet
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

rows, table, split = sys.argv[1:]
loaded = np.load(rows)
theirs = dict(zip(loaded["names"], loaded["rows"]))
ours = pyarrow.parquet.read_table(table).to_pandas()
x = np.stack([theirs[it] for it in ours.path])
own = np.stack(ours.embedding.to_numpy())
cosine = (own * x).sum(1) / np.linalg.norm(own, axis=1) / np.linalg.norm(x, axis=1)
train = (ours.split == "train").to_numpy()
held_out = (ours.split == split).to_numpy()
head = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000)).fit(x[train], ours.label[train])
accuracy = float((head.predict(x[held_out]) == ours.label[held_out]).mean())
print(json.dumps({"accuracy": accuracy, "min_cosine": float(cosine.min()), "n_compared": len(cosine)}))
