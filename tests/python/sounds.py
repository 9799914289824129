"""Sounds as Python has them: soundfile, a resampling by NumPy as torchaudio's, onnxruntime.

sounds.py make FOLDER                          writes sounds of many kinds, and what each becomes at 16 kHz
sounds.py embed MODEL INPUT OUTPUT WINDOW HOP SHORT STATISTICS < paths   embeddings of files, as JSON lines
"""

import json
import math
import pathlib
import sys

import numpy as np
import soundfile

RATE = 16000


def resample(x, rate, to=RATE):
    """torchaudio.functional.resample, sinc_interp_hann: kernels in float64, applied in float32."""
    g = math.gcd(rate, to)
    rate, to = rate // g, to // g
    if rate == to:
        return x
    base = min(rate, to) * 0.99
    width = math.ceil(6 * rate / base)
    t = np.arange(-width, width + rate)[None] / rate - np.arange(to)[:, None] / to
    t = np.clip(t * base, -6, 6)
    kernel = (np.sinc(t) * np.cos(t * np.pi / 12) ** 2 * base / rate).astype(np.float32)
    padded = np.pad(x, (width, width + rate))
    starts = np.arange(0, len(x) + 1, rate)
    frames = np.lib.stride_tricks.sliding_window_view(padded, 2 * width + rate)[starts]
    return (frames @ kernel.T).reshape(-1)[: math.ceil(to * len(x) / rate)]


def waveform(path):
    x, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return resample(x.mean(axis=1), rate)


def windows(x, length, hop, short):
    if len(x) < length:
        x = np.pad(x, (0, length - len(x))) if short == "zeros" else np.resize(x, length)
    begins = [*range(0, len(x) - length + 1, hop)]
    if begins[-1] + length < len(x):
        begins.append(len(x) - length)
    return np.stack([x[it : it + length] for it in begins])


def tone(n, rate, channels=1, seed=0):
    rng = np.random.default_rng(seed)
    t = np.arange(n) / rate
    left = 0.4 * np.sin(2 * np.pi * 440 * t) + 0.2 * np.sin(2 * np.pi * 1731.3 * t + 1)
    x = np.stack([left * (1 - 0.1 * it) + 0.02 * rng.standard_normal(n) for it in range(channels)], axis=1)
    return x.clip(-0.99, 0.99)


def make(folder):
    folder = pathlib.Path(folder)
    kinds = []
    for rate in [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 96000, 192000, 12345]:
        kinds.append((f"rate{rate}.wav", dict(rate=rate)))
    for channels in [1, 2, 3, 6, 8]:
        kinds.append((f"channels{channels}.wav", dict(channels=channels)))
    for subtype in ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM"]:
        kinds.append((f"{subtype.lower()}.wav", dict(subtype=subtype)))
    for subtype in ["PCM_S8", "PCM_16", "PCM_24", "FLOAT", "DOUBLE"]:
        kinds.append((f"{subtype.lower()}.aiff", dict(format="AIFF", subtype=subtype)))
    for subtype in ["PCM_S8", "PCM_16", "PCM_24"]:
        kinds.append((f"{subtype.lower()}.flac", dict(format="FLAC", subtype=subtype, channels=2)))
    kinds.append(("extensible.wav", dict(format="WAVEX", channels=2)))
    kinds.append(("big.wav", dict(format="RF64")))
    kinds.append(("vorbis.ogg", dict(format="OGG", subtype="VORBIS", channels=2, rate=44100)))
    kinds.append(("layer3.mp3", dict(format="MP3", subtype="MPEG_LAYER_III", rate=44100, channels=2)))
    kinds.append(("layer3_16k.mp3", dict(format="MP3", subtype="MPEG_LAYER_III", rate=16000)))
    kinds.append(("short.wav", dict(seconds=0.01)))
    kinds.append(("one.wav", dict(n=1)))
    kinds.append(("opus.opus", dict(format="OGG", subtype="OPUS", rate=48000)))
    kinds.append(("sun.au", dict(format="AU")))
    listed = []
    for seed, (name, kind) in enumerate(kinds):
        rate, channels = kind.get("rate", RATE), kind.get("channels", 1)
        n = kind.get("n", int(rate * kind.get("seconds", 1.37)))
        container = kind.get("format", "WAV")
        soundfile.write(folder / name, tone(n, rate, channels, seed), rate, kind.get("subtype"), format=container)
        waveform(folder / name).astype("<f4").tofile(folder / f"{name}.f32")
        listed.append(name)
    print(json.dumps(listed))


def embed(model, source, output, window, hop, short, statistics):
    import onnxruntime

    session = onnxruntime.InferenceSession(model)
    for line in sys.stdin.read().splitlines():
        x = windows(waveform(line).astype(np.float32), int(window), int(hop), short)
        rows = np.concatenate([session.run([output], {source: it[None]})[0] for it in x]).astype(np.float64)
        row = rows.mean(axis=0)
        if statistics == "mean-std":
            row = np.concatenate([row, rows.std(axis=0)])
        print(json.dumps(row.tolist()))


if __name__ == "__main__":
    {"make": make, "embed": embed}[sys.argv[1]](*sys.argv[2:])
