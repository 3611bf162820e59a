#!/usr/bin/env python3
"""Puts several ONNX classifiers with equal inputs and outputs into one graph that gives the mean of their logits.

    python3 ensemble.py --output MODEL.onnx MEMBER.onnx ...
    python3 ensemble.py --mirror --output MODEL.onnx MEMBER.onnx ...    # each sees the image and its mirror image

Members have one input `image` [N, 1, 28, 28] and one output `logits` [N, 10], as train.py writes them; so does the
ensemble. Needs the package onnx (requirements-ensemble.txt).
"""

import argparse
import pathlib

import numpy
import onnx
from onnx import helper, numpy_helper

IMAGE, LOGITS, MIRRORED = "image", "logits", "mirrored_image"
WIDTH_AXIS = 3


def mirror_node():
    """Reverses the columns: a slice from the last to before the first, backwards. With its constant inputs."""
    bounds = {"from": -1, "to": -(2**31), "axis": WIDTH_AXIS, "step": -1}
    constants = [numpy_helper.from_array(numpy.array([value], numpy.int64), f"mirror_{name}")
                 for name, value in bounds.items()]
    return helper.make_node("Slice", [IMAGE, *(c.name for c in constants)], [MIRRORED], name="mirror"), constants


def renamed(member, weights_prefix, prefix, image):
    """The member's nodes and weights, fed with the tensor `image`. Copies of one member with equal `weights_prefix` and
    different `prefix` share their weights."""
    weights = {weight.name for weight in member.graph.initializer}

    def rename(name):
        if name in ("", IMAGE):  # an input that is left out, or the image
            return image if name else name
        return (weights_prefix if name in weights else prefix) + name

    nodes = []
    for original in member.graph.node:
        node = onnx.NodeProto()
        node.CopyFrom(original)
        node.name = prefix + original.name
        node.input[:] = map(rename, original.input)
        node.output[:] = map(rename, original.output)
        nodes.append(node)
    initializers = []
    for original in member.graph.initializer:
        weight = onnx.TensorProto()
        weight.CopyFrom(original)
        weight.name = rename(original.name)
        initializers.append(weight)
    return nodes, initializers


def ensemble(members, mirror):
    first = members[0]
    nodes, initializers, outputs = [], [], []
    if mirror:
        node, constants = mirror_node()
        nodes.append(node)
        initializers += constants
    for image in [IMAGE, MIRRORED] if mirror else [IMAGE]:
        for number, member in enumerate(members):
            prefix = f"{image}_{number}_"
            more_nodes, weights = renamed(member, f"{number}_", prefix, image)
            nodes += more_nodes
            if image == IMAGE:
                initializers += weights
            outputs.append(prefix + LOGITS)
    nodes.append(helper.make_node("Mean", outputs, [LOGITS], name="mean"))
    graph = helper.make_graph(nodes, "ensemble", first.graph.input, first.graph.output, initializers)
    return helper.make_model(graph, ir_version=first.ir_version, opset_imports=first.opset_import)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--mirror", action="store_true", help="twice the work, for a little accuracy")
    parser.add_argument("members", type=pathlib.Path, nargs="+")
    arguments = parser.parse_args()
    model = ensemble([onnx.load(str(path)) for path in arguments.members], arguments.mirror)
    onnx.checker.check_model(model, full_check=True)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(arguments.output))


if __name__ == "__main__":
    main()
