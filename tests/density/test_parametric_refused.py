"""What maximum likelihood cannot be asked, said in one line."""

import numpy as np
import pytest

from latens.density import Parametric
from latens.utils.errors import InputError

RNG, N = np.random.RandomState(0), 400
COLUMNS = {
    "normal": RNG.normal(3, 2, N),
    "gamma": RNG.gamma(2.5, 1.5, N),
    "poisson": RNG.poisson(4, N),
    "binomial": RNG.binomial(12, 0.3, N),
}


def column(name):
    return COLUMNS[name][:, None]


def fitted(name, **changes):
    return Parametric(name, **changes).fit(column(name))


def plane():
    rng = np.random.RandomState(11)
    return rng.normal(size=(500, 3)) @ np.array([[1.0, 0.5, 0.0], [0.0, 1.0, -0.7], [0.0, 0.0, 0.4]]) + [1.0, 2.0, 3.0]


REFUSED = {
    "reals for counts": ("poisson", [[1.5], [2.0]], "counts 0, 1, 2"),
    "negative counts": ("geometric", [[-1], [2]], "counts"),
    "zero for a gamma": ("gamma", [[0.0], [2.0]], "positive"),
    "one for a beta": ("beta", [[0.5], [1.0]], "between 0 and 1"),
    "negative for an exponential": ("exponential", [[-0.5], [1.0]], "non-negative"),
    "constant normal": ("normal", [[2.0], [2.0]], "no maximum"),
    "constant normal whose mean is rounded": ("normal", [[1.0]] * 20, "no maximum"),
    "constant gamma": ("gamma", [[2.0], [2.0]], "no maximum"),
    "constant beta": ("beta", [[0.2], [0.2]], "no maximum"),
    "constant weibull": ("weibull", [[2.0], [2.0]], "two different values"),
    "constant uniform": ("uniform", [[2.0], [2.0]], "no maximum"),
    "constant pareto": ("pareto", [[2.0], [2.0]], "no maximum"),
    "constant laplace": ("laplace", [[2.0], [2.0]], "no maximum"),
    "one row": ("normal", [[2.0]], "1 sample"),
    "equal rows under a t": ("student-t", [[0.0]] * 30 + [[1.0], [2.0], [-3.0]], "no maximum"),
    "spread counts for a binomial": ("binomial", [[0], [9], [0], [1]], "poisson"),
    "no simplex": ("dirichlet", [[0.5, 0.6], [0.5, 0.5]], "sum to 1"),
    "constant column": ("normal", [[1.0, 2.0], [1.0, 3.0], [1.0, 5.0]], "column 0 is constant"),
    "columns that depend": ("normal", [[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]], "singular"),
    "an unknown name": ("gaussian-ish", [[1.0], [2.0]], "family is one of"),
    "a misspelt name": ("nromal", [[1.0], [2.0]], "did you mean 'normal'"),
    "one column of several": ("gamma", [[1.0, 1.0], [2.0, -1.0]], "column 1"),
    "squares that overflow": ("normal", [[1e200], [2e200]], "Rescale"),
    "squares that vanish": ("normal", [[1e-160, 2.0], [2e-160, 3.0], [4e-160, 7.0]], "spread is below 1e-145"),
    "missing": ("normal", [[1.0], [np.nan]], "NaN"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_is_said_in_one_line(what):
    family, rows, match = REFUSED[what]
    with pytest.raises(InputError, match=match) as caught:
        Parametric(family).fit(rows)
    assert "\n" not in str(caught.value)


WRONG = {
    "an unknown parameter": (lambda: Parametric("normal", fixed={"mu": 1.0}).fit([[1.0], [2.0]]), "loc, scale"),
    "a negative scale": (lambda: Parametric("normal", fixed={"scale": -1.0}).fit([[1.0], [2.0]]), "between 0"),
    "text": (lambda: Parametric("normal", fixed={"scale": "a"}).fit([[1.0], [2.0]]), "a number"),
    "fixed under auto": (lambda: Parametric(fixed={"loc": 1.0}).fit([[1.0], [2.0]]), "by name"),
    "upper below": (lambda: Parametric("normal").fit([[1.0], [2.0]], upper=[0.0, 3.0]), "nothing below X"),
    "all going on": (lambda: Parametric("weibull").fit([[1.0], [2.0]], upper=[np.inf, np.inf]), "no maximum"),
    "one cell": (lambda: Parametric("normal").fit([[1.0], [1.5]], upper=[2.0, 2.0]), "no maximum"),
    "nothing known": (lambda: Parametric("normal").fit([[-np.inf]] * 3, upper=[np.inf] * 3), "no maximum"),
    "joint and censored": (lambda: Parametric("normal").fit(plane(), upper=plane()), "censored"),
    "uniform and censored": (lambda: Parametric("uniform").fit([[1.0], [2.0]], upper=[np.inf, 2.0]), "censored"),
    "cdf of two columns": (lambda: Parametric("normal").fit(plane()).cdf([0.0]), "one column"),
    "errors of a condition": (
        lambda: Parametric("normal").fit(plane()).condition({0: 1.0}).confidence_interval(),
        "joint one",
    ),
    "level": (lambda: fitted("normal").confidence_interval(95), "level"),
    "too few trials": (lambda: fitted("binomial", fixed={"n": 2}), "largest count"),
    "no mean": (lambda: Parametric("student-t", fixed={"df": 1.0}).fit(plane()).complete([[np.nan] * 3]), "no mean"),
    "condition of a simplex": (
        lambda: Parametric("dirichlet").fit([[0.2, 0.8], [0.6, 0.4]]).condition({0: 0.3}),
        "closed form",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_asked_wrongly_is_said_in_one_line(what):
    ask, match = WRONG[what]
    with pytest.raises(InputError, match=match) as caught:
        ask()
    assert "\n" not in str(caught.value)
