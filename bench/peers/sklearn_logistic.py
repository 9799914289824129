"""scikit-learn's side of `cargo xtask bench head`: a JSON object a line on stdin, an answer a line on stdout.

{"x": FILE (n x d float32, row-major), "y": FILE (n int64), "n", "d", "C", "tol"?}  one fit
{... "Cs": [...], "folds": [...] fold of each sample}                                  LogisticRegressionCV

Answers with the seconds of the fit, its coef and intercept; a sweep with its C and the mean held-out
log-loss of each C.
"""

import json
import sys
import time
import warnings

import numpy as np
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV

warnings.simplefilter("ignore")
for line in sys.stdin:
    ask = json.loads(line)
    x = np.fromfile(ask["x"], np.float32).reshape(ask["n"], ask["d"])
    y = np.fromfile(ask["y"], np.int64)
    if "Cs" in ask:
        folds = np.array(ask["folds"])
        splits = [(np.flatnonzero(folds != f), np.flatnonzero(folds == f)) for f in np.unique(folds)]
        model = LogisticRegressionCV(Cs=ask["Cs"], cv=splits, scoring="neg_log_loss", use_legacy_attributes=False)
        start = time.perf_counter()
        model.fit(x, y)
        seconds = time.perf_counter() - start
        losses = -np.asarray(model.scores_).reshape(len(splits), -1, len(ask["Cs"])).mean(axis=(0, 1))
        answer = {"seconds": seconds, "C": float(np.ravel(model.C_)[0]), "losses": losses.tolist()}
    else:
        model = LogisticRegression(C=ask["C"], tol=ask.get("tol", 1e-4), max_iter=ask.get("max_iter", 100))
        start = time.perf_counter()
        model.fit(x, y)
        seconds = time.perf_counter() - start
        answer = {"seconds": seconds, "n_iter": int(model.n_iter_.max()),
                  "coef": model.coef_.astype(float).tolist(), "intercept": model.intercept_.astype(float).tolist()}
    print(json.dumps(answer), flush=True)
