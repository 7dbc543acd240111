"""What looks alike: structural similarity of images in place of a likelihood."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import mul

import torch
from torch import Tensor
from torch.nn import functional as F

from latens.models import Draw
from latens.objectives.base import Objective
from latens.objectives.regularisers import mean_of
from latens.utils.errors import InputError
from latens.utils.validation import check_positive

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""The exponents of the scales, from fine to coarse, as people judged them."""
SIGMA = 1.5
NARROWEST = 1e-3
LEAST = 1e-4
"""The least similarity of a scale: its root has no derivative at 0."""


@dataclass(frozen=True, repr=False)
class MultiscaleSSIM(Objective):
    """1 - MS-SSIM(x, E[x | z]), from 0 to 1: how unlike two images are in contrast and structure, at several scales.

    MS-SSIM = prod_s cs_s^(w_s) with l cs in place of cs at the coarsest scale; l compares the means, and cs the
    variances and the covariance, within a Gaussian window around each pixel. Each scale halves the image.

    This is no log-likelihood: an objective in which it stands for ``Distortion`` is no bound of log p(x), and its
    weight is a choice, such as ``1000.0 * MultiscaleSSIM() + Rate()``. What scores is the likelihood still:
    ``score_samples`` is a bound under it, but only its mean is learned here, and a "shared" scale stays where it began.
    Use ``Normal("optimal")``, whose scale follows the errors, or add some ``Distortion``, if scores are to mean much.

    Args:
        scales: how many, at most 5; None for as many as fit the image.
        window: the width of the Gaussian window, odd.
        span: the range of the data, in the model's units; that of each batch if None.

    Raises:
        InputError: data that are no images, too small ones, or missing entries.

    Reference: Wang, Simoncelli and Bovik, *Multiscale structural similarity for image quality assessment*, 2003.

    Example:
        >>> from latens.objectives import Rate
        >>> 1000.0 * MultiscaleSSIM(2) + Rate()
        1000.0 * MultiscaleSSIM(2) + Rate()
    """

    scales: int | None = None
    window: int = 11
    span: float | None = None

    def __post_init__(self) -> None:
        check_positive("window", self.window, integer=True)
        if self.window % 2 == 0:
            raise InputError(f"MultiscaleSSIM expects an odd window; got {self.window}.")
        if self.scales is not None and self.scales not in range(1, len(WEIGHTS) + 1):
            raise InputError(f"MultiscaleSSIM expects 1 to {len(WEIGHTS)} scales; got {self.scales!r}.")
        if self.span is not None:
            check_positive("span", self.span)

    def __call__(self, draw: Draw) -> Tensor:
        """``(B,)``."""
        scales = self._scales(draw)
        mean = mean_of(draw.likelihood)
        x = draw.x.expand_as(mean).flatten(0, 1)
        span = (draw.x.amax() - draw.x.amin()).clamp(min=NARROWEST) if self.span is None else self.span
        similar = multiscale(x, mean.flatten(0, 1), span, scales, self.window)
        return draw.expect(1.0 - similar.view(mean.shape[:2]))

    def _scales(self, draw: Draw) -> int:
        shape = tuple(draw.x.shape[1:])
        if len(shape) != 3:
            raise InputError(f"MultiscaleSSIM expects images (C, H, W); got rows of shape {shape}. Use Distortion().")
        if draw.observed is not None:
            raise InputError("MultiscaleSSIM expects whole images; got missing entries. Use Distortion().")
        fits = [s for s in range(1, len(WEIGHTS) + 1) if min(shape[1:]) >> (s - 1) >= self.window]
        if not fits or (self.scales or 1) > len(fits):
            raise InputError(
                f"MultiscaleSSIM({self.scales or ''}) with a window of {self.window} expects images of at least "
                f"{self.window * 2 ** ((self.scales or 1) - 1)} pixels a side; got {shape[1]} x {shape[2]}. Use fewer "
                f"scales or a smaller window."
            )
        return self.scales or len(fits)


def multiscale(x: Tensor, y: Tensor, span: Tensor | float, scales: int, window: int = 11) -> Tensor:
    """MS-SSIM of images ``(n, C, H, W)``, the mean over their channels, ``(n,)``; 1 where they are the same.

    Args:
        span: L; what is far below 0.03 L counts as no contrast.
        scales: how many of the weights count, which are scaled to sum to 1.
    """
    weights = [w / sum(WEIGHTS[:scales]) for w in WEIGHTS[:scales]]
    parts = []
    with torch.autocast(x.device.type, enabled=False):
        x, y = (t.float() if t.dtype in (torch.float16, torch.bfloat16) else t for t in (x, y))
        for scale, weight in enumerate(weights):
            if scale:
                x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
            similar = _similar(x, y, span, window, luminance=scale == scales - 1)
            parts.append(similar.clamp(min=LEAST) ** weight)
        return reduce(mul, parts).mean(1)


def _similar(x: Tensor, y: Tensor, span: Tensor | float, window: int, *, luminance: bool) -> Tensor:
    """The mean of cs, or of l cs, over all windows, ``(n, C)``."""
    bright, flat = (0.01 * span) ** 2, (0.03 * span) ** 2
    parts = torch.stack([x, y, x * x, y * y, x * y])  # (5, n, C, H, W)
    mean_x, mean_y, square_x, square_y, product = _blurred(parts.flatten(0, 2), window).unflatten(0, parts.shape[:3])
    variances = (square_x - mean_x**2).clamp(min=0.0) + (square_y - mean_y**2).clamp(min=0.0)
    similar = (2.0 * (product - mean_x * mean_y) + flat) / (variances + flat)
    if luminance:
        similar = similar * (2.0 * mean_x * mean_y + bright) / (mean_x**2 + mean_y**2 + bright)
    return similar.mean((-2, -1))


def _blurred(images: Tensor, window: int) -> Tensor:
    """Means under the Gaussian window, ``(n, H, W)``, where it fits."""
    places = torch.arange(window, dtype=images.dtype, device=images.device) - window // 2
    bell = (-0.5 * (places / SIGMA) ** 2).softmax(0)
    down = F.conv2d(images.unsqueeze(1), bell.view(1, 1, -1, 1))
    return F.conv2d(down, bell.view(1, 1, 1, -1)).squeeze(1)
