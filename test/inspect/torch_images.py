"""Repeats training steps of VAEs and GANs in PyTorch, in float64, and compares losses and gradients.

Reads cases as JSON from standard input: the model's options, its parameters, the images, the noise the stages drew, and what fathom
found, by player. Prints a line of JSON for each player: how far the two are apart, relatively. The models are written from the
papers: Kingma & Welling 2014, Burda et al. 2016, Higgins et al. 2017, Kingma et al. 2016 (free bits); Goodfellow et al. 2014,
Mao et al. 2017, Lim & Ye 2017, Gulrajani et al. 2017, Miyato et al. 2018, Radford et al. 2016.
"""

import json
import math
import sys

import numpy as np
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence
from torch.nn import functional as F

torch.set_num_threads(1)

ACTIVATIONS = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "gelu": F.gelu,
    "sigmoid": torch.sigmoid,
    "leaky-relu": lambda x: F.leaky_relu(x, 0.2),
}


def tensor(given):
    return torch.from_numpy(np.array(given["data"], dtype=np.float64).reshape(given["shape"]))


class Network:
    """Weights by path, and the layers both models are made of."""

    def __init__(self, case):
        self.options = case["options"]
        self.weights = {path: tensor(given).requires_grad_() for path, given in case["parameters"].items()}
        self.starts = {int(width): torch.tensor(u, dtype=torch.float64) for width, u in case["starts"].items()}

    def linear(self, x, name, normalized=False):
        weight = self.weights[f"{name}/weight"]
        return x @ (self.spectrally_normalized(weight) if normalized else weight) + self.weights[f"{name}/bias"]

    def spectrally_normalized(self, weight):
        """W / sigma(W), sigma by ten rounds of power iteration, whose vectors count as constants (Miyato et al. 2018, algorithm
        1 and equation 12). W as PyTorch has it, [out, in]."""
        out = weight.shape[-1]
        w = weight.reshape(-1, out).T
        with torch.no_grad():
            u = F.normalize(self.starts[out], dim=0, eps=0)
            for _ in range(10):
                v = F.normalize(w.T @ u, dim=0, eps=0)
                u = F.normalize(w @ v, dim=0, eps=0)
        return weight / (u @ w @ v)

    def layer_norm(self, x, name):
        return F.layer_norm(x, x.shape[-1:], self.weights[f"{name}/gain"], self.weights[f"{name}/bias"], 1e-5)

    def mlp(self, x, stack, net, normalized=False):
        """Hidden layers, or pre-LN residual blocks x + W_2 act(W_1 LN(x)) with a norm at the end."""
        act = ACTIVATIONS[net["activation"]]
        if "hidden" in net:
            for layer in range(len(net["hidden"])):
                x = act(self.linear(x, f"{stack}/{layer:02d}/linear", normalized))
            return x
        assert net["residual"] == "pre-ln"
        x = self.linear(x, f"{stack}/input", normalized)
        for layer in range(net["depth"]):
            at = f"{stack}/{layer:02d}"
            h = act(self.linear(self.layer_norm(x, f"{at}/norm/feed-forward"), f"{at}/feed-forward/in", normalized))
            x = x + self.linear(h, f"{at}/feed-forward/out", normalized)
        return self.layer_norm(x, f"{stack}/norm")


def vae_losses(case):
    """The one player's loss."""
    network = Network(case)
    options = network.options
    x = tensor(case["images"])  # B P
    h = network.mlp(x, "encoder", options["encoder"])
    q = Normal(network.linear(h, "latent/mean"), torch.exp(0.5 * network.linear(h, "latent/log-variance")))
    epsilon = tensor(case["noises"]["normal/latent/z"]).transpose(0, 1)  # K B L
    z = q.mean + q.stddev * epsilon
    logits = network.linear(network.mlp(z, "decoder", options["decoder"]), "output/logits")
    log_p = Bernoulli(logits=logits).log_prob(x).sum(-1)  # K B
    prior = Normal(torch.zeros_like(q.mean), torch.ones_like(q.stddev))
    kl = kl_divergence(q, prior)  # B L
    if options["objective"] == "iwae":
        log_w = log_p + prior.log_prob(z).sum(-1) - q.log_prob(z).sum(-1)
        loss = -(torch.logsumexp(log_w, 0) - math.log(len(log_w))).mean()
    else:
        paid = torch.clamp(kl.mean(0), min=options["freeBits"]) if options["freeBits"] else kl.mean(0)
        loss = -log_p.mean() + options["beta"] * paid.sum()
    yield "model", network, loss, {"reconstruction": -log_p.mean(), "kl": kl.sum(-1).mean()}


def channels_first(weight):
    """[rows, columns, channels of the larger grid, of the smaller] to PyTorch's [smaller, larger, rows, columns]."""
    return weight.permute(3, 2, 0, 1)


