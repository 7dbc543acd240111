"""Codebooks: each latent vector is rounded to the nearest of a few, or each of its numbers to the nearest level."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from latens.distributions import Distribution, PointCodes
from latens.models.codes import Coder, Quantiser, check_classes
from latens.nn import Site
from latens.training.parallel import World
from latens.utils.errors import InputError
from latens.utils.validation import check_positive

LEAST = 1e-12
"""Of the use of a code: it only ever divides by it."""


class Codebook(nn.Module):
    """C vectors that follow what is rounded to them: a k-means that never ends.

    n_c <- d n_c + (1 - d) |S_c|,  e_c <- e_c + (1 - d) sum_{z in S_c} (z - e_c) / n_c, S_c the vectors of a batch that
    are nearest to e_c. A code whose share of the use falls below ``revive`` of the average begins anew at a vector of
    the batch.

    Args:
        vectors: where the codes begin, ``(C, D)``.
        decay: d; 0 moves each code to the mean of its vectors at once.
        revive: 0 lets codes die.
    """

    vectors: Tensor
    use: Tensor

    def __init__(self, vectors: Tensor, decay: float, revive: float) -> None:
        super().__init__()
        self.decay, self.revive = decay, revive
        self.register_buffer("vectors", vectors)
        self.register_buffer("use", torch.ones(len(vectors)))

    @torch.no_grad()
    def nearest(self, x: Tensor) -> Tensor:
        """The index of the nearest vector, ``(*, D) -> (*)``."""
        return (0.5 * self.vectors.square().sum(-1) - x.float() @ self.vectors.T).argmin(-1)

    @torch.no_grad()
    def follow(self, x: Tensor, index: Tensor) -> None:
        """One step, in place: ``x`` ``(n, D)`` was rounded to ``index`` ``(n,)``; sums are over all processes.

        A batch that holds a number that is not finite is passed over.
        """
        chosen = (index.unsqueeze(-1) == torch.arange(len(self.use), device=index.device)).float()
        fresh = x[torch.randint(len(x), (len(self.use),), device=x.device)]
        world = World.join(x.device)
        count, total = (mean * world.size for mean in world.average([chosen.sum(0), chosen.T @ x]))
        world.broadcast([fresh])
        use = (self.decay * self.use + (1 - self.decay) * count).clamp(min=LEAST)
        moved = self.vectors + (1 - self.decay) * (total - count[:, None] * self.vectors) / use[:, None]
        dead = use < self.revive * use.mean()
        moved, use = torch.where(dead[:, None], fresh, moved), torch.where(dead, use.mean(), use)
        sound = total.isfinite().all() & fresh.isfinite().all()
        self.vectors.copy_(torch.where(sound, moved, self.vectors))
        self.use.copy_(torch.where(sound, use, self.use))


class VectorQuantiser(Quantiser):
    """z to the nearest vector, what is left of it to the nearest of the next codebook, and so on."""

    def __init__(self, books: list[Codebook], latents: int) -> None:
        super().__init__()
        self.books, self.latents = nn.ModuleList(books), latents

    @property
    def stages(self) -> list[Codebook]:
        """The codebooks, in turn."""
        return list(self.books)  # type: ignore[arg-type]

    def forward(self, z: Tensor) -> PointCodes:
        """The codes ``(*batch, L * stages)``, and their vectors with the gradient of the identity."""
        with torch.autocast(z.device.type, enabled=False):
            rest = z.to(self.stages[0].vectors.dtype)
            total, error = torch.zeros_like(rest), rest.new_zeros(rest.shape[:-2])
            indices, inputs = [], []
            for book in self.stages:
                indices.append(book.nearest(rest))
                inputs.append(rest.detach())
                vectors = book.vectors[indices[-1]]
                total, rest = total + vectors, rest - vectors
                error = error + rest.square().sum((-2, -1))
            code = torch.stack(indices, -1).flatten(-2).to(total.dtype)
            return PointCodes(code, (total + (z - z.detach())).flatten(-2), inputs, error)

    def embed(self, code: Tensor) -> Tensor:
        """The sums of the vectors of each stage."""
        index = code.long().unflatten(-1, (self.latents, len(self.stages))).unbind(-1)
        vectors = [book.vectors[i] for book, i in zip(self.stages, index)]
        return sum(vectors[1:], vectors[0]).flatten(-2)

    def absorb(self, q: Distribution) -> None:
        """Each codebook follows what was rounded by it."""
        if isinstance(q, PointCodes):
            index = q.code.long().unflatten(-1, (self.latents, len(self.stages)))
            for book, x, i in zip(self.stages, q.inputs, index.unbind(-1)):
                book.follow(x.flatten(0, -2), i.flatten())


@dataclass(frozen=True, repr=False)
class VectorQuantised(Coder):
    r"""c_i = argmin_c |encoder(x)_i - e_c|: each latent is a vector of ``size`` numbers, rounded to one of C.

    The gradient passes straight through the rounding. The codebook is no weight: it follows what is rounded to it, see
    :class:`~latens.models.codebook.Codebook`, and the encoder is held near it by ``Commitment()``, which the objective
    needs to name. Each row has one code, so that log p(x | c) + log p(c) is what is known of log p(x): a lower bound.
    The rate is -log p(c): a constant under uniform codes, N log C, and what a learned prior learns by.

    Args:
        classes: C, the vectors of a codebook; all latents share it.
        size: the numbers of a vector.
        stages: codebooks in turn, each for what the ones before it leave (residual quantisation): a latent then has so
            many codes.
        decay: how much of its past a codebook keeps at each step.
        revive: codes whose share of the use is less than this times the average begin anew; 0 for none.

    References:
        van den Oord, Vinyals and Kavukcuoglu, *Neural discrete representation learning*, 2017; Razavi, van den Oord and
        Vinyals, *Generating diverse high-fidelity images with VQ-VAE-2*, 2019, for the moving average; Zeghidour et
        al., *SoundStream*, 2021, for the stages.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> from latens import VAE
        >>> from latens.objectives import ELBO, Commitment
        >>> X = load_digits().images
        >>> loss = ELBO() + 0.25 * Commitment()
        >>> vae = VAE(latents=4, posterior=VectorQuantised(16, 4), objective=loss, epochs=2, random_state=0).fit(X)
        >>> vae.transform(X).shape, vae.sample(3).shape
        ((1797, 4), (3, 8, 8))
    """

    classes: int
    size: int = 8
    stages: int = 1
    decay: float = 0.99
    revive: float = 0.01

    def __post_init__(self) -> None:
        check_classes(self)
        check_positive("size", self.size, integer=True)
        check_positive("stages", self.stages, integer=True)
        for name, value in (("decay", self.decay), ("revive", self.revive)):
            check_positive(name, value, zero=True)
            if value >= 1:
                raise InputError(f"VectorQuantised expects 0 <= {name} < 1; got {value!r}.")

    @property
    def inputs(self) -> int:
        """The numbers of a vector."""
        return self.size

    @property
    def width(self) -> int:
        """The numbers of a vector."""
        return self.size

    def build(self, site: Site) -> VectorQuantiser:
        """Codebooks of vectors that the encoder says of a first batch."""
        rest = torch.zeros(1, self.size) if site.events is None else site.events.flatten(0, -2)
        books = []
        for _ in range(self.stages):
            chosen = torch.randperm(max(len(rest), self.classes))[: self.classes] % len(rest)
            books.append(Codebook(rest[chosen].clone(), self.decay, self.revive))
            rest = rest - books[-1].vectors[books[-1].nearest(rest)]
        return VectorQuantiser(books, (site.context_shape or (1,))[0])


class ScalarQuantiser(Quantiser):
    """Each number to the nearest of its levels, and these to one code: the module of :class:`FiniteScalar`."""

    ends: Tensor
    places: Tensor

    def __init__(self, levels: tuple[int, ...]) -> None:
        super().__init__()
        self.levels, self.classes = levels, prod(levels)
        self.register_buffer("ends", torch.tensor(levels) - 1.0, persistent=False)
        places = [prod(levels[:i]) for i in range(len(levels))]
        self.register_buffer("places", torch.tensor(places), persistent=False)

    def forward(self, z: Tensor) -> PointCodes:
        """The codes, and the levels with the gradient of tanh(z)."""
        z = z.to(self.ends.dtype).tanh()
        level = ((z + 1.0) * 0.5 * self.ends).round().detach().nan_to_num(0.0)  # NaN is no code, and is in the value
        value = self._values(level) + (z - z.detach())
        return PointCodes((level * self.places).sum(-1), value.flatten(-2))

    def embed(self, code: Tensor) -> Tensor:
        """The levels, between -1 and 1."""
        level = code.long().unsqueeze(-1) // self.places % (self.ends.long() + 1)
        return self._values(level).flatten(-2)

    def _values(self, level: Tensor) -> Tensor:
        return 2.0 * level / self.ends - 1.0


@dataclass(frozen=True, repr=False)
class FiniteScalar(Coder):
    r"""c = (round((tanh(encoder(x)_j) + 1) (n_j - 1) / 2))_j: each number of a latent is one of n_j even levels.

    A codebook without a codebook: nothing to follow, nothing to commit to, no code that dies. The levels lie from -1 to
    1, ends included; the gradient passes straight through the rounding.

    Args:
        levels: n_j of each number of a latent; their product is the number of classes. A whole number is one.

    Reference: Mentzer et al., *Finite scalar quantization: VQ-VAE made simple*, 2024.

    Example:
        >>> FiniteScalar((8, 5, 5)).classes
        200
    """

    levels: tuple[int, ...] = (8, 5, 5)

    def __post_init__(self) -> None:
        levels = (self.levels,) if isinstance(self.levels, int) else self.levels
        whole = isinstance(levels, (tuple, list)) and all(isinstance(n, int) and n > 1 for n in levels)
        if not whole or not levels or prod(levels) > 1 << 24:
            raise InputError(
                f"FiniteScalar expects whole numbers of levels >= 2, such as (8, 5, 5), of no more than 2^24 codes; "
                f"got {self.levels!r}."
            )
        object.__setattr__(self, "levels", tuple(levels))

    @property
    def classes(self) -> int:  # type: ignore[override]
        """The product of the levels."""
        return prod(self.levels)

    @property
    def inputs(self) -> int:
        """One number for each entry of ``levels``."""
        return len(self.levels)

    @property
    def width(self) -> int:
        """One number for each entry of ``levels``."""
        return len(self.levels)

    def build(self, site: Site) -> ScalarQuantiser:
        """Nothing to learn."""
        return ScalarQuantiser(self.levels)
