"""Writes pictures in many formats, and what Pillow reads of each: NAME, and NAME.rgb beside it.

Usage: formats.py FOLDER. Prints one JSON object a line: name, width, height, and `error` where Pillow reads none.
"""

import io
import json
import os
import struct
import sys
import zlib

import numpy as np
from PIL import Image, ImageOps

FOLDER = sys.argv[1]
W, H = 37, 23
y, x = np.mgrid[0:H, 0:W]
RGB = np.stack([x * 7, y * 11, (x * y) % 256], -1).astype(np.uint8)
GREY = ((x * 5 + y * 3) % 256).astype(np.uint8)
ALPHA = ((x * 6 + y) % 256).astype(np.uint8)
RGBA = np.dstack([RGB, ALPHA])
rgb, grey, rgba = Image.fromarray(RGB), Image.fromarray(GREY), Image.fromarray(RGBA)


def read(path):
    image = ImageOps.exif_transpose(Image.open(path))
    if image.mode in ("RGBa", "La"):
        image = image.convert("RGBA" if image.mode == "RGBa" else "LA")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        pixels = np.asarray(image).astype(np.uint32)
        alpha = pixels[..., 3:]
        pixels = (pixels[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
        return pixels.astype(np.uint8)
    return np.asarray(image.convert("RGB"))


def emit(name):
    path = os.path.join(FOLDER, name)
    try:
        pixels = read(path)
    except Exception as error:
        print(json.dumps({"name": name, "error": str(error)}))
        return
    with open(path + ".rgb", "wb") as out:
        out.write(pixels.tobytes())
    print(json.dumps({"name": name, "width": pixels.shape[1], "height": pixels.shape[0]}))


def save(name, image, format=None, **options):
    image.save(os.path.join(FOLDER, name), format, **options)
    emit(name)


def put(name, data):
    with open(os.path.join(FOLDER, name), "wb") as out:
        out.write(data)
    emit(name)


def tiff(tags, strips, little=True):
    """A TIFF of one directory; strips or tiles as they are."""
    o = "<" if little else ">"
    data, offsets = b"", []
    for strip in strips:
        offsets.append(8 + len(data))
        data += strip + b"\0" * (len(strip) % 2)
    places = (324, 325) if 322 in tags else (273, 279)
    tags = {**tags, places[0]: ("I", offsets), places[1]: ("I", [len(it) for it in strips])}
    entries, extra = b"", b""
    at = 8 + len(data) + 2 + 12 * len(tags) + 4
    for tag, (kind, values) in sorted(tags.items()):
        number = {"H": 3, "I": 4}[kind]
        packed = struct.pack(f"{o}{len(values)}{kind}", *values)
        entries += struct.pack(f"{o}HHI", tag, number, len(values))
        if len(packed) <= 4:
            entries += packed.ljust(4, b"\0")
        else:
            entries += struct.pack(f"{o}I", at + len(extra))
            extra += packed + b"\0" * (len(packed) % 2)
    head = (b"II*\0" if little else b"MM\0*") + struct.pack(f"{o}I", 8 + len(data))
    return head + data + struct.pack(f"{o}H", len(tags)) + entries + b"\0\0\0\0" + extra


def tags(bits, photometric, **more):
    base = {256: ("I", [W]), 257: ("I", [H]), 258: ("H", bits), 259: ("H", [1]), 262: ("H", [photometric]),
            277: ("H", [len(bits)]), 278: ("I", [H])}
    return {**base, **{int(k[1:]): v for k, v in more.items()}}


def pack(levels, bits):
    """Rows of small numbers, each row to a whole byte."""
    rows = []
    for row in levels:
        text = "".join(format(int(it), f"0{bits}b") for it in row)
        text += "0" * (-len(text) % 8)
        rows.append(int(text, 2).to_bytes(len(text) // 8, "big"))
    return b"".join(rows)


def chunks(png):
    at = 8
    while at < len(png):
        (n,) = struct.unpack(">I", png[at : at + 4])
        yield png[at : at + 12 + n]
        at += 12 + n


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunk(image, new):
    out = io.BytesIO()
    image.save(out, "PNG")
    first, *rest = chunks(out.getvalue())
    return out.getvalue()[:8] + first + new + b"".join(rest)


# What people have.
save("plain.tga", rgb)
save("rle.tga", rgb, compression="tga_rle")
save("alpha.tga", rgba)
save("grey.tga", grey)
save("palette.tga", rgb.quantize(16))
save("colour.ppm", rgb)
save("grey.pgm", grey)
save("bits.pbm", grey.convert("1"))
put("text.ppm", f"P3\n# a comment\n{W} {H}\n255\n".encode() + " ".join(map(str, RGB.ravel())).encode())
put("text.pgm", f"P2 {W} {H} 255\n".encode() + " ".join(map(str, GREY.ravel())).encode())
put("text.pbm", f"P1 {W} {H}\n".encode() + " ".join(map(str, (GREY > 99).astype(int).ravel())).encode())
put("few-levels.pgm", f"P5 {W} {H} 15\n".encode() + (GREY // 16).tobytes())
put("16.pgm", f"P5 {W} {H} 65535\n".encode() + (GREY.astype(">u2") * 257).tobytes())
save("colour.qoi", rgb)
save("alpha.qoi", rgba)
save("sizes.ico", Image.fromarray(np.kron(RGBA, np.ones((3, 3, 1), np.uint8))[:64, :64]), sizes=[(16, 16), (64, 64)])
for mode in ("RGB", "L", "P"):
    save(f"png-{mode}.ico", rgb.convert(mode).resize((48, 48)), sizes=[(48, 48)])
save("bmp.ico", Image.fromarray(RGBA[:16, :16]), sizes=[(16, 16)], bitmap_format="bmp")
save("lossless.jp2", rgb)
save("lossless.j2k", grey)
save("alpha.jp2", rgba)
out = io.BytesIO()
rgb.save(out, "JPEG2000")
put("half.jp2", out.getvalue()[: len(out.getvalue()) // 2])
out = io.BytesIO()
rgb.save(out, "JPEG2000", no_jp2=True)
put("half.j2k", out.getvalue()[: len(out.getvalue()) // 2])
siz = struct.pack(">HHIIIIIIIIH", 41, 0, 4000, 4000, 0, 0, 1, 1, 0, 0, 1) + b"\7\1\1"
put("tiles.j2k", b"\xff\x4f\xff\x51" + siz + b"\xff\xd9")
siz = struct.pack(">HHIIIIIIIIH", 38 + 3 * 4000, 0, 1000, 1000, 0, 0, 1000, 1000, 0, 0, 4000) + b"\7\1\1" * 4000
put("components.j2k", b"\xff\x4f\xff\x51" + siz + b"\xff\xd9")
save("lossy.jp2", rgb, quality_mode="rates", quality_layers=[4], irreversible=True)

# TIFF.
for compression in ["tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd", "lzma", "group4", "jpeg", "raw"]:
    image = grey.convert("1") if compression == "group4" else rgb
    save(f"{compression}.tif", image, compression=None if compression == "raw" else compression)
for mode in ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F"]:
    if mode == "I;16":
        image = Image.fromarray(GREY.astype(np.uint16) * 257)
    elif mode in ("I", "F"):
        image = grey.convert(mode)
    elif mode == "LA":
        image = Image.merge("LA", [grey, Image.fromarray(ALPHA)])
    elif mode == "LAB":
        image = Image.fromarray(RGB, "LAB") if hasattr(Image, "_never") else Image.frombytes("LAB", (W, H), RGB.tobytes())
    else:
        image = rgba if mode == "RGBA" else rgb.convert(mode)
    save(f"mode-{mode.replace(';', '-')}.tif", image)
save("big.tif", rgb, big_tiff=True)
put("big-endian.tif", tiff(tags([8, 8, 8], 2), [RGB.tobytes()], little=False))
for bits in (2, 4, 12):
    put(f"grey-{bits}.tif", tiff(tags([bits], 1), [pack(GREY.astype(int) * (2**bits - 1) // 255, bits)]))
for bits in (2, 4):
    levels = GREY.astype(int) * (2**bits - 1) // 255
    put(f"white-is-zero-{bits}.tif", tiff(tags([bits], 0), [pack(levels, bits)]))
two = np.dstack([GREY, ALPHA])
put("grey-alpha.tif", tiff(tags([8, 8], 1, t338=("H", [2])), [two.tobytes()]))
put("grey-extra.tif", tiff(tags([8, 8], 1, t338=("H", [0])), [two.tobytes()]))
put("grey-premultiplied.tif", tiff(tags([8, 8], 1, t338=("H", [1])), [np.dstack([(GREY.astype(int) * ALPHA // 255).astype(np.uint8), ALPHA]).tobytes()]))
put("white-is-zero.tif", tiff(tags([8], 0), [GREY.tobytes()]))
put("planar.tif", tiff(tags([8, 8, 8], 2, t284=("H", [2])), [RGB[..., it].tobytes() for it in range(3)]))
tile = [np.pad(RGB, ((0, 32 - H), (0, 48 - W), (0, 0)))[:, a : a + 16] for a in (0, 16, 32)]
tiles = [it[b : b + 16] for b in (0, 16) for it in tile]
tiled = {k: v for k, v in tags([8, 8, 8], 2, t322=("I", [16]), t323=("I", [16])).items() if k != 278}
put("tiled.tif", tiff(tiled, [it.tobytes() for it in tiles]))
put("tiled-planar.tif", tiff({**tiled, 284: ("H", [2])}, [np.ascontiguousarray(it[..., c]).tobytes() for c in range(3) for it in tiles]))
premultiplied = np.dstack([(RGB.astype(int) * ALPHA[..., None] // 255).astype(np.uint8), ALPHA])
put("premultiplied.tif", tiff(tags([8] * 4, 2, t338=("H", [1])), [premultiplied.tobytes()]))
put("unassociated.tif", tiff(tags([8] * 4, 2, t338=("H", [2])), [RGBA.tobytes()]))
put("extra-unknown.tif", tiff(tags([8] * 4, 2, t338=("H", [0])), [RGBA.tobytes()]))
bits = pack(GREY > 99, 1)
put("fill-order.tif", tiff(tags([1], 1, t266=("H", [2])), [bytes(int(f"{it:08b}"[::-1], 2) for it in bits)]))
for turn in range(1, 9):
    put(f"turned-{turn}.tif", tiff(tags([8, 8, 8], 2, t274=("H", [turn])), [RGB.tobytes()]))

# PNG and its kin: where the orientation stands, and what is missing.
exif = Image.Exif()
exif[0x0112] = 6
body = b"\nexif\n%8d\n" % len(exif.tobytes()) + exif.tobytes().hex().encode() + b"\n"
put("raw-profile.png", with_chunk(rgb, chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(body))))
put("raw-profile-text.png", with_chunk(rgb, chunk(b"tEXt", b"Raw profile type exif\0" + body)))
xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="8" /></x:xmpmeta>'
itxt = b"XML:com.adobe.xmp\0\0\0\0\0"
put("xmp.png", with_chunk(rgb, chunk(b"iTXt", itxt + xmp)))
element = b"<rdf:Description><tiff:Orientation>3</tiff:Orientation></rdf:Description>"
put("xmp-element.png", with_chunk(rgb, chunk(b"iTXt", itxt + element)))
save("exif.png", rgb, exif=exif)
out = io.BytesIO()
rgb.save(out, "PNG")
put("no-end.png", out.getvalue()[:-12])
put("16.png", with_chunk(Image.fromarray(GREY.astype(np.uint16) * 257), b""))
save("palette-alpha.png", rgba.quantize(16))
save("grey-alpha.png", Image.merge("LA", [grey, Image.fromarray(ALPHA)]))
save("bits.png", grey.convert("1"))
save("xmp.webp", rgb, lossless=True, xmp=xmp)
save("exif.webp", rgb, lossless=True, exif=exif)
save("alpha.webp", rgba, lossless=True, exact=True)
save("xmp.jpg", rgb, xmp=xmp)
save("exif.jpg", rgb, exif=exif)
save("xmp.tif", rgb, tiffinfo={700: xmp})
save("xmp-and-exif.jpg", rgb, xmp=xmp, exif=exif)

# BMP: bit fields and header offsets.
save("plain.bmp", rgb)
save("palette.bmp", rgb.quantize(16))
save("bits.bmp", grey.convert("1"))


def bmp(bits, masks, data, offset=0, header=40, compression=3):
    fields = struct.pack("<IiiHHIIiiII", header, W, H, 1, bits, compression, len(data), 0, 0, 0, 0)
    fields += struct.pack(f"<{len(masks)}I", *masks)
    if header > 40:
        fields = fields.ljust(header, b"\0")
    at = 14 + len(fields) + offset
    return b"BM" + struct.pack("<IHHI", at + len(data), 0, 0, at) + fields + b"\0" * offset + data


def rows16(values):
    return b"".join(it.tobytes().ljust((2 * W + 3) // 4 * 4, b"\0") for it in values[::-1].astype("<u2"))


R, G, B = (RGB[..., it].astype(int) for it in range(3))
put("565.bmp", bmp(16, [0xF800, 0x7E0, 0x1F], rows16((R >> 3) << 11 | (G >> 2) << 5 | B >> 3)))
put("555.bmp", bmp(16, [0x7C00, 0x3E0, 0x1F], rows16((R >> 3) << 10 | (G >> 3) << 5 | B >> 3)))
put("664.bmp", bmp(16, [0xFC00, 0x3F0, 0xF], rows16((R >> 2) << 10 | (G >> 2) << 4 | B >> 4)))
whole = np.dstack([RGB[..., ::-1], ALPHA])[::-1].tobytes()
put("8888.bmp", bmp(32, [0xFF0000, 0xFF00, 0xFF, 0xFF000000], whole, header=56))
put("x888.bmp", bmp(32, [0xFF0000, 0xFF00, 0xFF], whole))
put("rgba-order.bmp", bmp(32, [0xFF, 0xFF00, 0xFF0000, 0xFF000000], RGBA[::-1].tobytes(), header=56))
put("plain-32.bmp", bmp(32, [], whole, compression=0))
lines = b"".join(it[:, ::-1].tobytes().ljust((3 * W + 3) // 4 * 4, b"\0") for it in RGB[::-1])
put("offset.bmp", bmp(24, [], lines, offset=10, compression=0))
save("first.gif", rgb.quantize(32), save_all=True, append_images=[grey.quantize(8)])
