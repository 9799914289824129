"""Runs an exported model with Python's onnxruntime alone: predict_exported.py MODEL PHOTO...

Prints one JSON object a photo, as `headstart predict --json` does.
"""

import json
import sys

import numpy as np
import onnxruntime

from preprocess import crop, decode

model, *photos = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
metadata = session.get_modelmeta().custom_metadata_map
labels = json.loads(metadata["headstart.labels"])
preprocess = json.loads(metadata["headstart.preprocess"])
for photo in photos:
    pixels = crop(decode(photo), preprocess["short-side"], preprocess["size"][0])
    probabilities = session.run(["probabilities"], {"image": pixels[None]})[0][0]
    print(json.dumps({"path": photo, "label": labels[int(np.argmax(probabilities))],
                      "probabilities": dict(zip(labels, map(float, probabilities)))}))
