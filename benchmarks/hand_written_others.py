"""As hand_written.py: a ladder, partly labelled rows, and densities without latents."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from hand_written import WIDTH, L, Plain, layers, log_standard
from torch import Tensor, nn
from torch.nn import functional as F

RUNGS, STATE = (8, 16, 32), 256
CLASSES = 10
D, HIDDEN, BINS, BOUND = 32, 128, 8, 5.0
STEEPEST = math.log(1e3)


def bounded(x: Tensor, bound: float) -> Tensor:
    """Within (-bound, bound)."""
    return x / (1 + x.abs() / bound)


def zeroed(ins: int, outs: int) -> nn.Linear:
    """A linear layer that gives 0 at first."""
    layer = nn.Linear(ins, outs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class Block(nn.Module):
    """x + W2 silu(W1 silu(x / |x|))."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(STATE, STATE), nn.Linear(STATE, STATE)

    def forward(self, x: Tensor) -> Tensor:
        """The next state."""
        scaled = x * (x.square().mean(1, keepdim=True) + 0.01).rsqrt()
        return x + self.last(F.silu(self.first(F.silu(scaled))))


class Rung(nn.Module):
    """A level of a ladder: its prior, its posterior, the next state."""

    def __init__(self, size: int, top: bool) -> None:
        super().__init__()
        self.prior = None if top else zeroed(STATE, 2 * size)
        self.own, self.seen = nn.Linear(STATE, STATE), nn.Linear(STATE, STATE)
        self.posterior, self.merge, self.block = zeroed(STATE, 2 * size), nn.Linear(size, STATE), Block()

    def forward(self, h: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """State and KL(q || p)."""
        a = F.silu(h)
        numbers = self.posterior(F.silu(self.own(a) + self.seen(F.silu(features))))
        if self.prior is None:
            mean, log_scale = numbers.chunk(2, 1)
            rate = 0.5 * (mean.square() + (2 * log_scale).exp() - 1 - 2 * log_scale)
        else:
            told = self.prior(a)
            mean, log_scale = (numbers + told).chunk(2, 1)
            centre, log_width = told.chunk(2, 1)
            apart, ratio = (mean - centre) * (-log_width).exp(), log_scale - log_width
            rate = 0.5 * (apart.square() + (2 * ratio).exp() - 1 - 2 * ratio)
        z = mean + log_scale.exp() * torch.randn_like(mean)
        return self.block(h + self.merge(z)), rate.sum(1)


class Rungs(Plain):
    """Three levels of latents."""

    def __init__(self, n: int) -> None:
        super().__init__(n)
        self.encoder = nn.ModuleList([nn.Sequential(nn.Linear(784, STATE), Block()), Block(), Block()])
        self.rungs = nn.ModuleList([Rung(size, not i) for i, size in enumerate(RUNGS)])
        self.start, self.decoder = nn.Parameter(torch.zeros(1, STATE)), nn.Sequential(nn.SiLU(), nn.Linear(STATE, 784))

    def forward(self, x: Tensor) -> Tensor:
        """The ELBO."""
        features = [x]
        for stage in self.encoder:
            features.append(stage(features[-1]))
        h, total = self.start, torch.zeros(())
        for rung in self.rungs:
            h, rate = rung(h, features.pop())
            total = total + rate
        return (self.distortion(h, x) + total).mean()


class Pixels(Plain):
    """PixelVAE: what the decoder says of a pixel, and what a small network adds, which sees 24 pixels before it."""

    rows = "images"

    def __init__(self, n: int) -> None:
        super().__init__(n)
        self.near = nn.Conv2d(2, 16, 7, padding=3)
        self.hidden, self.out = nn.Linear(16, 16), nn.Linear(16, 1, bias=False)
        mask = torch.ones(16, 2, 49)
        mask[:, 0, 24:] = 0
        self.register_buffer("mask", mask.view(16, 2, 7, 7))
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor) -> Tensor:
        """The ELBO."""
        z, *q = self.drawn(x.flatten(1))
        logits = self.decoder(z).view(-1, 1, 28, 28)
        seen = torch.cat([x[:, None], (logits / 2).tanh()], 1).contiguous(memory_format=torch.channels_last)
        h = F.conv2d(seen, self.near.weight * self.mask, self.near.bias, padding=3).permute(0, 2, 3, 1)
        logits = logits[:, 0] + self.out(F.silu(self.hidden(F.silu(h)))).squeeze(-1)
        distortion = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum((1, 2))
        return (distortion + self.rate(*q)).mean()


