"""The peer of `fathom bench` in JAX: the training step of torch_step.py written plainly in jax.numpy and compiled as one program by
jax.jit: forward, backward, gradient norm of every parameter, clipping to global norm 1, Adam. Reads LAYERS WIDTH THREADS STEPS and
options, prints one JSON line.

Layers are a Python loop up to 2 of them a stack, and `lax.scan` over stacked parameters beyond: of the two what was faster here. At
24 layers a loop took 73 s to compile and 3.6 s a step, a scan 6 s and 0.7 s; at 6 layers 8 s and 0.33 s, and 6 s and 0.28 s. Threads: XLA's pool has as many as the process has processors, so it is given THREADS of them.
"""

import argparse
import json
import os
import resource
import time

arguments = argparse.ArgumentParser()
for name in ("layers", "width", "threads", "steps"):
    arguments.add_argument(name, type=int)
arguments.add_argument("--warmup", type=int, default=3, help="steps after the first that are not timed")
arguments.add_argument("--batch", type=int, default=32)
arguments.add_argument("--length", type=int, default=32)
arguments.add_argument("--vocabulary", type=int, default=4000)
arguments.add_argument("--seed", type=int, default=1)
arguments.add_argument("--first-core", type=int, default=0, help="of the processors it may use, where two run at once")
arguments.add_argument("--form", choices=["loop", "scan"], help="if not given: loop up to 2 layers")
given = arguments.parse_args()
if hasattr(os, "sched_setaffinity"):  # before JAX makes its threads
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[(given.first_core + i) % len(cores)] for i in range(given.threads)})

import jax
import jax.numpy as jnp
import numpy as np

layers, width, vocabulary = given.layers, given.width, given.vocabulary
batch, length, heads = given.batch, given.length, 4
form = given.form or ("loop" if layers <= 2 else "scan")
random = np.random.default_rng(given.seed)


def uniform(*shape, bound):
    return random.uniform(-bound, bound, shape).astype(np.float32)


def linear(rows, columns, gain=1.0):
    bound = gain * (6 / (rows + columns)) ** 0.5
    return {"weight": uniform(rows, columns, bound=bound), "bias": np.zeros(columns, np.float32)}


def norm():
    return {"gain": np.ones(width, np.float32), "bias": np.zeros(width, np.float32)}


def attention():
    return {"qkv": linear(width, 3 * width), "out": linear(width, width)}


def encoder_layer():
    ends = {"in": linear(width, 4 * width), "out": linear(4 * width, width)}
    return {"self": attention(), "feed_forward": ends, "norm1": norm(), "norm2": norm()}


def decoder_layer():
    return {**encoder_layer(), "cross": attention(), "norm3": norm()}


def stack_of(make):
    each = [make() for _ in range(layers)]
    return each if form == "loop" else jax.tree.map(lambda *leaves: np.stack(leaves), *each)


parameters = {
    "source": random.normal(size=(vocabulary, width)).astype(np.float32),
    "target": random.normal(size=(vocabulary, width)).astype(np.float32),
    "encoder": stack_of(encoder_layer),
    "decoder": stack_of(decoder_layer),
    "encoder_norm": norm(),
    "decoder_norm": norm(),
    "output": linear(width, vocabulary),
}
source, target, labels = (random.integers(0, vocabulary, (batch, length)) for _ in range(3))
causal = np.triu(np.full((length, length), -np.inf, np.float32), 1)


def apply(p, x):
    return x @ p["weight"] + p["bias"]


def layer_norm(p, x):
    centred = x - x.mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * p["gain"] + p["bias"]


def attend(p, q, k, v, mask):
    q, k, v = (x.reshape(batch, -1, heads, width // heads) for x in (q, k, v))
    logits = jnp.einsum("bqhd,bkhd->bhqk", q, k) * (width // heads) ** -0.5
    weights = jax.nn.softmax(logits if mask is None else logits + mask)
    return apply(p["out"], jnp.einsum("bhqk,bkhd->bqhd", weights, v).reshape(batch, -1, width))


def self_attention(p, x, mask=None):
    return attend(p, *jnp.split(apply(p["qkv"], x), 3, -1), mask)


def cross_attention(p, x, memory):
    weight, bias = p["qkv"]["weight"], p["qkv"]["bias"]
    q = x @ weight[:, :width] + bias[:width]
    k, v = jnp.split(memory @ weight[:, width:] + bias[width:], 2, -1)
    return attend(p, q, k, v, None)


def feed_forward(p, x):
    return apply(p["out"], jax.nn.relu(apply(p["in"], x)))


def encode(p, x):
    x = x + self_attention(p["self"], layer_norm(p["norm1"], x))
    return x + feed_forward(p["feed_forward"], layer_norm(p["norm2"], x))


def decode(p, x, memory):
    x = x + self_attention(p["self"], layer_norm(p["norm1"], x), causal)
    x = x + cross_attention(p["cross"], layer_norm(p["norm2"], x), memory)
    return x + feed_forward(p["feed_forward"], layer_norm(p["norm3"], x))


def through(layer, stack, x):
    if form == "scan":
        return jax.lax.scan(lambda x, p: (layer(p, x), None), x, stack)[0]
    for p in stack:
        x = layer(p, x)
    return x


def loss_of(p, source, target, labels):
    memory = layer_norm(p["encoder_norm"], through(encode, p["encoder"], p["source"][source]))
    states = through(lambda q, x: decode(q, x, memory), p["decoder"], p["target"][target])
    logits = apply(p["output"], layer_norm(p["decoder_norm"], states))
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[..., None], -1).mean()


def norms_of(gradients):
    """Of every parameter, of every layer its own also where layers are stacked."""
    found = []
    for name, part in gradients.items():
        stacked = form == "scan" and name in ("encoder", "decoder")
        for g in jax.tree.leaves(part):
            found.append(jnp.sqrt((g**2).reshape(layers if stacked else 1, -1).sum(1)))
    return jnp.concatenate(found)


def step(p, first, second, count, source, target, labels):
    loss, gradients = jax.value_and_grad(loss_of)(p, source, target, labels)
    norms = norms_of(gradients)
    scale = jnp.minimum(1, 1 / jnp.sqrt((norms**2).sum()))
    gradients = jax.tree.map(lambda g: g * scale, gradients)
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradients)
    second = jax.tree.map(lambda v, g: 0.98 * v + 0.02 * g * g, second, gradients)
    a, b = 1 - 0.9**count, 1 - 0.98**count
    p = jax.tree.map(lambda x, m, v: x - 1e-3 * (m / a) / (jnp.sqrt(v / b) + 1e-9), p, first, second)
    return p, first, second, loss, norms


step = jax.jit(step, donate_argnums=(0, 1, 2))
state = jax.tree.map(jnp.asarray, (parameters, *(jax.tree.map(np.zeros_like, parameters) for _ in range(2))))
count_of = sum(x.size for x in jax.tree.leaves(parameters))
data = [jnp.asarray(ids, jnp.int32) for ids in (source, target, labels)]
times, losses = [], []
first_step_at = 0
for i in range(1 + given.warmup + given.steps):
    start = time.perf_counter()
    *state, loss, norms = step(*state, jnp.float32(i + 1), *data)
    losses.append(float(loss))
    norms = np.asarray(norms).tolist()
    jax.block_until_ready(state)
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
            "parameters": count_of,
            "losses": losses,
            "form": form,
            "version": jax.__version__,
        }
    )
)
