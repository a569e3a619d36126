"""The peer of `fathom bench vae-epoch`: steps of the same training in PyTorch. Reads one JSON argument (see `Told` in
src/bench/epoch.ts), prints one JSON line. Encoder and decoder of plain layers, Bernoulli pixels, images binarised anew at every
step, Adam, gradient norm of every parameter."""

import json
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

given = json.loads(sys.argv[1])
pixels, latent, hidden, batch = (given[name] for name in ("pixels", "latent", "hidden", "batch"))
adam = given["adam"]
mode = given["mode"]  # eager, fused (Adam in one kernel), compile (networks by torch.compile as well)
torch.set_num_threads(given["threads"])
torch.manual_seed(1)

with open(given["images"], "rb") as file:
    grey = torch.frombuffer(bytearray(file.read()), dtype=torch.uint8).reshape(-1, pixels).float() / 255


def layers(sizes):
    pairs = zip(sizes, sizes[1:])
    return nn.Sequential(*(part for a, b in pairs for part in (nn.Linear(a, b), nn.ReLU())))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = layers([pixels, *hidden])
        self.mean = nn.Linear(hidden[-1], latent)
        self.log_variance = nn.Linear(hidden[-1], latent)
        self.decoder = nn.Sequential(layers([latent, *hidden[::-1]]), nn.Linear(hidden[0], pixels))

    def forward(self, images):
        h = self.encoder(images)
        mean, log_variance = self.mean(h), self.log_variance(h)
        z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        reconstruction = F.binary_cross_entropy_with_logits(self.decoder(z), images, reduction="sum")
        kl = (log_variance.exp() + mean.square() - 1 - log_variance).sum() / 2
        return (reconstruction + kl) / len(images)


model = Model()
fused = {"fused": True} if mode != "eager" else {}
rest = (adam["learningRate"], (adam["beta1"], adam["beta2"]), adam["epsilon"])
optimizer = torch.optim.Adam(model.parameters(), *rest, **fused)
loss_of = torch.compile(model, dynamic=False) if mode == "compile" else model


def batches():
    while True:
        order = torch.randperm(len(grey))
        for start in range(0, len(grey) - batch + 1, batch):
            yield torch.bernoulli(grey[order[start : start + batch]])


def norms_of(net):
    grads = [p.grad for p in net.parameters()]
    norms = torch._foreach_norm(grads) if hasattr(torch, "_foreach_norm") else [g.norm() for g in grads]
    return torch.stack(tuple(norms))


data = batches()


def step():
    images = next(data)
    optimizer.zero_grad()
    loss = loss_of(images)
    loss.backward()
    norms = norms_of(model)
    optimizer.step()
    return loss.item(), norms.tolist()


times, losses = [], []
for _ in range(given["warmup"] + given["steps"]):
    start = time.perf_counter()
    losses.append(step()[0])
    times.append(1000 * (time.perf_counter() - start))
print(
    json.dumps(
        {
            "milliseconds": times[given["warmup"] :],
            "loss": losses[-1],
            "parameters": sum(p.numel() for p in model.parameters()),
            "version": torch.__version__,
        }
    )
)