class PartlyLabelled(Plain):
    """M2: rows with a class at that class, rows without one at each, and a classifier, taught by the former."""

    reads, rows = L + CLASSES, "labelled"

    def __init__(self, n: int) -> None:
        super().__init__(n)
        self.encoder, self.classifier = layers(784 + CLASSES, WIDTH, self.says), layers(784, WIDTH, CLASSES)

    def see(self, x: Tensor, known: Tensor) -> None:  # type: ignore[override]
        """The rows with a class, and how frequent each is."""
        labelled = known.any(1)
        self.taught = x[labelled], known[labelled].argmax(1)
        share = known.sum(0) + 1.0
        self.log_p = (share / share.sum()).log()

    def bound(self, x: Tensor, y: Tensor) -> Tensor:
        """-ELBO of log p(x | y)."""
        mean, log_scale = self.encoder(torch.cat([x, y], 1)).chunk(2, 1)
        z = mean + log_scale.exp() * torch.randn_like(mean)
        return self.distortion(torch.cat([z, y], 1), x) + self.rate(mean, log_scale)

    def forward(self, x: Tensor, known: Tensor) -> Tensor:  # type: ignore[override]
        """The ELBO of both kinds of rows, and the loss of the classifier."""
        has = known.any(1)
        with_class, free = (x[has], known[has]), x[~has]
        total = (self.bound(*with_class) - with_class[1] @ self.log_p).sum()
        every = torch.eye(CLASSES).repeat_interleave(len(free), 0)
        bound = self.bound(free.repeat(CLASSES, 1), every).view(CLASSES, -1).T
        log_q = self.classifier(free).log_softmax(1)
        total = total + (log_q.exp() * (bound - self.log_p + log_q)).sum()
        rows, classes = self.taught
        some = torch.randint(len(rows), (min(len(x), len(rows)),))
        return total / len(x) + F.cross_entropy(self.classifier(rows[some]), classes[some])


class Density(nn.Module):
    """log N(f(x); 0, I) + log |det df/dx|, a learned mixing between each two maps of f."""

    count, numbers, decay, rows, critic = 3, 2, 0.0, "numbers", None

    def __init__(self, n: int) -> None:
        super().__init__()
        self.maps = nn.ModuleList([self.network() for _ in range(self.count)])
        self.mixings = nn.ParameterList([torch.zeros(D, D) for _ in range(self.count - 1)])

    def see(self, x: Tensor) -> None:
        """Where the rows lie, and how far apart."""
        self.register_buffer("mean", x.mean(0))
        self.register_buffer("scale", x.std(0))

    def network(self) -> nn.Module:
        """Of one map."""
        return Blind(self.numbers)

    def step(self, x: Tensor, network: nn.Module) -> tuple[Tensor, Tensor]:
        """One map and its log-determinant."""
        return stretched(x, network(x))

    def forward(self, x: Tensor) -> Tensor:
        """-log p(x)."""
        x, log_det = (x - self.mean) / self.scale, -self.scale.log().sum()
        for i, network in enumerate(self.maps):
            if i:
                weight, diagonal = self.mixings[i - 1], self.mixings[i - 1].diagonal()
                lower, upper = weight.tril(-1) + torch.eye(D), weight.triu(1) + torch.diag_embed(diagonal.exp())
                x, log_det = x.flip(1) @ (lower @ upper).T, log_det + diagonal.sum()
            x, slopes = self.step(x, network)
            log_det = log_det + slopes
        return -(log_standard(x) + log_det).mean()


