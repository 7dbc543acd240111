"""Models as one writes them by hand, each for itself, for by_hand.py: 784-512-16-512-784, binary pixels."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH, L = 512, 16
HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


def layers(*sizes: int, act: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """Linear layers, with an activation between each two."""
    made = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), act())]
    return nn.Sequential(*made[:-1])


def log_normal(z: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """log N(z; mean, exp(log_scale)^2) of each element."""
    return -0.5 * ((z - mean) * (-log_scale).exp()).square() - log_scale - HALF_LOG_TWO_PI


def log_standard(z: Tensor) -> Tensor:
    """log N(z; 0, I)."""
    return (-0.5 * z.square() - HALF_LOG_TWO_PI).sum(-1)


class Plain(nn.Module):
    """The variational autoencoder, and what the others take from it."""

    says, reads, decay, rows = 2 * L, L, 0.0, "pixels"

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n, self.critic = n, None
        self.encoder, self.decoder = layers(784, WIDTH, self.says), layers(self.reads, WIDTH, 784)

    def see(self, *rows: Tensor) -> None:
        """What is taken from all rows at first: nothing."""

    def q(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Location and log-scale."""
        mean, log_scale = self.encoder(x).chunk(2, 1)
        return mean, log_scale

    def drawn(self, x: Tensor, *shape: int) -> tuple[Tensor, Tensor, Tensor]:
        """z, and what tells q."""
        mean, log_scale = self.q(x)
        return mean + log_scale.exp() * torch.randn(*shape, *mean.shape), mean, log_scale

    def distortion(self, z: Tensor, x: Tensor) -> Tensor:
        """-log p(x | z)."""
        numbers = self.decoder(z)
        return F.binary_cross_entropy_with_logits(numbers, x.expand_as(numbers), reduction="none").sum(-1)

    def rate(self, mean: Tensor, log_scale: Tensor) -> Tensor:
        """KL(q || N(0, I))."""
        return 0.5 * (mean.square() + (2 * log_scale).exp() - 1 - 2 * log_scale).sum(-1)

    def forward(self, x: Tensor) -> Tensor:
        """The loss."""
        z, *q = self.drawn(x)
        return (self.distortion(z, x) + self.rate(*q)).mean()


class TotalCorrelation(Plain):
    """beta-TCVAE."""

    def forward(self, x: Tensor) -> Tensor:
        """Distortion, and the rate in its three parts."""
        z, mean, log_scale = self.drawn(x)
        pairs = log_normal(z[:, None], mean, log_scale)
        weights = torch.full((len(x), len(x)), math.log((self.n - 1) / (self.n * (len(x) - 1))))
        weights.fill_diagonal_(-math.log(self.n))
        joint = (pairs.sum(-1) + weights).logsumexp(1)
        single = (pairs + weights[..., None]).logsumexp(1).sum(-1)
        information = log_normal(z, mean, log_scale).sum(-1) - joint
        return (self.distortion(z, x) + information + 6.0 * (joint - single) + single - log_standard(z)).mean()


class Factor(Plain):
    """FactorVAE: a critic tells z from z whose dimensions are permuted."""

    def __init__(self, n: int) -> None:
        super().__init__(n)
        self.critic = layers(L, 256, 256, 1, act=lambda: nn.LeakyReLU(0.2))  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """The ELBO, and the critic's total correlation."""
        z, *q = self.drawn(x)
        self.seen = z.detach()
        return (self.distortion(z, x) + self.rate(*q) + 6.0 * self.critic(z).squeeze(-1)).mean()

    def contest(self, x: Tensor) -> Tensor:
        """What the critic minimises."""
        mixed = self.seen.gather(0, torch.rand_like(self.seen).argsort(0))
        return F.softplus(-self.critic(self.seen)).mean() + F.softplus(self.critic(mixed)).mean()


