#!/usr/bin/env python3
"""Asks the demo cascade through NVIDIA's own client library, in the three ways it offers.

    npm start                                      # in one terminal
    python3 -m venv venv && venv/bin/pip install -r requirements.txt
    venv/bin/python infer.py [--url localhost:8001]
"""

import argparse
import gzip
import pathlib
import queue

import numpy as np
import tritonclient.grpc as triton

DEMO = pathlib.Path(__file__).resolve().parents[2] / "fashion-mnist"
LABELS = (DEMO / "models/fashion/labels.txt").read_text().splitlines()


def test_images(count):
    """The first images of the demo's test set as float32 [count, 1, 28, 28] in 0..1."""
    pixels = gzip.decompress((DEMO / "data/test-images-idx3-ubyte.gz").read_bytes())[16 : 16 + count * 784]
    return np.frombuffer(pixels, np.uint8).reshape(count, 1, 28, 28).astype(np.float32) / 255


def image_input(images):
    tensor = triton.InferInput("image", images.shape, "FP32")
    tensor.set_data_from_numpy(images)
    return [tensor]


def describe(result):
    """One line a row: the answer, the level that gave it, that level's confidence."""
    labels = result.as_numpy("logits").argmax(axis=1)
    levels = result.as_numpy("CASCADE_LEVEL").reshape(-1)
    confidences = result.as_numpy("CASCADE_CONFIDENCE").reshape(-1)
    rows = zip(labels, levels, confidences)
    return "\n".join(f"  {LABELS[a]:12} level {k}  confidence {100 * q:.1f} %" for a, k, q in rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="localhost:8001")
    arguments = parser.parse_args()
    client = triton.InferenceServerClient(arguments.url)
    try:
        client.is_server_ready()
    except triton.InferenceServerException as error:
        raise SystemExit(f"no server answers at {arguments.url} ({error.message()}); start one with: npm start")
    images = test_images(16)

    print("One request of four images:")
    print(describe(client.infer("fashion", image_input(images[:4]))))

    print("The same, never beyond level 0 (request parameter cascade_max_level):")
    print(describe(client.infer("fashion", image_input(images[:4]), parameters={"cascade_max_level": 0})))

    print("Four requests at once, answered by callback (async_infer):")
    answers = queue.Queue()
    for i in range(4):
        client.async_infer(
            "fashion", image_input(images[4 + i : 5 + i]), request_id=str(i),
            callback=lambda result, error: answers.put(error or result),
        )
    for result in sorted(received(answers, 4), key=lambda result: result.get_response().id):
        print(describe(result))

    print("Eight requests over one stream, answered in order (start_stream):")
    client.start_stream(lambda result, error: answers.put(error or result))
    for i in range(8):
        client.async_stream_infer("fashion", image_input(images[8 + i : 9 + i]), request_id=str(i))
    for result in received(answers, 8):
        print(describe(result))
    client.stop_stream()


def received(answers, count):
    """The next answers; an error among them is raised."""
    results = [answers.get(timeout=10) for _ in range(count)]
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results


if __name__ == "__main__":
    main()
