"""Fits scikit-learn's logistic regression: logistic.py FILE, a JSON object on stdin.

FILE holds n x d float64 features, row-major. The object has n, d, y, alpha, tol. Prints objective (in
headstart's terms: summed loss + alpha / 2 * ||W||^2), coef and intercept.
"""

import json
import sys

import numpy as np
from sklearn.linear_model import LogisticRegression

ask = json.load(sys.stdin)
x = np.fromfile(sys.argv[1], np.float64).reshape(ask["n"], ask["d"])
y = np.array(ask["y"])
alpha = ask["alpha"]
model = LogisticRegression(C=1 / alpha, tol=ask["tol"], max_iter=100_000, solver=ask.get("solver", "lbfgs")).fit(x, y)
coef, intercept = model.coef_, model.intercept_
logits = x @ coef.T + intercept
if len(coef) == 1:
    sign = np.where(y == model.classes_[1], 1.0, -1.0)
    loss = np.logaddexp(0, -sign * logits[:, 0]).sum()
else:
    top = logits.max(axis=1, keepdims=True)
    loss = (np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0] - logits[np.arange(len(y)), y]).sum()
print(json.dumps({"objective": float(loss + alpha / 2 * (coef ** 2).sum()), "coef": coef.tolist(),
                  "intercept": intercept.tolist()}))
