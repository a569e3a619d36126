"""Repeats one training step of a fathom run in PyTorch, from what `fathom inspect` wrote, and compares every gradient.

Reads the folder of the step (weights, batch, noise and gradients as safetensors, step.json) and prints one line of JSON:
the loss here and there, and for every parameter and every tap how far the two gradients are apart. The model is written
from the papers' equations (Vaswani et al. 2017 for the network, Xiong et al. 2020 for the two residual schemes), in
float64, and takes nothing from fathom's code.

Usage: python3 torch_check.py FOLDER
"""

import json
import math
import struct
import sys

import numpy as np
import torch

torch.set_num_threads(1)


def read_safetensors(path):
    """Little-endian header length, JSON header, bytes (https://github.com/huggingface/safetensors)."""
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        kind = {"F32": np.float32, "I32": np.int32}[entry["dtype"]]
        tensors[name] = np.frombuffer(data[begin:end], dtype=kind).reshape(entry["shape"])
    return tensors


folder = sys.argv[1]
with open(f"{folder}/step.json") as file:
    step = json.load(file)
model = step["config"]["model"]
heads, width = model["heads"], model["width"]
smoothing = step["config"]["train"]["labelSmoothing"]
rate = model["dropout"]

weights = {
    name: torch.tensor(value, dtype=torch.float64, requires_grad=True)
    for name, value in read_safetensors(f"{folder}/weights.safetensors").items()
}
batch = {name: torch.from_numpy(value.copy()) for name, value in read_safetensors(f"{folder}/batch.safetensors").items()}
noise = {
    name: torch.tensor(value, dtype=torch.float64)
    for name, value in read_safetensors(f"{folder}/noise.safetensors").items()
}
used = set()
taps = []


def dropout(x, place):
    """Inverted dropout with the recorded factors."""
    if rate == 0:
        return x
    factors = noise[f"dropout/{place}"]
    used.add(f"dropout/{place}")
    # Kept units are scaled by 1 / (1 - rate), so that the mean stays; float32 there.
    assert torch.all((factors == 0) | ((factors - 1 / (1 - rate)).abs() < 1e-6)), place
    assert factors.shape == x.shape, (place, factors.shape, x.shape)
    return x * factors


def tap(x, stack, layer, component, point):
    """A point whose gradient is compared as well."""
    y = x * 1.0
    y.retain_grad()
    taps.append(((stack, layer, component, point), y))
    return y


def norm(x, name):
    gain = weights[f"{name}/gain"]
    if model["norm"] == "rms-norm":
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-5) * gain
    centred = x - x.mean(-1, keepdim=True)
    variance = (centred * centred).mean(-1, keepdim=True)
    return centred / torch.sqrt(variance + 1e-5) * gain + weights[f"{name}/bias"]


def project(x, name):
    return x @ weights[f"{name}/weight"] + weights[f"{name}/bias"]


def attention(x, memory, allowed, name):
    """softmax(Q K^T / sqrt(d_k)) V for every head, heads side by side in the columns."""
    per_head = width // heads
    split = lambda y: y.view(y.shape[0], y.shape[1], heads, per_head).transpose(1, 2)
    q, k, v = (split(project(s, f"{name}/{part}")) for s, part in ((x, "query"), (memory, "key"), (memory, "value")))
    scores = (q @ k.transpose(-1, -2)) / math.sqrt(per_head)
    probabilities = torch.softmax(scores.masked_fill(~allowed, float("-inf")), dim=-1)
    context = dropout(probabilities, f"{name}/probabilities") @ v
    return project(context.transpose(1, 2).reshape(x.shape), f"{name}/out")


def feed_forward(x, name):
    hidden = project(x, f"{name}/in")
    hidden = torch.relu(hidden) if model["activation"] == "relu" else torch.nn.functional.gelu(hidden)
    return project(dropout(hidden, f"{name}/hidden"), f"{name}/out")


def residual(x, branch, stack, layer, component):
    """Post-LN: x' = LN(x + F(x)). Pre-LN: x' = x + F(LN(x))."""
    place = f"{stack}/{layer:02d}"
    normed = lambda y: norm(y, f"{place}/norm/{component}")
    run = lambda y: tap(dropout(branch(y), f"{place}/{component}"), stack, layer, component, "branch")
    y = {"post-ln": lambda: normed(x + run(x)), "pre-ln": lambda: x + run(normed(x))}[model["residual"]]()
    return tap(y, stack, layer, component, "stream")


