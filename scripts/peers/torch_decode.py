"""The peer of `fathom bench decode`: greedy decoding in PyTorch with keys and values kept. Reads LAYERS WIDTH THREADS REPEATS and
options, prints one JSON line. Pre-LN encoder-decoder with random weights, vocabulary 4000, 32 source tokens, 64 tokens a
translation, none of which ends. The keys and values of the source are computed once a layer, those of the target lie in caches
that are allocated once; Q, K and V are one product; everything under `inference_mode`. Prints the tokens too; with --full the whole
prefix is run again for every token, which must give the same.
"""

import argparse
import json
import math
import time

import torch
from torch.nn import functional as F

arguments = argparse.ArgumentParser()
for name in ("layers", "width", "threads", "repeats"):
    arguments.add_argument(name, type=int)
arguments.add_argument("--sentences", type=int, default=1)
arguments.add_argument("--warmup", type=int, default=3)
arguments.add_argument("--tokens", type=int, default=64)
arguments.add_argument("--full", action="store_true")
given = arguments.parse_args()
layers, width, rows, tokens = given.layers, given.width, given.sentences, given.tokens
heads, hidden, vocabulary, length, begin, end = 4, 4 * width, 4000, 32, 1, 2
torch.set_num_threads(given.threads)
torch.manual_seed(1)
made = []


def linear(inputs, outputs):
    bound = math.sqrt(6 / (inputs + outputs))
    made.extend([torch.empty(outputs, inputs).uniform_(-bound, bound), torch.zeros(outputs)])
    return made[-2], made[-1]


def norm():
    made.extend([torch.ones(width), torch.zeros(width)])
    return made[-2], made[-1]


def attention():
    return {"qkv": linear(width, 3 * width), "out": linear(width, width)}


def layer():
    return {"norms": [norm(), norm()], "self": attention(), "in": linear(width, hidden), "out": linear(hidden, width)}


def embedding():
    made.append(torch.randn(vocabulary, width) / math.sqrt(width))
    return made[-1]


encoder = [layer() for _ in range(layers)]
decoder = [{**layer(), "cross": attention(), "cross_norm": norm()} for _ in range(layers)]
source_embedding, target_embedding = embedding(), embedding()
encoder_norm, decoder_norm = norm(), norm()
output = linear(width, vocabulary)
output[1][:3] = -1e4  # no padding, no begin, no end
ids = torch.randint(3, vocabulary, (rows, length))
angles = torch.arange(max(length, tokens) + 1.0)[:, None] / 10000 ** (torch.arange(0, width, 2) / width)
positions = torch.stack([angles.sin(), angles.cos()], -1).reshape(-1, width)


def normed(x, p):
    return F.layer_norm(x, (width,), *p)


def split(x, parts):
    """[B, T, parts * D] -> parts of [B, H, T, D / H]"""
    return x.view(rows, -1, parts, heads, width // heads).permute(2, 0, 3, 1, 4).unbind(0)


def attend(q, k, v, out, mask=None):
    if hasattr(F, "scaled_dot_product_attention"):
        found = F.scaled_dot_product_attention(q, k, v, mask)
    else:
        logits = q @ k.transpose(-1, -2) * (width // heads) ** -0.5
        found = (logits if mask is None else logits + mask).softmax(-1) @ v
    return F.linear(found.transpose(1, 2).reshape(rows, -1, width), *out)


def feed_forward(p, x):
    return F.linear(F.relu(F.linear(normed(x, p["norms"][1]), *p["in"])), *p["out"])


def embedded(table, ids, start):
    return F.embedding(ids, table) * math.sqrt(width) + positions[start : start + ids.shape[1]]


def encoded():
    """Keys and values of the source for every layer of the decoder."""
    x = embedded(source_embedding, ids, 0)
    for p in encoder:
        x = x + attend(*split(F.linear(normed(x, p["norms"][0]), *p["self"]["qkv"]), 3), p["self"]["out"])
        x = x + feed_forward(p, x)
    x = normed(x, encoder_norm)
    pairs = [(weight[width:], bias[width:]) for weight, bias in (p["cross"]["qkv"] for p in decoder)]
    return [split(F.linear(x, *pair), 2) for pair in pairs]


queries = [(weight[:width], bias[:width]) for weight, bias in (p["cross"]["qkv"] for p in decoder)]
caches = torch.zeros(layers, 2, rows, heads, tokens, width // heads)


def decoded(chosen, at, memory, mask=None):
    """Logits after the last of the tokens `chosen`, which stand from place `at` on."""
    x = embedded(target_embedding, chosen, at)
    until = at + chosen.shape[1]
    for p, query, cache, (source_keys, source_values) in zip(decoder, queries, caches, memory):
        q, k, v = split(F.linear(normed(x, p["norms"][0]), *p["self"]["qkv"]), 3)
        cache[0, :, :, at:until] = k
        cache[1, :, :, at:until] = v
        x = x + attend(q, cache[0, :, :, :until], cache[1, :, :, :until], p["self"]["out"], mask)
        (q,) = split(F.linear(normed(x, p["cross_norm"]), *query), 1)
        x = x + attend(q, source_keys, source_values, p["cross"]["out"])
        x = x + feed_forward(p, x)
    return F.linear(normed(x[:, -1], decoder_norm), *output)


@torch.inference_mode()
def translate():
    memory = encoded()
    chosen = torch.full((rows, 1), begin)
    found = [chosen]
    for at in range(tokens):
        if given.full:
            mask = torch.full((at + 1, at + 1), float("-inf")).triu(1)
            logits = decoded(torch.cat(found, 1), 0, memory, mask)
        else:
            logits = decoded(chosen, at, memory)
        chosen = logits.argmax(-1, keepdim=True)
        found.append(chosen)
        if bool((chosen == end).all()):
            break
    return torch.cat(found[1:], 1).tolist()


times = []
for _ in range(given.warmup + given.repeats):
    start = time.perf_counter()
    translation = translate()
    times.append(1000 * (time.perf_counter() - start))
assert all(len(row) == tokens for row in translation)
print(
    json.dumps(
        {
            "milliseconds": times[given.warmup :],
            "tokens": translation,
            "parameters": sum(x.numel() for x in made),
            "version": torch.__version__,
        }
    )
)
