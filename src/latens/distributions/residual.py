"""Bijections that add something narrow to their argument, y = x + g(x), whose determinant is that of a small matrix.

Forward, the direction a posterior draws in, is cheap and in closed form. Back, the planar and the Sylvester one solve
t + r tanh(s t + e) = c, one number after the other: increasing in t, so by bisection and Newton's method.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from latens.distributions.bijections import Bijection

FLATTEST = 1e-3
"""The least slope along a direction in which space is compressed."""
_TINY = 1e-3
_BISECTIONS, _NEWTONS = 26, 3


class Planar(Bijection):
    r"""y = x + u' tanh(w . x + b): space pushed along u', across the plane w . x + b = 0.

    It is one to one where w . u' > -1, which holds for u' = u + (m(w . u) - w . u) w / |w|^2, m(0) = 0; u = 0 is the
    identity. log |det| = log(1 + w . u' (1 - tanh^2)).

    Args:
        u, w: ``(*, D)``.
        b: ``(*)``.

    Reference: Rezende and Mohamed, *Variational inference with normalizing flows*, 2015.

    Example:
        >>> f = Planar(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), torch.tensor(0.0))
        >>> f.forward(torch.tensor([0.0, 2.0]))[0]
        tensor([0.9640, 2.0000])
    """

    def __init__(self, u: Tensor, w: Tensor, b: Tensor) -> None:
        self.w, self.b = w, b
        along = (self.w * u).sum(-1)
        square = self.w.square().sum(-1) + _TINY**2
        moved = _above_minus_one(along) - along
        self.u = u + (moved / square).unsqueeze(-1) * self.w
        self.steepness = along + moved * (1 - _TINY**2 / square)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The push, and the logarithm of the slope along it."""
        return self._pushed(x, (self.w * x).sum(-1), 1)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """By solving for w . x."""
        t = solve((self.w * y).sum(-1), self.steepness, torch.ones_like(self.b), self.b)
        return self._pushed(y, t, -1)

    def _pushed(self, x: Tensor, t: Tensor, sign: int) -> tuple[Tensor, Tensor]:
        height = torch.tanh(t + self.b)
        log_slope = torch.log1p(self.steepness * (1 - height.square()))
        return x + sign * height.unsqueeze(-1) * self.u, sign * log_slope