def positions(length):
    """PE(t, 2i) = sin(t / 10000^(2i/d)), PE(t, 2i + 1) = cos of the same."""
    table = torch.zeros(length, width, dtype=torch.float64)
    for t in range(length):
        for i in range(0, width, 2):
            angle = t / 10000 ** (i / width)
            table[t, i], table[t, i + 1] = math.sin(angle), math.cos(angle)
    return table


def embed(ids, side):
    table = weights["embedding/shared/weight" if model["tiedEmbeddings"] == "all" else f"embedding/{side}/weight"]
    x = table[ids.long()] * math.sqrt(width) + positions(ids.shape[1])
    return tap(dropout(x, f"embedding/{side}/embedding"), "embedding", "", side, "stream")


def final_norm(x, stack):
    return tap(norm(x, f"{stack}/norm"), stack, "", "norm", "stream") if model["residual"] == "pre-ln" else x


is_source = (batch["sourceMask"] != 0)[:, None, None, :]
length = batch["target"].shape[1]
causal = torch.ones(length, length).tril().bool()

x = embed(batch["source"], "source")
for layer in range(model["depth"]["encoder"]):
    name = f"encoder/{layer:02d}"
    x = residual(x, lambda y: attention(y, y, is_source, f"{name}/self-attention"), "encoder", layer, "self-attention")
    x = residual(x, lambda y: feed_forward(y, f"{name}/feed-forward"), "encoder", layer, "feed-forward")
    x = tap(x, "encoder", layer, "layer", "stream")
memory = final_norm(x, "encoder")

x = embed(batch["target"], "target")
for layer in range(model["depth"]["decoder"]):
    name = f"decoder/{layer:02d}"
    x = residual(x, lambda y: attention(y, y, causal, f"{name}/self-attention"), "decoder", layer, "self-attention")
    across = lambda y: attention(y, memory, is_source, f"{name}/cross-attention")
    x = residual(x, across, "decoder", layer, "cross-attention")
    x = residual(x, lambda y: feed_forward(y, f"{name}/feed-forward"), "decoder", layer, "feed-forward")
    x = tap(x, "decoder", layer, "layer", "stream")
x = final_norm(x, "decoder")

if model["tiedEmbeddings"] == "none":
    projection = weights["output/projection/weight"]
else:
    projection = weights[f"embedding/{'shared' if model['tiedEmbeddings'] == 'all' else 'target'}/weight"].T
log_p = torch.log_softmax(x @ projection + weights["output/projection/bias"], dim=-1)
target_weights = batch["labelWeights"].double()
mean = lambda losses: (losses * target_weights).sum() / target_weights.sum()
nll = mean(-log_p.gather(-1, batch["labels"].long()[..., None])[..., 0])
# Szegedy et al. 2016: the target distribution is (1 - e) onehot + e / V.
loss = (1 - smoothing) * nll + smoothing * mean(-log_p.mean(-1))
loss.backward()

theirs = read_safetensors(f"{folder}/gradients.safetensors")
assert set(theirs) == set(weights), set(theirs) ^ set(weights)
assert used == set(noise), used ^ set(noise)
parameters, zeros = {}, {}
for name, weight in weights.items():
    ours, other = weight.grad.numpy(), theirs[name].astype(np.float64)
    assert ours.shape == other.shape, name
    if name.endswith("key/bias"):
        # Adds the same to all scores of a query, which softmax does not see: zero in theory, rounding in float32.
        zeros[name] = [float(np.linalg.norm(ours)), float(np.linalg.norm(other))]
    else:
        parameters[name] = float(np.linalg.norm(ours - other) / np.linalg.norm(ours))

readings = step["players"][0]["taps"]
assert [(r["stack"], r["layer"], r["component"], r["point"]) for r in readings] == [place for place, _ in taps]
apart = lambda moments, tensor: abs(math.sqrt(moments["sumSquares"]) / float(tensor.norm()) - 1)
tap_differences = {
    " ".join(map(str, place)): max(apart(reading["activation"], y.detach()), apart(reading["gradient"], y.grad))
    for (place, y), reading in zip(taps, readings)
}
print(
    json.dumps(
        {
            "torch": torch.__version__,
            "loss": [loss.item(), step["players"][0]["scalars"]["loss"]],
            "nll": [nll.item(), step["players"][0]["scalars"]["nll"]],
            "parameters": parameters,
            "zeros": zeros,
            "taps": tap_differences,
        }
    )
)
