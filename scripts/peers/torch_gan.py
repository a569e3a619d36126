"""The peer of `fathom bench gan-epoch`: steps of the same training in PyTorch. Reads one JSON argument (see `Told` in
src/bench/epoch.ts), prints one JSON line. Two networks of plain layers, non-saturating loss, the discriminator's update before the
generator's, Adam, gradient norm of every parameter. Nothing is computed that the step does not need: the images generated for
the discriminator serve the generator as well, and its update takes no gradient of the discriminator's parameters."""

import json
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

given = json.loads(sys.argv[1])
pixels, latent, batch = (given[name] for name in ("pixels", "latent", "batch"))
adam = given["adam"]
mode = given["mode"]  # eager, fused (Adam in one kernel), compile (networks by torch.compile as well)
torch.set_num_threads(given["threads"])
torch.manual_seed(1)

with open(given["images"], "rb") as file:
    grey = torch.frombuffer(bytearray(file.read()), dtype=torch.uint8).reshape(-1, pixels).float() / 255


def layers(sizes, activation):
    pairs = zip(sizes, sizes[1:])
    return [part for a, b in pairs for part in (nn.Linear(a, b), activation)]


sizes = given["generator"]
generator = nn.Sequential(*layers([latent, *sizes], nn.ReLU()), nn.Linear(sizes[-1], pixels), nn.Sigmoid())
sizes = given["discriminator"]
discriminator = nn.Sequential(*layers([pixels, *sizes], nn.LeakyReLU(0.2)), nn.Linear(sizes[-1], 1))
fused = {"fused": True} if mode != "eager" else {}
rest = (adam["learningRate"], (adam["beta1"], adam["beta2"]), adam["epsilon"])
optimizers = [torch.optim.Adam(net.parameters(), *rest, **fused) for net in (discriminator, generator)]
if mode == "compile":  # in place: the networks stay what they are called
    generator.compile(dynamic=False)
    discriminator.compile(dynamic=False)


def batches():
    while True:
        order = torch.randperm(len(grey))
        for start in range(0, len(grey) - batch + 1, batch):
            yield grey[order[start : start + batch]]


def norms_of(net):
    grads = [p.grad for p in net.parameters()]
    norms = torch._foreach_norm(grads) if hasattr(torch, "_foreach_norm") else [g.norm() for g in grads]
    return torch.stack(tuple(norms))


data = batches()


def update(net, optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    norms = norms_of(net)
    optimizer.step()
    return loss.item(), norms.tolist()


def step():
    images = next(data)
    fake = generator(torch.randn(batch, latent))
    discriminator.requires_grad_(True)
    real_score, fake_score = discriminator(torch.cat([images, fake.detach()])).split(batch)
    judged = update(discriminator, optimizers[0], F.softplus(-real_score).mean() + F.softplus(fake_score).mean())
    discriminator.requires_grad_(False)
    fooled = update(generator, optimizers[1], F.softplus(-discriminator(fake)).mean())
    return judged, fooled


times, losses = [], []
for _ in range(given["warmup"] + given["steps"]):
    start = time.perf_counter()
    losses.append([loss for loss, _ in step()])
    times.append(1000 * (time.perf_counter() - start))
parameters = sum(p.numel() for net in (discriminator, generator) for p in net.parameters())
result = {"milliseconds": times[given["warmup"] :], "loss": losses[-1], "parameters": parameters}
print(json.dumps({**result, "version": torch.__version__}))
