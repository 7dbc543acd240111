"""The decoder of a topic model."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from torch import nn

from latens.nn.base import Site, Spec


@dataclass(frozen=True, repr=False)
class Topics(Spec):
    """y = norm(W softmax(z)): each latent is a topic, of which an event has a share; log p of a word is their mean.

    Words are then a product of experts, p(w) proportional to prod_k p_k(w)^share_k, and what one topic rules out no
    other brings back. ``norm`` is batch normalisation without weights: it keeps all topics at work from the start.

    Reference: Srivastava and Sutton, *Autoencoding variational inference for topic models*, 2017.

    Example:
        >>> import torch
        >>> network = Topics().build(Site(event_shape=(2000,), context_shape=(20,)))
        >>> network(torch.zeros(5, 20)).shape
        torch.Size([5, 2000])
    """

    def build(self, site: Site) -> nn.Module:
        """From ``context_shape``, a latent a topic, to ``event_shape``."""
        topics, words = prod(site.context_shape or ()), prod(site.event_shape)
        mixed: list[nn.Module] = [nn.Flatten(), nn.Softmax(-1), nn.Linear(topics, words, bias=False)]
        shaped = [] if len(site.event_shape) == 1 else [nn.Unflatten(1, site.event_shape)]
        return nn.Sequential(*mixed, nn.BatchNorm1d(words, affine=False), *shaped)