class Radial(Bijection):
    r"""y = x + beta (x - c) / (alpha + r), r = |x - c|: space drawn towards a centre c, or pushed away from it.

    It is one to one where beta > -alpha, and beta = 0 is the identity.
    log |det| = (D - 1) log(1 + beta / (alpha + r)) + log(1 + alpha beta / (alpha + r)^2).

    Args:
        centre: ``(*, D)``.
        log_alpha: ``(*)``.
        strength: ``(*)``, any number: beta / alpha lies above -1 and has its sign.

    Reference: Rezende and Mohamed, *Variational inference with normalizing flows*, 2015.

    Example:
        >>> f = Radial(torch.zeros(2), torch.tensor(0.0), torch.tensor(0.0))
        >>> f.forward(torch.tensor([1.0, 2.0]))[0]
        tensor([1., 2.])
    """

    def __init__(self, centre: Tensor, log_alpha: Tensor, strength: Tensor) -> None:
        self.centre, self.alpha = centre, log_alpha.exp()
        self.beta = self.alpha * _above_minus_one(strength)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Outwards where beta > 0."""
        apart = x - self.centre
        r = torch.linalg.vector_norm(apart, dim=-1)
        stretch = self.beta / (self.alpha + r)
        return x + stretch.unsqueeze(-1) * apart, self._log_det(r, stretch, x.shape[-1])

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """The positive root of r^2 + (alpha + beta - R) r - alpha R = 0, R = |y - c|."""
        apart = y - self.centre
        far = torch.linalg.vector_norm(apart, dim=-1)
        half = 0.5 * (self.alpha + self.beta - far)
        root = (half.square() + self.alpha * far).sqrt()
        # of the two forms of the root, the one that subtracts nothing
        r = torch.where(half > 0, self.alpha * far / (root + half.abs()), root - half)
        stretch = self.beta / (self.alpha + r)
        x = self.centre + apart / (1 + stretch).unsqueeze(-1)
        return x, -self._log_det(r, stretch, y.shape[-1])

    def _log_det(self, r: Tensor, stretch: Tensor, size: int) -> Tensor:
        along = torch.log1p(stretch * (self.alpha / (self.alpha + r)))
        return (size - 1) * torch.log1p(stretch) + along


class Sylvester(Bijection):
    r"""y = x + Q R tanh(S Q^T x + b): M planar pushes at once, in an orthonormal frame Q of M columns.

    R and S are upper triangular with r_i s_i > -1, so that log |det| = sum_i log(1 + r_i s_i (1 - tanh^2)); r = 0 and
    R = 0 is the identity. Q is the first M columns of a product of reflections.

    Args:
        reflections: ``(*, H, D)``, a normal vector each.
        triangles: ``(*, M, M)``, R above the diagonal and S^T below it.
        diagonals: ``(*, 2, M)``, of R and S, any numbers: their tanh is taken.
        b: ``(*, M)``.

    Reference: van den Berg et al., *Sylvester normalizing flows for variational inference*, 2018.
    """

    def __init__(self, reflections: Tensor, triangles: Tensor, diagonals: Tensor, b: Tensor) -> None:
        self.normals = torch.nn.functional.normalize(reflections, dim=-1, eps=1e-30).unbind(-2)
        self.r, self.s = (math.sqrt(1 - FLATTEST) * torch.tanh(diagonals)).unbind(-2)
        self.outer = triangles.triu(1) + torch.diag_embed(self.r)
        self.inner = triangles.tril(-1).mT + torch.diag_embed(self.s)
        self.b, self.rank = b, b.shape[-1]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """All pushes at once."""
        turned = self._reflected(x, self.normals)
        height = torch.tanh(_times(self.inner, turned[..., : self.rank]) + self.b)
        return self._pushed(turned, height, 1)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """The last coordinate of the frame first, then those before it, each by solving for one number."""
        turned = self._reflected(y, self.normals)
        found: list[Tensor] = []  # the coordinates after the i-th, and the tanh of their rows
        heights: list[Tensor] = []
        for i in reversed(range(self.rank)):
            c, e = turned[..., i], self.b[..., i]
            for j, (t, height) in enumerate(zip(found, heights), i + 1):
                c, e = c - self.outer[..., i, j] * height, e + self.inner[..., i, j] * t
            found.insert(0, solve(c, self.r[..., i], self.s[..., i], e))
            heights.insert(0, torch.tanh(self.s[..., i] * found[0] + e))
        return self._pushed(turned, torch.stack(heights, -1), -1)

    def _pushed(self, turned: Tensor, height: Tensor, sign: int) -> tuple[Tensor, Tensor]:
        pushed = turned[..., : self.rank] + sign * _times(self.outer, height)
        x = torch.cat([pushed, turned[..., self.rank :]], -1)
        log_det = torch.log1p(self.r * self.s * (1 - height.square())).sum(-1)
        return self._reflected(x, self.normals[::-1]), sign * log_det

    def _reflected(self, x: Tensor, normals: tuple[Tensor, ...]) -> Tensor:
        for n in normals:
            x = x - 2 * (n * x).sum(-1, keepdim=True) * n
        return x


def _above_minus_one(a: Tensor) -> Tensor:
    """m(a) > -1, increasing, with m(0) = 0."""
    return (1 - FLATTEST) * (torch.nn.functional.softplus(a + math.log(math.e - 1)) - 1)


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def solve(c: Tensor, r: Tensor, s: Tensor, e: Tensor) -> Tensor:
    """t where t + r tanh(s t + e) = c, for r s > -1, with the gradient of the implicit function.

    Example:
        >>> one = torch.ones(())
        >>> round(solve(one + one.tanh(), one, one, 0 * one).item(), 5)
        1.0
    """
    with torch.no_grad():
        low, high = c - r.abs(), c + r.abs()
        for _ in range(_BISECTIONS):
            t = 0.5 * (low + high)
            above = t + r * torch.tanh(s * t + e) > c
            low, high = torch.where(above, low, t), torch.where(above, t, high)
        t = 0.5 * (low + high)
        for _ in range(_NEWTONS - 1):
            t = t - _newton(t, c, r, s, e)
    return t - _newton(t, c, r, s, e)


def _newton(t: Tensor, c: Tensor, r: Tensor, s: Tensor, e: Tensor) -> Tensor:
    height = torch.tanh(s * t + e)
    return (t + r * height - c) / (1 + r * s * (1 - height.square())).detach()
