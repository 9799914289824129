"""ImageNet preprocessing as Pillow and torchvision do it: the definition that the Rust side is held to."""

import numpy as np
from PIL import Image, ImageOps

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


def decode(path):
    return ImageOps.exif_transpose(Image.open(path)).convert("RGB")


def crop(image, short_side=256, size=224):
    """torchvision's Resize(short_side, antialias=True) and CenterCrop(size), in Pillow."""
    width, height = image.size
    short, long = min(width, height), max(width, height)
    resized = (short_side, int(short_side * long / short))
    if width > height:
        resized = resized[::-1]
    image = image.resize(resized, Image.Resampling.BILINEAR)
    top = int(round((resized[1] - size) / 2.0))
    left = int(round((resized[0] - size) / 2.0))
    return np.asarray(image.crop((left, top, left + size, top + size)))


def normalise(pixels):
    """(n, h, w, 3) uint8 to (n, 3, h, w) float32."""
    return ((pixels.astype(np.float32) / 255 - MEAN) / STD).transpose(0, 3, 1, 2).copy()
