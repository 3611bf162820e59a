#!/usr/bin/env python3
"""Writes the demo's test set: the first 2,000 of Fashion-MNIST's 10,000 test images, their labels, and 32 of the
images as an input file for perf_analyzer.

    python3 make_test_set.py
"""

import argparse
import base64
import gzip
import json
import pathlib
import struct

HERE = pathlib.Path(__file__).resolve().parent
DATA = pathlib.Path("/usr/share/datasets/fashion-mnist")
IMAGES = 2_000
PERF_ANALYZER_IMAGES = 32
PIXELS = 28 * 28


def write(path, content):
    """Compressed without a time stamp, so that equal content gives equal bytes."""
    path.write_bytes(gzip.compress(content, compresslevel=9, mtime=0))


def perf_analyzer_input(pixels):
    """Each image as the raw bytes of a float32 tensor with values in 0..1."""
    images = [pixels[i * PIXELS : (i + 1) * PIXELS] for i in range(PERF_ANALYZER_IMAGES)]
    tensors = [struct.pack(f"<{PIXELS}f", *(pixel / 255 for pixel in image)) for image in images]
    rows = [{"image": {"b64": base64.b64encode(tensor).decode(), "shape": [1, 28, 28]}} for tensor in tensors]
    return "\n".join(['{ "data": [', ",\n".join(json.dumps(row) for row in rows), "] }", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, default=DATA, help="folder of the t10k IDX .gz files")
    parser.add_argument("--output", type=pathlib.Path, default=HERE.parent / "data")
    arguments = parser.parse_args()
    pixels = gzip.decompress((arguments.data / "t10k-images-idx3-ubyte.gz").read_bytes())[16 : 16 + IMAGES * PIXELS]
    labels = gzip.decompress((arguments.data / "t10k-labels-idx1-ubyte.gz").read_bytes())[8 : 8 + IMAGES]
    arguments.output.mkdir(parents=True, exist_ok=True)
    write(arguments.output / "test-images-idx3-ubyte.gz", struct.pack(">IIII", 0x803, IMAGES, 28, 28) + pixels)
    write(arguments.output / "test-labels-idx1-ubyte.gz", struct.pack(">II", 0x801, IMAGES) + labels)
    (arguments.output / "perf_analyzer.json").write_text(perf_analyzer_input(pixels))


if __name__ == "__main__":
    main()
