"""The peer of `fathom bench step`: the same training step in PyTorch eager. Reads LAYERS WIDTH THREADS STEPS, prints one
JSON line. Pre-LN encoder-decoder, batch 32 x 32 tokens, vocabulary 4000, Adam, gradient norm of every parameter."""

import json
import sys
import time

import torch
from torch import nn

layers, width, threads, steps = (int(argument) for argument in sys.argv[1:5])
heads, hidden, vocabulary, batch, length = 4, 4 * width, 4000, 32, 32
torch.set_num_threads(threads)
torch.manual_seed(1)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.source = nn.Embedding(vocabulary, width)
        self.target = nn.Embedding(vocabulary, width)
        self.transformer = nn.Transformer(
            width, heads, layers, layers, hidden, 0.0, norm_first=True, batch_first=True
        )
        self.output = nn.Linear(width, vocabulary)

    def forward(self, source, target, mask):
        return self.output(self.transformer(self.source(source), self.target(target), tgt_mask=mask))


model = Model()
optimizer = torch.optim.Adam(model.parameters(), 1e-3, (0.9, 0.98), 1e-9)
mask = torch.triu(torch.full((length, length), float("-inf")), 1)
source, target, labels = (torch.randint(0, vocabulary, (batch, length)) for _ in range(3))


def step():
    optimizer.zero_grad()
    logits = model(source, target, mask).reshape(-1, vocabulary)
    loss = nn.functional.cross_entropy(logits, labels.reshape(-1))
    loss.backward()
    norms = [p.grad.norm() for p in model.parameters()]
    optimizer.step()
    return float(loss), norms


for _ in range(3):
    step()
times = []
for _ in range(steps):
    start = time.perf_counter()
    step()
    times.append(1000 * (time.perf_counter() - start))
print(json.dumps({"milliseconds": times, "version": torch.__version__, "parameters": sum(p.numel() for p in model.parameters())}))
