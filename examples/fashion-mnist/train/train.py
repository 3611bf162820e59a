#!/usr/bin/env python3
"""Trains the demo's three models, or the network of the fourth, and writes them into the demo repository.

    python3 train.py                 # the three, about 25 minutes on two cores
    python3 train.py --only xs       # one
    python3 train.py --only wide     # the network of fashion-xl, which ensemble.py makes: 40 minutes on two cores

Split of the 60,000 training images, in file order: the first 48,000 train, the last 12,000 are never shown to a
model, so that with the 10,000 test images 22,000 remain for calibrating and certifying a cascade.
"""

import argparse
import gzip
import json
import pathlib
import time

import numpy
import torch

from models import DEMO, RECIPES

HERE = pathlib.Path(__file__).resolve().parent
DATA = pathlib.Path("/usr/share/datasets/fashion-mnist")
TRAIN_IMAGES = 48_000
BATCH = 128


def read_images(path):
    """IDX images as float32 [n, 1, 28, 28] in 0..1."""
    with gzip.open(path) as file:
        pixels = numpy.frombuffer(file.read(), numpy.uint8, offset=16).reshape(-1, 1, 28, 28)
    return torch.from_numpy(pixels.astype(numpy.float32) / 255)


def read_labels(path):
    """IDX labels as int64 [n]."""
    with gzip.open(path) as file:
        return torch.from_numpy(numpy.frombuffer(file.read(), numpy.uint8, offset=8).astype(numpy.int64))


def augment(images, generator):
    """Flips half of the images and shifts every image by up to two pixels (zeros come in)."""
    n = len(images)
    flip = torch.rand(n, generator=generator) < 0.5
    images = torch.where(flip[:, None, None, None], images.flip(3), images)
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))
    top = torch.randint(0, 5, (n, 1), generator=generator)
    left = torch.randint(0, 5, (n, 1), generator=generator)
    rows = (top + torch.arange(28))[:, None, :, None]
    columns = (left + torch.arange(28))[:, None, None, :]
    return padded[torch.arange(n)[:, None, None, None], 0, rows, columns]


def accuracy(model, images, labels):
    model.eval()
    with torch.no_grad():
        right = sum(
            (model(images[i : i + 1000]).argmax(1) == labels[i : i + 1000]).sum().item()
            for i in range(0, len(images), 1000)
        )
    return right / len(images)


def train(name, images, labels, seed):
    build, epochs, learning_rate = RECIPES[name]
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = build()
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.01)
    steps = len(images) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=epochs * steps)
    for epoch in range(epochs):
        model.train()
        started = time.time()
        order = torch.randperm(len(images), generator=generator)
        total = 0.0
        for step in range(steps):
            rows = order[step * BATCH : (step + 1) * BATCH]
            loss = torch.nn.functional.cross_entropy(model(augment(images[rows], generator)), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"{name} epoch {epoch + 1}/{epochs}: loss {total / steps:.4f}, {time.time() - started:.0f} s", flush=True)
    return model


def export(model, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        model.eval(), torch.zeros(1, 1, 28, 28), str(path),
        input_names=["image"], output_names=["logits"],
        dynamic_axes={"image": {0: "N"}, "logits": {0: "N"}}, opset_version=15,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, default=DATA, help="folder of the four IDX .gz files")
    parser.add_argument("--only", choices=RECIPES, help="train one model")
    parser.add_argument("--output", type=pathlib.Path, default=HERE.parent / "models", help="model repository")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    images = read_images(arguments.data / "train-images-idx3-ubyte.gz")[:TRAIN_IMAGES]
    labels = read_labels(arguments.data / "train-labels-idx1-ubyte.gz")[:TRAIN_IMAGES]
    test_images = read_images(arguments.data / "t10k-images-idx3-ubyte.gz")
    test_labels = read_labels(arguments.data / "t10k-labels-idx1-ubyte.gz")
    for name in [arguments.only] if arguments.only else DEMO:
        started = time.time()
        model = train(name, images, labels, arguments.seed)
        export(model, arguments.output / f"fashion-{name}" / "1" / "model.onnx")
        result = {"model": name, "testAccuracy": accuracy(model, test_images, test_labels),
                  "seconds": round(time.time() - started)}
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
