"""Peer: a loader of processes as torchvision's, and OpenVINO's asynchronous inference.

    openvino_async.py MODEL OUTPUT PRECISION PROCESSES FOLDER

PRECISION is f32 or bf16. Embeds every file of FOLDER (short side 256, centre crop 224) and prints JSON: images
and seconds from the first picture to the last row (start-up and imports not counted).
"""

import json
import multiprocessing
import sys
import time

import numpy

from loader import BATCH, batches, load

model, output, precision, n_processes, folder = sys.argv[1:]

if __name__ == "__main__":
    with multiprocessing.Pool(int(n_processes)) as pool:
        pool.map(len, [[]] * 8)  # Every process is up before the clock starts.
        import openvino

        core = openvino.Core()
        network = core.read_model(model)
        shape = network.inputs[0].partial_shape
        shape[0] = -1
        network.reshape(shape)
        names = {name: index for index, out in enumerate(network.outputs) for name in out.names}
        index = names[output]
        hints = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "THROUGHPUT"}
        compiled = core.compile_model(network, "CPU", hints)
        rows = []
        queue = openvino.AsyncInferQueue(compiled)
        queue.set_callback(lambda request, _: rows.append(request.get_output_tensor(index).data.copy()))
        queue.start_async({0: numpy.zeros((BATCH, 3, 224, 224), numpy.float32)})
        queue.wait_all()
        rows.clear()
        begin = time.perf_counter()
        for pixels in pool.imap_unordered(load, batches(folder)):
            queue.start_async({0: pixels})
        queue.wait_all()
        seconds = time.perf_counter() - begin
    pool.join()
    print(json.dumps({"n_images": sum(len(row) for row in rows), "seconds": seconds}))
