"""The peer of `fathom bench` wherever a training step of the transformer is timed: the same step in PyTorch. Reads LAYERS WIDTH
THREADS STEPS and options, prints one JSON line. Pre-LN encoder-decoder, feed-forward 4 x width, 4 heads, no dropout, gradients
clipped to global norm 1, Adam, gradient norm of every parameter read at every step. fathom's step has positions, padding masks
and its probes on top of that, this one does not: what is left out here can only help PyTorch.

--mode eager    PyTorch as it comes
--mode fused    Adam's update in one kernel (fused=True)
--mode compile  forward and loss by torch.compile as well, with fused Adam where this PyTorch has it
"""

import argparse
import inspect
import json
import resource
import sys
import time
import warnings

import torch
from torch import nn

arguments = argparse.ArgumentParser()
for name in ("layers", "width", "threads", "steps"):
    arguments.add_argument(name, type=int)
arguments.add_argument("--mode", choices=["eager", "fused", "compile"], default="eager")
arguments.add_argument("--warmup", type=int, default=3, help="steps after the first that are not timed")
arguments.add_argument("--batch", type=int, default=32)
arguments.add_argument("--length", type=int, default=32)
arguments.add_argument("--vocabulary", type=int, default=4000)
arguments.add_argument("--seed", type=int, default=1)
given = arguments.parse_args()
width, vocabulary, batch, length = given.width, given.vocabulary, given.batch, given.length
torch.set_num_threads(given.threads)
torch.manual_seed(given.seed)
warnings.filterwarnings("ignore", message="enable_nested_tensor")

# Newer versions take it as given that the mask is causal, instead of looking at it; older ones have no such argument.
hint = "tgt_is_causal" in inspect.signature(nn.Transformer.forward).parameters
causal = {"tgt_is_causal": True} if hint else {}


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.source = nn.Embedding(vocabulary, width)
        self.target = nn.Embedding(vocabulary, width)
        self.transformer = nn.Transformer(
            width, 4, given.layers, given.layers, 4 * width, 0.0, norm_first=True, batch_first=True
        )
        self.output = nn.Linear(width, vocabulary)

    def forward(self, source, target, labels, mask):
        states = self.transformer(self.source(source), self.target(target), tgt_mask=mask, **causal)
        return nn.functional.cross_entropy(self.output(states).reshape(-1, vocabulary), labels.reshape(-1))


def optimizer_of(parameters):
    rest = (1e-3, (0.9, 0.98), 1e-9)
    if given.mode != "eager":
        try:
            return torch.optim.Adam(parameters, *rest, fused=True)
        except (RuntimeError, TypeError):
            if given.mode == "fused":
                sys.exit(f"PyTorch {torch.__version__} has no fused Adam for the CPU")
    return torch.optim.Adam(parameters, *rest)


model = Model()
parameters = list(model.parameters())
optimizer = optimizer_of(parameters)
loss_of = torch.compile(model, dynamic=False) if given.mode == "compile" else model
mask = torch.triu(torch.full((length, length), float("-inf")), 1)
source, target, labels = (torch.randint(0, vocabulary, (batch, length)) for _ in range(3))


def step():
    optimizer.zero_grad()
    loss = loss_of(source, target, labels, mask)
    loss.backward()
    with torch.no_grad():
        grads = [p.grad for p in parameters]
        norms = torch._foreach_norm(grads) if hasattr(torch, "_foreach_norm") else [g.norm() for g in grads]
        norms = torch.stack(tuple(norms))
        total = float(norms.norm())
        if total > 1:
            torch._foreach_mul_(grads, 1 / total)
    optimizer.step()
    return loss.item(), norms.tolist()


times, losses = [], []
first_step_at = 0
for i in range(1 + given.warmup + given.steps):
    start = time.perf_counter()
    losses.append(step()[0])
    times.append(1000 * (time.perf_counter() - start))
    if i == 0:
        first_step_at = 1000 * time.time()
print(
    json.dumps(
        {
            "milliseconds": times[1 + given.warmup :],
            "firstStepMilliseconds": times[0],
            "firstStepAt": first_step_at,
            "peakMemory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "parameters": sum(p.numel() for p in parameters),
            "losses": losses,
            "version": torch.__version__,
        }
    )
)
