"""Goodness of fit, with p-values that know that the parameters were learnt from the same rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from latens.density.families.base import Array, Univariate
from latens.utils.errors import InputError

Statistic = Callable[[Array, Any], float]


class Verdict(NamedTuple):
    """A statistic, and how often rows drawn from the fitted density have one as large."""

    statistic: float
    p_value: float


def kolmogorov_smirnov(x: Array, law: Any) -> float:
    r"""$\max_x |F_n(x) - F(x)|$ for sorted x."""
    n, below = len(x), law.cdf(x)
    return float(max((np.arange(1, n + 1) / n - below).max(), (below - np.arange(n) / n).max()))


def anderson_darling(x: Array, law: Any) -> float:
    r"""$-n - \frac{1}{n} \sum_i (2i - 1) (\log F(x_i) + \log(1 - F(x_{n + 1 - i})))$ for sorted x."""
    n = len(x)
    return float(-n - (2 * np.arange(1, n + 1) - 1) @ (law.logcdf(x) + law.logsf(x[::-1])) / n)


def chi_square(x: Array, law: Any) -> float:
    r"""$\sum_c (O_c - E_c)^2 / E_c$ over cells of neighbouring counts, each with 5 or more expected."""
    n = len(x)
    ends = np.unique(law.ppf(np.arange(5, n, 5) / n))
    cuts, reached = [], [0.0]
    for end, total in zip(ends, n * law.cdf(ends)):
        if total - reached[-1] >= 5 and n - total >= 5:
            cuts.append(end)
            reached.append(total)
    if not cuts:
        raise InputError(f"chi-square expects rows for two cells of 5 expected counts; {n} rows make one.")
    expected = np.diff([*reached, n])
    observed = np.bincount(np.searchsorted(cuts, x), minlength=len(expected))
    return float(((observed - expected) ** 2 / expected).sum())


def verdicts(
    family: Univariate,
    x: Array,
    theta: Array,
    refit: Callable[[Array], Array] | None,
    n_resamples: int,
    rng: np.random.RandomState,
) -> Mapping[str, Verdict]:
    """The tests of a family, their p-values by parametric bootstrap.

    Args:
        family: of one number.
        x: the rows (n,).
        theta: the fitted parameters.
        refit: learns the parameters anew from drawn rows; None where x were not used to learn theta.
        n_resamples: how often rows are drawn.
        rng: for the draws.
    """
    statistics: dict[str, Statistic] = {"chi-square": chi_square}
    if not family.discrete:
        statistics = {"kolmogorov-smirnov": kolmogorov_smirnov, "anderson-darling": anderson_darling}
    law = family.scipy(theta)
    seen = {name: statistic(np.sort(x), law) for name, statistic in statistics.items()}
    exceeded, drawn = dict.fromkeys(statistics, 1), 1
    for _ in range(n_resamples):
        y = np.sort(law.rvs(size=len(x), random_state=rng)).astype(np.float64)
        try:
            again = law if refit is None else family.scipy(refit(y))
            found = {name: statistic(y, again) for name, statistic in statistics.items()}
        except InputError:
            continue
        drawn += 1
        for name, value in found.items():
            exceeded[name] += value >= seen[name]
    return {name: Verdict(seen[name], exceeded[name] / drawn) for name in statistics}
