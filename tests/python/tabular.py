"""scikit-learn on the tabular sets: tabular.py FOLDER

Prints a JSON line for each set: coefficients of LogisticRegression (tol 1e-10) and Ridge on standardised
features, what they predict on the test rows, and RidgeCV's leave-one-out residuals.
"""

import json
import pathlib
import sys

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.preprocessing import StandardScaler

folder = pathlib.Path(sys.argv[1])
for name in ["iris", "wine", "breast_cancer", "digits", "diabetes"]:
    train, test = (np.loadtxt(folder / name / f"{part}.csv", delimiter=",", skiprows=1) for part in ["train", "test"])
    scaler = StandardScaler().fit(train[:, :-1])
    x, y, x_test = scaler.transform(train[:, :-1]), train[:, -1], scaler.transform(test[:, :-1])
    answer = {"set": name}
    if name == "diabetes":
        for alpha in [0.1, 10.0]:
            model = Ridge(alpha=alpha, solver="svd").fit(x, y)
            # Residuals of samples left out one by one: predictions are stored, the targets taken off again.
            cv = RidgeCV(alphas=[alpha], store_cv_results=True, scoring="neg_mean_squared_error").fit(x, y)
            answer[str(alpha)] = {
                "coef": model.coef_.tolist(),
                "intercept": float(model.intercept_),
                "predictions": model.predict(x_test).tolist(),
                "leave_one_out": (y - cv.cv_results_.reshape(-1)).tolist(),
            }
    else:
        model = LogisticRegression(C=1.0, tol=1e-10, max_iter=100_000, solver="newton-cg").fit(x, y)
        answer |= {"coef": model.coef_.tolist(), "predictions": model.predict(x_test).tolist()}
    print(json.dumps(answer))
