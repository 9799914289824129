"""Peers for sounds: sound_peers.py PEER MODEL OUTPUT WINDOW HOP SHORT CORES FOLDER [OUT]

PEER is `onnxruntime` (one sound after another, all threads in one session) or `pool` (the same in a process a core, one
thread each). Sounds are read by soundfile, resampled by soxr as librosa does, cut into windows as headstart does, and
their rows averaged; with OUT resampling is torchaudio's, to compare. Prints JSON: sounds, seconds from the first sound
to the last row, start-up not counted; with OUT, names and rows go there, `.npz`.
"""

import json
import multiprocessing
import os
import pathlib
import sys
import time

import numpy as np
import soundfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../tests/python"))
import sounds

peer, model, output, window, hop, short, cores, folder = sys.argv[1:9]
out = sys.argv[9] if len(sys.argv) > 9 else None
window, hop, cores = int(window), int(hop), int(cores)
folder = pathlib.Path(folder)
files = sorted(str(it) for it in folder.rglob("*") if it.suffix in (".wav", ".flac", ".mp3", ".ogg"))


def start(n_threads):
    global session
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def embed(file):
    x, rate = soundfile.read(file, dtype="float32", always_2d=True)
    x = x.mean(axis=1)
    if rate != sounds.RATE:
        if out:
            x = sounds.resample(x, rate)
        else:
            import soxr

            x = soxr.resample(x, rate, sounds.RATE)
    cut = sounds.windows(x, window, hop, short)
    rows = [session.run([output], {"waveform": it[None]})[0][0] for it in cut]
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
