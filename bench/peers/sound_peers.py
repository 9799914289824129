"""Peers for sounds: sound_peers.py PEER MODEL OUTPUT WINDOW HOP SHORT CORES FOLDER [OUT]

PEER is `onnxruntime` (one sound after another, all threads in one session) or `pool` (the same in a process a core, one
thread each). Sounds are read by soundfile, resampled by soxr as librosa does, cut into windows as headstart does, and
their rows averaged; with OUT resampling is torchaudio's, to compare. Prints JSON: sounds, seconds from the first sound
to the last row, start-up not counted; with OUT, names and rows go there, `.npz`.
"""

import json
import math
import multiprocessing
import pathlib
import sys
import time

import numpy as np
import soundfile

peer, model, output, window, hop, short, cores, folder = sys.argv[1:9]
out = sys.argv[9] if len(sys.argv) > 9 else None
window, hop, cores = int(window), int(hop), int(cores)
RATE = 16000
folder = pathlib.Path(folder)
files = sorted(str(it) for it in folder.rglob("*") if it.suffix in (".wav", ".flac", ".mp3", ".ogg"))


def start(n_threads):
    global session
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def as_torchaudio(x, rate):
    g = math.gcd(rate, RATE)
    rate, to = rate // g, RATE // g
    base = min(rate, to) * 0.99
    width = math.ceil(6 * rate / base)
    t = np.arange(-width, width + rate)[None] / rate - np.arange(to)[:, None] / to
    t = np.clip(t * base, -6, 6)
    kernel = (np.sinc(t) * np.cos(t * np.pi / 12) ** 2 * base / rate).astype(np.float32)
    padded = np.pad(x, (width, width + rate))
    frames = np.lib.stride_tricks.sliding_window_view(padded, 2 * width + rate)[np.arange(0, len(x) + 1, rate)]
    return (frames @ kernel.T).reshape(-1)[: math.ceil(to * len(x) / rate)]


def embed(file):
    x, rate = soundfile.read(file, dtype="float32", always_2d=True)
    x = x.mean(axis=1)
    if rate != RATE:
        if out:
            x = as_torchaudio(x, rate)
        else:
            import soxr

            x = soxr.resample(x, rate, RATE)
    if len(x) < window:
        x = np.pad(x, (0, window - len(x))) if short == "zeros" else np.resize(x, window)
    begins = [*range(0, len(x) - window + 1, hop)]
    if begins[-1] + window < len(x):
        begins.append(len(x) - window)
    rows = [session.run([output], {"waveform": x[None, it : it + window]})[0][0] for it in begins]
    return np.mean(rows, axis=0)


if __name__ == "__main__":
    if peer == "pool":
        with multiprocessing.Pool(cores, start, [1]) as pool:
            pool.map(len, [[]] * 8)  # Every process is up before the clock starts.
            begin = time.perf_counter()
            rows = pool.map(embed, files, chunksize=4)
            seconds = time.perf_counter() - begin
    else:
        start(cores)
        embed(files[0])
        begin = time.perf_counter()
        rows = [embed(it) for it in files]
        seconds = time.perf_counter() - begin
    if out:
        names = [str(pathlib.Path(it).relative_to(folder)) for it in files]
        np.savez(out, rows=np.array(rows, np.float32), names=np.array(names))
    print(json.dumps({"n_sounds": len(files), "seconds": seconds}))
