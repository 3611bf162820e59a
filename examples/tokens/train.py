#!/usr/bin/env python3
"""Trains three networks that add two numbers digit by digit and writes them into the model repository beside this file,
and fresh sums that none of them has seen into held-out.npz.

    python3 train.py            # a minute and a half of one core

A row is a sum: token t is the pair of digits in column t, lowest column first (10 a + b + 1; 0 is padding), so the answer
to a row is a digit for every column. A column needs the carry of the one below, which needs the one below that, and so on:
a network that looks at few columns is right on most sums, and cannot know the others. One column in a hundred is
unreadable (token 101): nobody can know its digit, and one network can guess it as well as another. Needs torch
(>= 1.13, < 2.9) and numpy, like examples/fashion-mnist/train.
"""

import argparse
import json
import pathlib
import time

import numpy
import torch
from torch import nn

HERE = pathlib.Path(__file__).resolve().parent
TOKENS = 8
SHORTEST_DIGITS = 3
DIGITS = 10
PADDING = 0
UNREADABLE = DIGITS * DIGITS + 1
UNREADABLE_SHARE = 0.01
BATCH = 256
HELD_OUT_ROWS = 5_000
HELD_OUT_SEED = 20_000


class Adder(nn.Module):
    """Columns are embedded, then convolved with the `below` columns under them in each layer, then classified.

    tokens int64 [N, T] -> logits float32 [N, T, 10], mask int64 [N, T] (0 at padding).
    """

    def __init__(self, width, layers):
        super().__init__()
        self.embedding = nn.Embedding(UNREADABLE + 1, width)
        self.layers = nn.ModuleList([nn.Conv1d(width, width, below + 1) for below in layers])
        self.below = layers
        self.head = nn.Linear(width, DIGITS)

    def forward(self, tokens):
        x = self.embedding(tokens).transpose(1, 2)
        for below, layer in zip(self.below, self.layers):
            x = torch.relu(layer(nn.functional.pad(x, (below, 0)))) + x
        return self.head(x.transpose(1, 2)), (tokens != PADDING).long()


# model: (width, columns below that each layer sees, steps, highest learning rate)
RECIPES = {
    "sum-s": (16, (1,), 1500, 0.02),
    "sum-m": (32, (1, 1), 2500, 0.01),
    "sum-l": (64, (1, 2, 2, 2), 4000, 0.003),
}


def sums(rows, generator):
    """tokens [rows, TOKENS], digits [rows, TOKENS] (-1 at padding): numbers of 3 to 7 digits, lowest digit first."""
    digits = generator.integers(SHORTEST_DIGITS, TOKENS, rows)  # the sum may have one more
    column = numpy.arange(TOKENS)
    a, b = (generator.integers(0, DIGITS, (rows, TOKENS)) * (column < digits[:, None]) for _ in range(2))
    place = DIGITS**column
    total = (a * place).sum(1) + (b * place).sum(1)
    counts = column <= digits[:, None]
    readable = generator.random((rows, TOKENS)) >= UNREADABLE_SHARE
    tokens = numpy.where(counts, numpy.where(readable, DIGITS * a + b + 1, UNREADABLE), PADDING)
    return tokens, numpy.where(counts, total[:, None] // place % DIGITS, -1)


def train(width, layers, steps, learning_rate, seed):
    torch.manual_seed(seed)
    generator = numpy.random.default_rng(seed)
    model = Adder(width, layers)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps)
    for _ in range(steps):
        tokens, digits = (torch.from_numpy(values) for values in sums(BATCH, generator))
        logits, _ = model(tokens)
        loss = nn.functional.cross_entropy(logits.reshape(-1, DIGITS), digits.reshape(-1), ignore_index=-1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default=HERE, help="gets models/ and held-out.npz")
    parser.add_argument("--only", choices=RECIPES, help="train one model")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tokens, digits = sums(HELD_OUT_ROWS, numpy.random.default_rng(HELD_OUT_SEED))
    arguments.output.mkdir(parents=True, exist_ok=True)
    numpy.savez_compressed(
        arguments.output / "held-out.npz",
        tokens=tokens.astype(numpy.uint8), labels=digits.astype(numpy.int8), mask=(tokens != PADDING).astype(numpy.uint8),
    )
    for name in [arguments.only] if arguments.only else RECIPES:
        started = time.time()
        model = train(*RECIPES[name], arguments.seed)
        path = arguments.output / "models" / name / "1" / "model.onnx"
        path.parent.mkdir(parents=True, exist_ok=True)
        axes = {0: "N", 1: "T"}
        torch.onnx.export(
            model, torch.zeros(1, TOKENS, dtype=torch.int64), str(path),
            input_names=["tokens"], output_names=["logits", "mask"],
            dynamic_axes={"tokens": axes, "logits": axes, "mask": axes}, opset_version=15,
        )
        with torch.no_grad():
            answers = model(torch.from_numpy(tokens))[0].argmax(2).numpy()
        right = (answers == digits) | (digits == -1)
        result = {"model": name, "parameters": sum(p.numel() for p in model.parameters()),
                  "digitAccuracy": round(right[digits != -1].mean(), 4), "sumAccuracy": round(right.all(1).mean(), 4),
                  "seconds": round(time.time() - started)}
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
