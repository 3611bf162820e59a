"""The model family of the demo: one architecture idea in three sizes, and a Wide ResNet.

Every network takes `image`, float32 [N, 1, 28, 28] with values in 0..1, and gives `logits`, float32 [N, 10].
The mean and deviation of the training set are part of the network, so a client never normalises.
"""

import torch
from torch import nn

PIXEL_MEAN = 0.2860
PIXEL_DEVIATION = 0.3530


class Normalize(nn.Module):
    """Shifts and scales pixels with the training set's mean and deviation."""

    def forward(self, image):
        return (image - PIXEL_MEAN) / PIXEL_DEVIATION


class Residual(nn.Module):
    """x + f(x), with f two 3x3 convolutions of the same width."""

    def __init__(self, channels):
        super().__init__()
        self.body = nn.Sequential(*conv(channels, channels), *conv(channels, channels))

    def forward(self, x):
        return x + self.body(x)


class WideResidual(nn.Module):
    """The block of Wide ResNets (arXiv 1605.07146): normalise, activate, convolve, twice; beside it the identity or 1x1."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.activate = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU())
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs), nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, padding=1, bias=False),
        )
        self.shortcut = None if inputs == outputs else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x):
        activated = self.activate(x)
        return self.body(activated) + (x if self.shortcut is None else self.shortcut(activated))


class GlobalMaxPool(nn.Module):
    """The maximum over height and width: [N, C, H, W] -> [N, C]."""

    def forward(self, x):
        return x.amax(dim=(2, 3))


def conv(inputs, outputs, kernel=3, stride=1):
    """Convolution without bias, batch normalisation, ReLU."""
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    ]


def xs():
    """0.10 M multiply-adds an image, 9 k parameters."""
    return nn.Sequential(
        Normalize(), *conv(1, 8, 5, 2), *conv(8, 16, 3, 2), nn.Flatten(), nn.Linear(784, 10)
    )


def m():
    """1.95 M multiply-adds an image, 55 k parameters ("m2" in the project's notes)."""
    return nn.Sequential(
        Normalize(),
        *conv(1, 16), nn.MaxPool2d(2),
        *conv(16, 32), nn.MaxPool2d(2),
        *conv(32, 64), nn.Flatten(), nn.Dropout(0.2), nn.Linear(3136, 10),
    )


def l():
    """27.3 M multiply-adds an image, 265 k parameters."""
    return nn.Sequential(
        Normalize(),
        *conv(1, 32), nn.MaxPool2d(2),
        *conv(32, 48), Residual(48),
        *conv(48, 96), nn.MaxPool2d(2),
        Residual(96), GlobalMaxPool(), nn.Linear(96, 10),
    )


def wide():
    """WRN-16-2: 77 M multiply-adds an image, 692 k parameters."""
    layers = [Normalize(), nn.Conv2d(1, 16, 3, padding=1, bias=False)]
    inputs = 16
    for outputs, stride in [(32, 1), (64, 2), (128, 2)]:
        layers += [WideResidual(inputs, outputs, stride), WideResidual(outputs, outputs, 1)]
        inputs = outputs
    return nn.Sequential(
        *layers, nn.BatchNorm2d(inputs), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 10)
    )


# What the demo serves as trained.
DEMO = ("xs", "m", "l")

# name: (network, epochs, highest learning rate)
RECIPES = {"xs": (xs, 8, 0.01), "m": (m, 12, 0.005), "l": (l, 10, 0.006), "wide": (wide, 12, 0.01)}
