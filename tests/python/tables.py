"""Reads a table in four formats with five libraries; prints what each finds, one JSON object a line.

Usage: tables.py FOLDER, which holds t.parquet, t.arrow, t.csv, t.npy and t.samples.csv.
"""

import json
import os
import sys

import datasets
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.feather as feather
import pyarrow.parquet as pq

FOLDER = sys.argv[1]
os.environ["HF_HOME"] = FOLDER
os.chdir(FOLDER)


def text(value):
    """None for whatever a library says for nothing."""
    return None if value is None or value != value else str(value)


def say(reader, paths, labels, digests, embeddings, metadata=None):
    embeddings = np.stack([np.asarray(it, dtype=np.float32) for it in embeddings])
    assert embeddings.shape[0] == len(paths) == len(labels) == len(digests)
    rows = [
        {"path": p, "label": text(l), "digest": d, "embedding": e.view(np.uint32).tolist()}
        for p, l, d, e in zip(paths, labels, digests, embeddings)
    ]
    print(json.dumps({"reader": reader, "rows": rows, "metadata": metadata}))


rows = duckdb.sql("SELECT path, label, digest, embedding FROM 't.parquet'").fetchall()
say("duckdb, Parquet", *zip(*rows))
found = duckdb.sql("SELECT key, value FROM parquet_kv_metadata('t.parquet')").fetchall()
kv = {bytes(k).decode(): bytes(v).decode() for k, v in found}

frame = pd.read_parquet("t.parquet")
say("pandas, Parquet", *(frame[it].tolist() for it in ["path", "label", "digest", "embedding"]), metadata=kv)
frame = pl.read_parquet("t.parquet")
say("polars, Parquet", *(frame[it].to_list() for it in ["path", "label", "digest", "embedding"]))
table = pq.read_table("t.parquet")
metadata = {k.decode(): v.decode() for k, v in table.schema.metadata.items()}
say("pyarrow, Parquet", *(table[it].to_pylist() for it in ["path", "label", "digest", "embedding"]), metadata=metadata)
table = datasets.Dataset.from_parquet("t.parquet", cache_dir=FOLDER, keep_in_memory=True)
say("datasets, Parquet", *(table[it][:] for it in ["path", "label", "digest", "embedding"]))

table = feather.read_table("t.arrow")
metadata = {k.decode(): v.decode() for k, v in table.schema.metadata.items()}
say("pyarrow, Arrow", *(table[it].to_pylist() for it in ["path", "label", "digest", "embedding"]), metadata=metadata)
frame = pl.read_ipc("t.arrow")
say("polars, Arrow", *(frame[it].to_list() for it in ["path", "label", "digest", "embedding"]))

frame = pd.read_csv("t.csv")
features = [it for it in frame.columns if it[0] == "f" and it[1:].isdigit()]
values = frame[features].to_numpy(np.float32)
say("pandas, CSV", frame.path.tolist(), frame.label.tolist(), frame.digest.tolist(), values)
relation = duckdb.sql("SELECT * FROM read_csv('t.csv')")
frame = relation.df()
say("duckdb, CSV", frame.path.tolist(), frame.label.tolist(), frame.digest.tolist(), frame[features].to_numpy(np.float32))

frame = pd.read_csv("t.samples.csv")
say("numpy", frame.path.tolist(), frame.label.tolist(), frame.digest.tolist(), np.load("t.npy"))