class Importance(Plain):
    """IWAE."""

    k = 5

    def forward(self, x: Tensor) -> Tensor:
        """The bound."""
        z, mean, log_scale = self.drawn(x, self.k)
        weight = log_standard(z) - self.distortion(z, x) - log_normal(z, mean, log_scale).sum(-1)
        return (math.log(self.k) - weight.logsumexp(0)).mean()


class DoublyReparameterised(Importance):
    """The gradient of Tucker et al."""

    def forward(self, x: Tensor) -> Tensor:
        """Weights twice for what reaches q through z, once for p."""
        z, mean, log_scale = self.drawn(x, self.k)
        fixed = log_normal(z, mean.detach(), log_scale.detach()).sum(-1)
        weight = log_standard(z) - self.distortion(z, x) - fixed
        share = weight.detach().softmax(0)
        z.register_hook(lambda slope: share[..., None] * slope)
        loss = -(share * weight).sum(0).mean()
        return loss + ((math.log(self.k) - weight.logsumexp(0)).mean() - loss).detach()


class FullCovariance(Plain):
    """A Cholesky factor from the encoder."""

    says = L + L * (L + 1) // 2

    def forward(self, x: Tensor) -> Tensor:
        """The ELBO, its rate in closed form."""
        mean, below = self.encoder(x).split([L, self.says - L], 1)
        factor = mean.new_zeros(len(x), L, L)
        i, j = torch.tril_indices(L, L)
        factor[:, i, j] = below
        log_diagonal = factor.diagonal(dim1=1, dim2=2)
        factor = factor.tril(-1) + torch.diag_embed(log_diagonal.exp())
        z = mean + (factor @ torch.randn(len(x), L, 1)).squeeze(-1)
        rate = 0.5 * (mean.square().sum(1) + factor.square().sum((1, 2)) - L) - log_diagonal.sum(1)
        return (self.distortion(z, x) + rate).mean()


class Planar(Plain):
    """Eight planar maps, told by a context of x."""

    maps = 8

    def __init__(self, n: int) -> None:
        super().__init__(n)
        self.context, self.numbers = layers(784, 64, 32), nn.Linear(32, self.maps * (2 * L + 1))
        nn.init.zeros_(self.numbers.weight)
        nn.init.normal_(self.numbers.bias, std=0.1)

    def forward(self, x: Tensor) -> Tensor:
        """The ELBO, its rate by the draw."""
        z, mean, log_scale = self.drawn(x)
        log_q = log_normal(z, mean, log_scale).sum(-1)
        for numbers in self.numbers(self.context(x)).chunk(self.maps, 1):
            u, w, b = numbers.split([L, L, 1], 1)
            inner = (w * u).sum(1, keepdim=True)
            u = u + (F.softplus(inner) - 1 - inner) * w / w.square().sum(1, keepdim=True)
            bent = torch.tanh((w * z).sum(1, keepdim=True) + b)
            z = z + u * bent
            log_q = log_q - torch.log1p((1 - bent.square()) * (w * u).sum(1, keepdim=True)).squeeze(1)
        return (self.distortion(z, x) + log_q - log_standard(z)).mean()


