#!/usr/bin/env python3
"""Trains four classifiers of letters in four sizes and writes them into the model repository beside this file, and the
rows that none of them has seen into held-out.npz.

    python3 train.py            # about four minutes of one core

The 20,000 rows of LetterRecognition, in file order: the first 8,000 train, the last 12,000 are held out, less the rows
that training has too (the features are so coarse that some letters share all of them). Data: Debian's package
r-cran-mlbench. Needs torch (>= 1.13, < 2.9) and numpy, like examples/fashion-mnist/train.
"""

import argparse
import json
import lzma
import pathlib
import time

import numpy
import torch
from torch import nn

from rda import read_frame

HERE = pathlib.Path(__file__).resolve().parent
DATA = pathlib.Path("/usr/lib/R/site-library/mlbench/data/LetterRecognition.rda")
TRAIN_ROWS = 8_000
BATCH = 128
CLASSES = 26
FEATURES = 16


class Normalize(nn.Module):
    """Features with mean 0 and deviation 1 on the training rows; part of the network, so a client never normalises."""

    def __init__(self, features):
        super().__init__()
        self.register_buffer("mean", features.mean(0))
        self.register_buffer("deviation", features.std(0))

    def forward(self, features):
        return (features - self.mean) / self.deviation


def mlp(*widths):
    """Layers of these widths with ReLU and a little dropout, then one score a class."""
    layers = []
    for inputs, outputs in zip((FEATURES, *widths), widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(0.1 if outputs >= 128 else 0)]
    return nn.Sequential(*layers, nn.Linear(widths[-1] if widths else FEATURES, CLASSES))


# model: (network, name of its output, epochs, highest learning rate). The names differ as those of real exports do.
RECIPES = {
    "letter-linear": (lambda: mlp(), "scores", 30, 0.02),
    "letter-mlp16": (lambda: mlp(16), "y", 60, 0.02),
    "letter-mlp128": (lambda: mlp(128), "logits", 60, 0.01),
    "letter-mlp512": (lambda: mlp(512, 512), "out", 60, 0.003),
}


def train(build, features, labels, epochs, learning_rate, seed):
    torch.manual_seed(seed)
    model = nn.Sequential(Normalize(features), build())
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.01)
    steps = len(features) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=epochs * steps)
    model.train()
    for _ in range(epochs):
        order = torch.randperm(len(features))
        for step in range(steps):
            rows = order[step * BATCH : (step + 1) * BATCH]
            loss = nn.functional.cross_entropy(model(features[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, default=DATA, help="LetterRecognition.rda of R's mlbench")
    parser.add_argument("--output", type=pathlib.Path, default=HERE, help="gets models/ and held-out.npz")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    frame = read_frame(lzma.decompress(arguments.data.read_bytes()))
    labels = numpy.array(frame.pop("lettr")) - 1  # R counts from 1; the classes are A to Z
    features = numpy.array(list(frame.values()), numpy.uint8).T
    known = {row.tobytes() for row in features[:TRAIN_ROWS]}
    unseen = numpy.array([i for i in range(TRAIN_ROWS, len(features)) if features[i].tobytes() not in known])
    seen = torch.from_numpy(features[:TRAIN_ROWS].astype(numpy.float32)), torch.from_numpy(labels[:TRAIN_ROWS])
    held_out = torch.from_numpy(features[unseen].astype(numpy.float32)), torch.from_numpy(labels[unseen])
    arguments.output.mkdir(parents=True, exist_ok=True)
    numpy.savez_compressed(
        arguments.output / "held-out.npz", features=features[unseen], labels=labels[unseen].astype(numpy.uint8)
    )
    print(json.dumps({"trainRows": TRAIN_ROWS, "heldOutRows": len(unseen)}))
    for name, (build, output, epochs, learning_rate) in RECIPES.items():
        started = time.time()
        model = train(build, *seen, epochs, learning_rate, arguments.seed)
        path = arguments.output / "models" / name / "1" / "model.onnx"
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.onnx.export(
            model, torch.zeros(1, FEATURES), str(path), input_names=["features"], output_names=[output],
            dynamic_axes={"features": {0: "N"}, output: {0: "N"}}, opset_version=15,
        )
        with torch.no_grad():
            right = [(model(x).argmax(1) == y).float().mean().item() for x, y in (seen, held_out)]
        result = {"model": name, "parameters": sum(p.numel() for p in model.parameters()),
                  "trainAccuracy": round(right[0], 4), "heldOutAccuracy": round(right[1], 4),
                  "seconds": round(time.time() - started)}
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
