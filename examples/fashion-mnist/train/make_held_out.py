#!/usr/bin/env python3
"""Writes the 22,000 images that no model of the demo has seen, as data for `hybridserve calibrate` and record.ts:
the last 12,000 of Fashion-MNIST's training images, then its 10,000 test images.

    python3 make_held_out.py --output /tmp/held-out.npz

Arrays: image, uint8 [22000, 1, 28, 28]; labels, uint8 [22000]. 10 MB, not in git. Needs no package.
"""

import argparse
import gzip
import pathlib
import struct
import zipfile

DATA = pathlib.Path("/usr/share/datasets/fashion-mnist")
TRAIN_IMAGES = 48_000
PIXELS = 28 * 28


def npy(shape, content):
    """A NumPy array file of bytes."""
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"
    length = -(-(10 + len(header) + 1) // 64) * 64 - 10
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", length) + header.ljust(length - 1).encode() + b"\n" + content


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, default=DATA, help="folder of the four IDX .gz files")
    parser.add_argument("--output", type=pathlib.Path, required=True)
    arguments = parser.parse_args()

    def read(name, header_bytes):
        return gzip.decompress((arguments.data / name).read_bytes())[header_bytes:]

    pixels = read("train-images-idx3-ubyte.gz", 16)[TRAIN_IMAGES * PIXELS :] + read("t10k-images-idx3-ubyte.gz", 16)
    labels = read("train-labels-idx1-ubyte.gz", 8)[TRAIN_IMAGES:] + read("t10k-labels-idx1-ubyte.gz", 8)
    with zipfile.ZipFile(arguments.output, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("image.npy", npy((len(labels), 1, 28, 28), pixels))
        archive.writestr("labels.npy", npy(f"({len(labels)},)", labels))


if __name__ == "__main__":
    main()
