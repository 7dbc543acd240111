"""AdamW with clipping and skipping folded into its one fused pass over the weights.

The gradient's norm is measured once. The kernel divides by ``max(1, norm / clip)`` as it reads, and does nothing where
the norm is not finite; only steps that were done are counted, on the device, and no step waits for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


class Adam:
    """m <- b1 m + (1 - b1) g, v <- b2 v + (1 - b2) g^2, w <- (1 - lr decay) w - lr m^ / (sqrt(v^) + eps).

    Args:
        weights: what is trained; floating point, on one device.
        betas, eps: b1, b2 and eps above.
        decay: of the weights, per unit of learning rate.
        clip: the largest norm of the whole gradient; None for no limit.

    Reference: Loshchilov and Hutter, Decoupled weight decay regularization, 2019.
    """

    def __init__(
        self,
        weights: Sequence[Tensor],
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        decay: float = 0.0,
        clip: float | None = None,
    ) -> None:
        self.weights = list(weights)
        self.betas, self.eps, self.decay, self.clip = betas, eps, decay, clip
        self.first = [torch.zeros_like(w) for w in self.weights]
        self.second = [torch.zeros_like(w) for w in self.weights]
        device = self.weights[0].device
        self.steps = torch.zeros((), device=device)
        self._finite = torch.ones((), device=device)
        self._bad = torch.zeros((), device=device)
        self._scale = torch.ones((), device=device)
        self._groups = _by_dtype(self.weights)
        fused = device.type in ("cpu", "cuda") and hasattr(torch, "_fused_adamw_")
        self._update = _fused if fused else _plain

    def step(self, gradients: list[Tensor], learning_rate: float) -> None:
        """One update; ``gradients`` may be overwritten."""
        with torch.no_grad():
            norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
            torch.lt(norm, math.inf, out=self._finite)
            torch.logical_not(self._finite, out=self._bad)
            if self.clip is not None:
                torch.div(norm, self.clip, out=self._scale).clamp_(min=1)
            self.steps.add_(self._finite)
            for group in self._groups:
                chosen = (gradients, self.weights, self.first, self.second)
                lists = chosen if len(self._groups) == 1 else tuple([each[i] for i in group] for each in chosen)
                self._update(self, learning_rate, *lists)

    @property
    def moved(self) -> bool:
        """Whether the gradient of the last step was finite; waits for the device."""
        return bool(self._finite.item())

    def skipped(self, steps: int) -> int:
        """How many of ``steps`` steps had a gradient that was not finite; waits for the device."""
        return steps - int(self.steps.item())


def _fused(
    adam: Adam, rate: float, gradients: list[Tensor], weights: list[Tensor], first: list[Tensor], second: list[Tensor]
) -> None:
    torch._fused_adamw_(
        weights,
        gradients,
        first,
        second,
        [],
        [adam.steps] * len(weights),
        lr=rate,
        beta1=adam.betas[0],
        beta2=adam.betas[1],
        weight_decay=adam.decay,
        eps=adam.eps,
        amsgrad=False,
        maximize=False,
        grad_scale=None if adam.clip is None else adam._scale,
        found_inf=adam._bad,
    )


def _plain(
    adam: Adam, rate: float, gradients: list[Tensor], weights: list[Tensor], first: list[Tensor], second: list[Tensor]
) -> None:
    """The same update where no fused kernel exists; it waits for the device once, to know whether to skip."""
    if adam._bad.item():
        return
    (b1, b2), t = adam.betas, adam.steps.item()
    torch._foreach_div_(gradients, adam._scale.item())
    torch._foreach_lerp_(first, gradients, 1 - b1)
    torch._foreach_mul_(second, b2)
    torch._foreach_addcmul_(second, gradients, gradients, 1 - b2)
    root = torch._foreach_sqrt(second)
    torch._foreach_div_(root, (1 - b2**t) ** 0.5)
    torch._foreach_add_(root, adam.eps)
    torch._foreach_mul_(weights, 1 - rate * adam.decay)
    torch._foreach_addcdiv_(weights, first, root, -rate / (1 - b1**t))


def _by_dtype(weights: list[Tensor]) -> list[list[int]]:
    groups: dict[torch.dtype, list[int]] = {}
    for i, weight in enumerate(weights):
        groups.setdefault(weight.dtype, []).append(i)
    return list(groups.values())