def generate(network, z):
    options, weights = network.options, network.weights
    net = options["net"]
    if "channels" not in net:
        return torch.sigmoid(network.linear(network.mlp(z, "generator", net["generator"]), "generator/pixels"))
    act = ACTIVATIONS[net["generator"]]
    norm = lambda x, at: F.batch_norm(
        x, None, None, weights[f"{at}/norm/gain"], weights[f"{at}/norm/bias"], training=True, eps=1e-5
    )
    up = lambda x, at: F.conv_transpose2d(
        x, channels_first(weights[f"{at}/convolution/weight"]), weights[f"{at}/convolution/bias"], stride=2, padding=1
    )
    x = network.linear(z, "generator/00/linear")
    x = x.reshape(len(z), options["height"] // 4, options["width"] // 4, 2 * net["channels"]).permute(0, 3, 1, 2)
    x = act(norm(x, "generator/00"))
    x = act(norm(up(x, "generator/01"), "generator/01"))
    return torch.sigmoid(up(x, "generator/pixels")).flatten(1)


def in_range(network, images):
    """Pixels as the discriminator is shown them."""
    return 2 * images - 1 if network.options["pixels"] == "symmetric" else images


def score(network, images):
    """Logits [B] of images in the discriminator's range."""
    options, weights = network.options, network.weights
    net, normalized = options["net"], options["spectralNorm"]
    if "channels" not in net:
        h = network.mlp(images, "discriminator", net["discriminator"], normalized)
    else:
        h = images.reshape(len(images), 1, options["height"], options["width"])
        for at in ("discriminator/00/convolution", "discriminator/01/convolution"):
            weight = weights[f"{at}/weight"]
            weight = network.spectrally_normalized(weight) if normalized else weight
            h = F.conv2d(h, channels_first(weight), weights[f"{at}/bias"], stride=2, padding=1)
            h = ACTIVATIONS[net["discriminator"]](h)
        h = h.permute(0, 2, 3, 1).flatten(1)
    return network.linear(h, "discriminator/score", normalized)[:, 0]


def penalty(network, real, fake, share):
    """(||grad a|| - 1)^2 between pairs, each at a place drawn evenly: Phi of a normal is uniform."""
    epsilon = 0.5 * (1 + torch.erf(share / math.sqrt(2)))
    between = (epsilon * real + (1 - epsilon) * fake).detach().requires_grad_()
    (slope,) = torch.autograd.grad(score(network, between).sum(), between, create_graph=True)
    return ((slope.norm(2, dim=1) - 1) ** 2).mean()


def gan_losses(case):
    """The discriminator's loss, then the generator's."""
    network = Network(case)
    kind = network.options["loss"]
    real_images, z = in_range(network, tensor(case["images"])), tensor(case["noises"]["normal/latent/z"])
    ones, zeros = torch.ones(len(z), dtype=torch.float64), torch.zeros(len(z), dtype=torch.float64)
    bce, mse = F.binary_cross_entropy_with_logits, F.mse_loss

    fake_images = in_range(network, generate(network, z)).detach()
    real, fake = score(network, real_images), score(network, fake_images)
    if kind in ("minimax", "non-saturating"):
        loss = bce(real, ones) + bce(fake, zeros)
    elif kind == "lsgan":
        loss = 0.5 * mse(real, ones) + 0.5 * mse(fake, zeros)
    elif kind == "hinge":
        loss = torch.relu(1 - real).mean() + torch.relu(1 + fake).mean()
    else:
        share = tensor(case["noises"]["normal/penalty/share"])
        loss = fake.mean() - real.mean()
        loss = loss + network.options["gradientPenalty"] * penalty(network, real_images, fake_images, share)
    yield "discriminator", network, loss, {}

    for weight in network.weights.values():
        weight.grad = None
    fake = score(network, in_range(network, generate(network, z)))
    if kind == "minimax":
        loss = torch.log(1 - torch.sigmoid(fake)).mean()
    elif kind == "non-saturating":
        loss = bce(fake, ones)
    elif kind == "lsgan":
        loss = 0.5 * mse(fake, ones)
    else:
        loss = -fake.mean()
    yield "generator", network, loss, {}


def compare(found, network, loss, scalars):
    loss.backward()
    whole = math.sqrt(sum(float((tensor(g) ** 2).sum()) for g in found["gradients"].values()))
    gradients, zeros = {}, {}
    for path, given in found["gradients"].items():
        theirs, ours = tensor(given), network.weights[path].grad
        ours = torch.zeros_like(theirs) if ours is None else ours
        if ours.norm() < 1e-12 * whole:  # 0 but for rounding, here in float64 and there in float32
            zeros[path] = float(theirs.norm()) / whole
        else:
            gradients[path] = float((ours - theirs).norm() / ours.norm())
    there = {"loss": found["scalars"]["loss"], **{name: found["scalars"][name] for name in scalars}}
    here = {"loss": loss, **scalars}
    return {
        "scalars": {name: abs(float(here[name]) - value) / (1 + abs(value)) for name, value in there.items()},
        "gradients": gradients,
        "zeros": zeros,
    }


for case in json.load(sys.stdin):
    losses = {"vae": vae_losses, "gan": gan_losses}[case["kind"]]
    for player, network, loss, scalars in losses(case):
        print(json.dumps({"player": player, **compare(case["found"][player], network, loss, scalars)}))
