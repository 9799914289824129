"""Writes the reference arrays of the parity tests: golden.py SHARED OUT.

Pillow decodes and crops the 100 photos of imagenet_samples100, onnxruntime embeds them. Versions go into
golden.json; arrays are raw little-endian, row-major.
"""

import json
import pathlib
import sys

import numpy as np
import onnxruntime
import PIL

from preprocess import crop, decode, normalise

shared, out = map(pathlib.Path, sys.argv[1:])
photos = sorted((shared / "datasets/imagenet_samples100").glob("*.JPEG"))
assert len(photos) == 100, f"expected 100 photos, found {len(photos)}"
(out / "decoded").mkdir(parents=True, exist_ok=True)

crops = []
for photo in photos:
    image = decode(photo)
    # Lossless, so that the other side resizes the very same pixels.
    image.save(out / "decoded" / f"{photo.stem}.png", compress_level=1)
    crops.append(crop(image))
crops = np.stack(crops)

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 2
session = onnxruntime.InferenceSession(
    shared / "models/mobilenetv2-1.0-224.onnx", options, providers=["CPUExecutionProvider"])
features, logits = zip(*(session.run(["features", "logits"], {"input": normalise(it[None])}) for it in crops))

crops.tofile(out / "crops.u8")
np.concatenate(features).tofile(out / "features.f32")
np.concatenate(logits).tofile(out / "logits.f32")
(out / "golden.json").write_text(json.dumps({
    "versions": {"numpy": np.__version__, "pillow": PIL.__version__, "onnxruntime": onnxruntime.__version__},
    "photos": [it.name for it in photos],
    "crops": list(crops.shape), "features": [len(photos), 1280], "logits": [len(photos), 1000],
}, indent=1))