class Masked(nn.Module):
    """Shift and scale of each element from the ones before it, and a context."""

    def __init__(self) -> None:
        super().__init__()
        order = torch.arange(64) % (L - 1)
        self.first, self.context, self.last = nn.Linear(L, 64), nn.Linear(32, 64, bias=False), nn.Linear(64, 2 * L)
        self.register_buffer("into", (order[:, None] >= torch.arange(L)).float())
        self.register_buffer("out", (torch.arange(L)[:, None] > order).float().repeat(2, 1))
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Shift and log-scale."""
        hidden = F.relu(F.linear(z, self.first.weight * self.into, self.first.bias) + self.context(h))
        shift, log_scale = F.linear(hidden, self.last.weight * self.out, self.last.bias).chunk(2, 1)
        return shift, log_scale / (1 + log_scale.abs() / math.log(1e3))


class InverseAutoregressive(Plain):
    """Two autoregressive maps, a learned mixing between them."""

    def __init__(self, n: int) -> None:
        super().__init__(n)
        self.context, self.maps = layers(784, 64, 32), nn.ModuleList([Masked(), Masked()])
        self.mixing = nn.Parameter(torch.zeros(L, L))

    def forward(self, x: Tensor) -> Tensor:
        """The ELBO, its rate by the draw."""
        z, mean, log_scale = self.drawn(x)
        log_q, h = log_normal(z, mean, log_scale).sum(-1), self.context(x)
        for i, masked in enumerate(self.maps):
            if i:
                lower, diagonal = self.mixing.tril(-1) + torch.eye(L), self.mixing.diagonal()
                upper = self.mixing.triu(1) + torch.diag_embed(diagonal.exp())
                z, log_q = z.flip(1) @ (lower @ upper).T, log_q - diagonal.sum()
            shift, stretch = masked(z, h)
            z, log_q = shift + stretch.exp() * z, log_q - stretch.sum(1)
        return (self.distortion(z, x) + log_q - log_standard(z)).mean()


class Leapfrog(Plain):
    """Three steps along the gradient of log p(x, z)."""

    steps = 3

    def __init__(self, n: int) -> None:
        super().__init__(n)
        self.step, self.heat = nn.Parameter(torch.full((L,), math.log(0.05 / 0.45))), nn.Parameter(torch.tensor([-3.0]))

    def force(self, z: Tensor, x: Tensor) -> Tensor:
        """d log p(x, z) / dz."""
        joint = log_standard(z) - self.distortion(z, x)
        return torch.autograd.grad(joint.sum(), z, create_graph=True)[0]

    def forward(self, x: Tensor) -> Tensor:
        """The ELBO of position and momentum."""
        z, mean, log_scale = self.drawn(x)
        log_q, momentum = log_normal(z, mean, log_scale).sum(-1), torch.randn_like(z)
        log_q = log_q + log_standard(momentum)
        widths = torch.lerp(
            (3.0 * self.heat.sigmoid()).exp(), torch.ones(1), torch.linspace(0, 1, self.steps + 1).square()
        )
        step, momentum, pull = 0.5 * self.step.sigmoid(), momentum * widths[0], self.force(z, x)
        for cooling in widths[1:] / widths[:-1]:
            momentum = momentum + 0.5 * step * pull
            z = z + step * momentum
            pull = self.force(z, x)
            momentum = cooling * (momentum + 0.5 * step * pull)
        return (self.distortion(z, x) - log_standard(z) + log_q - log_standard(momentum)).mean()


class Categories(Plain):
    """Sixteen codes of ten classes, straight through a softmax."""

    says = reads = 10 * L

    def forward(self, x: Tensor) -> Tensor:
        """The ELBO, its rate in closed form."""
        log_p = self.encoder(x).unflatten(1, (L, 10)).log_softmax(-1)
        z = F.gumbel_softmax(log_p, 0.5, hard=True)
        return (self.distortion(z.flatten(1), x) + (log_p.exp() * (log_p + math.log(10))).sum((1, 2))).mean()


class Codebook(Plain):
    """Sixteen codes of 64 vectors, which follow what is rounded to them."""

    says = reads = 8 * L

    def __init__(self, n: int) -> None:
        super().__init__(n)
        self.register_buffer("vectors", 0.1 * torch.randn(64, 8))
        self.register_buffer("use", torch.ones(64))

    def forward(self, x: Tensor) -> Tensor:
        """Distortion, the constant rate, commitment."""
        z = self.encoder(x).unflatten(1, (L, 8))
        flat = z.detach().flatten(0, 1)
        index = (0.5 * self.vectors.square().sum(1) - flat @ self.vectors.T).argmin(1)
        nearest = self.vectors[index].view_as(z)
        self.follow(flat, index)
        commitment = (z - nearest).square().sum((1, 2))
        return (
            self.distortion((z + (nearest - z).detach()).flatten(1), x) + L * math.log(64) + 0.25 * commitment
        ).mean()

    @torch.no_grad()
    def follow(self, flat: Tensor, index: Tensor) -> None:
        """Moving averages; vectors out of use begin anew."""
        chosen = F.one_hot(index, 64).float()
        count, total = chosen.sum(0), chosen.T @ flat
        self.use.mul_(0.99).add_(count, alpha=0.01)
        self.vectors.add_(0.01 * (total - count[:, None] * self.vectors) / self.use.clamp(min=1e-5)[:, None])
        dead = self.use < 0.01 * self.use.mean()
        fresh = flat[torch.randint(len(flat), (64,))]
        self.vectors.copy_(torch.where(dead[:, None], fresh, self.vectors))
        self.use.copy_(torch.where(dead, self.use.mean(), self.use))


class Mixture(Plain):
    """A prior of ten normals."""

    def __init__(self, n: int) -> None:
        super().__init__(n)
        self.weights = nn.Parameter(torch.zeros(10))
        self.locations, self.log_scales = nn.Parameter(torch.randn(10, L)), nn.Parameter(torch.zeros(10, L))

    def components(self) -> tuple[Tensor, Tensor, Tensor]:
        """Log-weights, locations, log-scales."""
        return self.weights.log_softmax(0), self.locations, self.log_scales

    def forward(self, x: Tensor) -> Tensor:
        """The ELBO, its rate by the draw."""
        z, mean, log_scale = self.drawn(x)
        weights, locations, scales = self.components()
        log_p = (weights + log_normal(z[:, None], locations, scales).sum(-1)).logsumexp(1)
        return (self.distortion(z, x) + log_normal(z, mean, log_scale).sum(-1) - log_p).mean()


class Vamp(Mixture):
    """A prior of the posteriors of 100 learned inputs."""

    def __init__(self, n: int) -> None:
        super().__init__(n)
        self.inputs = nn.Parameter(torch.rand(100, 784))

    def components(self) -> tuple[Tensor, Tensor, Tensor]:
        """Equal weights."""
        return torch.full((100,), -math.log(100)), *self.q(self.inputs.clamp(0, 1))


class Discrepancy(Plain):
    """A Wasserstein autoencoder: the maximum mean discrepancy of its codes."""

    says = L

    def forward(self, x: Tensor) -> Tensor:
        """Distortion and discrepancy."""
        z = self.encoder(x)
        y, n = torch.randn_like(z), len(z)
        same = [(self.similar(a, a).sum() - n) / (n * (n - 1)) for a in (z, y)]
        return self.distortion(z, x).mean() + 100.0 * (sum(same) - 2 * self.similar(z, y).mean())

    def similar(self, z: Tensor, y: Tensor) -> Tensor:
        """The kernel of all pairs."""
        apart = (z[:, None] - y).square().sum(-1) / (2 * L)
        return torch.stack([1 / (1 + apart / s) for s in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)]).mean(0)


class Adversarial(Factor):
    """An adversarial autoencoder: a critic tells codes from draws of the prior."""

    says = L

    def forward(self, x: Tensor) -> Tensor:
        """Distortion, and what the critic says."""
        z = self.encoder(x)
        self.seen = z.detach()
        return (self.distortion(z, x) + F.softplus(self.critic(z)).squeeze(-1)).mean()

    def contest(self, x: Tensor) -> Tensor:
        """What the critic minimises."""
        prior = torch.randn_like(self.seen)
        return F.softplus(-self.critic(self.seen)).mean() + F.softplus(self.critic(prior)).mean()


class Regularised(Plain):
    """An autoencoder with a weight on the size of its codes and of its weights."""

    says, decay = L, 1e-3

    def forward(self, x: Tensor) -> Tensor:
        """Distortion and size."""
        z = self.encoder(x)
        return (self.distortion(z, x) + 1e-2 * 0.5 * z.square().sum(1)).mean()
