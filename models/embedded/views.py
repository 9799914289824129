"""Unpacks the pictures and cuts crops of them: views.py TAR OUT [CROPS]

OUT/views/<n>/<class>/<name>.png: view 0 is the whole picture, the others are random crops of 35-100% of its
area and 3/4-4/3 of its shape (seeded by the picture's name), resized to 64x64. The teacher embeds these very
files and the student sees them too: a patient and consistent teacher (Beyer et al. 2022).
"""

import io
import math
import pathlib
import random
import sys
import tarfile

from PIL import Image

tar, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
n_crops = int(sys.argv[3]) if len(sys.argv) > 3 else 5
with tarfile.open(tar) as archive:
    for member in archive:
        if not member.isfile() or not member.name.lower().endswith((".jpeg", ".jpg", ".png")):
            continue
        data = archive.extractfile(member).read()
        picture = Image.open(io.BytesIO(data)).convert("RGB")
        path = pathlib.Path(member.name)
        rng = random.Random(path.name)
        for view in range(n_crops + 1):
            file = out / "views" / str(view) / path.parent.name / (path.stem + ".png")
            file.parent.mkdir(parents=True, exist_ok=True)
            if view == 0:
                picture.save(file)
                continue
            w, h = picture.size
            area, ratio = w * h * rng.uniform(0.35, 1.0), math.exp(rng.uniform(math.log(0.75), math.log(4 / 3)))
            cw, ch = min(w, math.sqrt(area * ratio)), min(h, math.sqrt(area / ratio))
            x, y = rng.uniform(0, w - cw), rng.uniform(0, h - ch)
            picture.resize((64, 64), Image.BICUBIC, box=(x, y, x + cw, y + ch)).save(file)
