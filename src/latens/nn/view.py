"""What a network is shown of its input: centred, scaled, counts on a logarithmic scale."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from latens.nn.base import Site


class View(nn.Module):
    """v(x) = (f(x) - shift) / scale, with f(x) = log(1 + x) for large counts and f(x) = x otherwise.

    A network learns fastest from inputs of zero mean and unit variance; the density does not change, since only the
    encoder looks through the view. One shift and scale serve all elements of an image, one each a column of a table.
    Values that are never negative and exceed 16 count as large: a model's other units lie within a few units of zero.

    Args:
        batch: a first batch, ``(B, *shape)``, from which shift and scale are taken.

    Example:
        >>> batch = torch.tensor([[1.0], [3.0]])
        >>> View(batch)(batch).flatten()
        tensor([-1.,  1.])
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, batch: Tensor) -> None:
        super().__init__()
        self.shape = tuple(batch.shape[1:])
        self.logarithmic = bool(batch.min() >= 0 and batch.max() > 16)
        x = batch.log1p() if self.logarithmic else batch
        axes = (0,) if x.ndim == 2 else tuple(range(x.ndim))
        scale = x.std(axes, correction=0)
        self.register_buffer("shift", x.mean(axes))
        self.register_buffer("scale", torch.where(scale > 1e-6, scale, torch.ones_like(scale)))

    def get_extra_state(self) -> Tensor:
        """Whether it takes logarithms, kept with the weights."""
        return torch.tensor(self.logarithmic)

    def set_extra_state(self, state: Tensor) -> None:
        """Takes up what ``get_extra_state`` gave."""
        self.logarithmic = bool(state)

    def forward(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """The centred and scaled input, in the shape that came; the mean, zero, where it is not observed."""
        seen = ((x.log1p() if self.logarithmic else x) - self.shift).div_(self.scale)
        return seen if observed is None else seen * observed


class Scaled(nn.Module):
    """v(x) = x / spread: what is known to be small, such as points of a ball, at the size that networks learn from.

    Args:
        spread: how large the numbers are.
        shape: of what is seen.

    Example:
        >>> Scaled(0.5, (2,))(torch.tensor([0.5, -1.0]))
        tensor([ 1., -2.])
    """

    def __init__(self, spread: float, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.spread, self.shape = spread, shape

    def forward(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """In the shape that came."""
        return x / self.spread


class TableView(nn.Module):
    """What a network is shown of a row: of each category a unit vector, and numbers as in :class:`View`.

    A missing category is a vector of zeros; of each number it is told whether it is missing.

    Args:
        batch: a first batch, ``(B, D)``.
        categories: how many each column has, 0 of a number.

    Example:
        >>> view = TableView(torch.tensor([[0.0, 1.0], [2.0, 3.0]]), (3, 0))
        >>> view(torch.tensor([[2.0, 3.0]]), torch.tensor([[True, False]]))
        tensor([[0., 0., 1., 0., 1.]])
    """

    named: Tensor
    numbers: Tensor
    first: Tensor

    def __init__(self, batch: Tensor, categories: tuple[int, ...]) -> None:
        super().__init__()
        sizes = torch.tensor(categories)
        named, numbers = sizes.nonzero().flatten(), (sizes == 0).nonzero().flatten()
        self.total = int(sizes.sum())
        self.view = View(batch[:, numbers]) if len(numbers) else None
        self.shape = (self.total + 2 * len(numbers),)
        self.register_buffer("named", named, persistent=False)
        self.register_buffer("numbers", numbers, persistent=False)
        self.register_buffer("first", sizes[named].cumsum(0) - sizes[named], persistent=False)

    def forward(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """``(*, D) -> (*, C)``."""
        place = x[..., self.named].long() + self.first
        seen = torch.ones_like(x) if observed is None else observed.to(x.dtype).expand_as(x)
        vectors = x.new_zeros(*x.shape[:-1], self.total).scatter(-1, place, seen[..., self.named])
        if self.view is None:
            return vectors
        told = seen[..., self.numbers]
        return torch.cat([vectors, self.view(x[..., self.numbers]) * told, 1.0 - told], -1)


def view_of(site: Site) -> View | Scaled | TableView | None:
    """What a network that is given ``site.batch`` sees of it; None where no batch is known, or it is text."""
    if site.batch is None and site.spread != 1.0:
        return Scaled(site.spread, site.context_shape or ())
    if site.batch is None or site.symbols is not None:
        return None
    return View(site.batch) if site.categories is None else TableView(site.batch, site.categories)
