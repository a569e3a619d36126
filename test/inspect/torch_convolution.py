"""Repeats convolutions and transposed convolutions in PyTorch, in float64, and compares loss and gradients.

Reads cases as JSON from standard input: shapes, stride, padding, the flat tensors `input` (images, rows, columns, channels),
`weight` (rows, columns, channels of the larger grid, of the smaller) and `cotangent`, and what fathom found: the loss
<output, cotangent> and its two gradients. Prints a line of JSON for each: how far the two are apart, relatively.
"""

import json
import sys

import torch
from torch.nn.functional import conv2d, conv_transpose2d

torch.set_num_threads(1)


def compare(case):
    tensor = lambda name, shape: torch.tensor(case[name], dtype=torch.float64).reshape(shape)
    x = tensor("input", case["inputShape"]).requires_grad_()
    w = tensor("weight", case["weightShape"]).requires_grad_()
    channels_first, kernel = x.permute(0, 3, 1, 2), w.permute(3, 2, 0, 1)
    options = {"stride": case["stride"], "padding": case["padding"]}
    if case["outputPadding"] is None:
        y = conv2d(channels_first, kernel, **options)
    else:
        y = conv_transpose2d(channels_first, kernel, output_padding=case["outputPadding"], **options)
    loss = (y.permute(0, 2, 3, 1).flatten() * torch.tensor(case["cotangent"], dtype=torch.float64)).sum()
    loss.backward()
    apart = lambda ours, theirs: float((ours - theirs).norm() / theirs.norm())
    return {
        "loss": abs(case["loss"] / loss.item() - 1),
        "input": apart(tensor("inputGradient", case["inputShape"]), x.grad),
        "weight": apart(tensor("weightGradient", case["weightShape"]), w.grad),
    }


for case in json.load(sys.stdin):
    print(json.dumps(compare(case)))
