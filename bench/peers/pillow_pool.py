"""Peer: Pillow + onnxruntime in a pool of processes, one thread each.

    pillow_pool.py MODEL OUTPUT PROCESSES FOLDER

Embeds every file of FOLDER (short side 256, centre crop 224) and prints JSON: images, seconds from the first
picture to the last row (start-up and imports not counted), peak memory of all processes.
"""

import json
import multiprocessing
import resource
import sys
import time

from loader import batches, load

model, output, n_processes, folder = sys.argv[1:]


def start():
    global session
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def embed(paths):
    return session.run([output], {session.get_inputs()[0].name: load(paths)})[0].shape[0]


if __name__ == "__main__":
    with multiprocessing.Pool(int(n_processes), start) as pool:
        pool.map(len, [[]] * 8)  # Every process is up before the clock starts.
        begin = time.perf_counter()
        n_images = sum(pool.imap_unordered(embed, batches(folder)))
        seconds = time.perf_counter() - begin
    pool.join()
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    print(json.dumps({"n_images": n_images, "seconds": seconds, "peak_memory_bytes_largest": peak}))