def stretched(x: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """exp(log_scale) x + shift."""
    shift, log_scale = numbers.unbind(-1)
    log_scale = bounded(log_scale, STEEPEST)
    return shift + log_scale.exp() * x, log_scale.sum(1)


class Blind(nn.Module):
    """Numbers of each element from the ones before it."""

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self.numbers = numbers
        hidden = 1 + torch.arange(HIDDEN) * (D - 1) // HIDDEN
        order = [1 + torch.arange(D), hidden, hidden]
        self.layers = nn.ModuleList([nn.Linear(D, HIDDEN), nn.Linear(HIDDEN, HIDDEN), zeroed(HIDDEN, D * numbers)])
        masks = [(after[:, None] >= before).float() for before, after in pairwise(order)]
        masks.append(((1 + torch.arange(D)).repeat_interleave(numbers)[:, None] > hidden).float())
        for i, mask in enumerate(masks):
            self.register_buffer(f"mask{i}", mask)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, D, numbers)``."""
        for i, layer in enumerate(self.layers):
            x = F.linear(F.relu(x) if i else x, layer.weight * getattr(self, f"mask{i}"), layer.bias)
        return x.unflatten(1, (D, self.numbers))


class Autoregressive(Density):
    """Five affine maps."""

    count = 5


class Coupled(Density):
    """Six affine maps of one half by the other."""

    count = 6

    def network(self) -> nn.Module:
        """From the first half."""
        return nn.Sequential(layers(D // 2, HIDDEN, HIDDEN), nn.ReLU(), zeroed(HIDDEN, D))

    def step(self, x: Tensor, network: nn.Module) -> tuple[Tensor, Tensor]:
        """The second half moves."""
        first, second = x.chunk(2, 1)
        second, log_det = stretched(second, network(first).unflatten(1, (-1, 2)))
        return torch.cat([first, second], 1), log_det


class Splines(Density):
    """Three maps of rational-quadratic splines of eight bins."""

    numbers = 3 * BINS - 1

    def step(self, x: Tensor, network: nn.Module) -> tuple[Tensor, Tensor]:
        """As Durkan et al. write it."""
        told = network(x)
        widths, heights = (self.edges(part) for part in told[..., : 2 * BINS].split(BINS, -1))
        slopes = F.pad(bounded(told[..., 2 * BINS :], STEEPEST), (1, 1)).exp()
        inside = x.clamp(-BOUND, BOUND)
        k = (inside[..., None] >= widths[..., 1:-1]).sum(-1, keepdim=True)
        x0, x1 = (widths.gather(-1, k + i).squeeze(-1) for i in (0, 1))
        y0, y1 = (heights.gather(-1, k + i).squeeze(-1) for i in (0, 1))
        d0, d1 = (slopes.gather(-1, k + i).squeeze(-1) for i in (0, 1))
        steep, t = (y1 - y0) / (x1 - x0), (inside - x0) / (x1 - x0)
        below = steep + (d0 + d1 - 2 * steep) * t * (1 - t)
        y = y0 + (y1 - y0) * (steep * t.square() + d0 * t * (1 - t)) / below
        above = steep.square() * (d1 * t.square() + 2 * steep * t * (1 - t) + d0 * (1 - t).square())
        log_slope = above.log() - 2 * below.log()
        outside = (x.abs() > BOUND).float()
        return torch.lerp(y, x, outside), (log_slope * (1 - outside)).sum(1)

    def edges(self, numbers: Tensor) -> Tensor:
        """Of the bins, from their log-sizes."""
        sizes = bounded(numbers, STEEPEST / 2).softmax(-1)
        return F.pad(sizes.cumsum(-1), (1, 0)) * (2 * BOUND) - BOUND
