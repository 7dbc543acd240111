"""Which family? The candidates that can have made the rows, judged on rows they have not seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from latens.density.families import named, of_rows
from latens.density.families.base import Array, Estimate, Family
from latens.density.families.product import Product
from latens.utils.errors import InputError

REAL = ("normal", "student-t", "laplace", "logistic", "gumbel")
JOINT = ("multivariate-normal", "multivariate-t")
POSITIVE = ("exponential", "gamma", "lognormal", "weibull")
COUNTS = ("poisson", "negative-binomial", "geometric", "binomial", "zero-inflated-poisson")


def candidates(X: Array) -> list[str]:
    """The families for the type of the values.

    Whole numbers from 0 in an integer dtype are counts; everything else is real, with further families where all are
    positive, or between 0 and 1. Uniform and Pareto are left out, since their ends are rows, so that held-out rows fall
    outside.

    Example:
        >>> candidates(np.array([[0.2], [1.5]]))[5:]
        ['exponential', 'gamma', 'lognormal', 'weibull']
    """
    if X.dtype.kind in "iub" and X.min() >= 0:
        return list(COUNTS)
    positive = POSITIVE if (X > 0).all() else ()
    unit = ("beta",) if (X > 0).all() and (X < 1).all() else ()
    return [*REAL, *positive, *unit]


def choose(X: Array, w: Array, upper: Array | None, folds: int) -> tuple[Any, dict[str, Any]]:
    """The family of highest held-out likelihood (of lowest BIC where rows are too few to hold any out), and the table.

    Less than one nat for all rows together is no difference: there the fewest parameters win, so that normal rows are
    not a Student t of many degrees of freedom.

    Of several columns the candidates are the joint families, and independent columns each of the family that is best
    for it; rows on a simplex are Dirichlet's.

    Args:
        X: rows (n, d), of their own dtype.
        w: weights (n,), which sum to Kish's effective number of rows.
        upper: as in ``Parametric.fit``.
        folds: into how many parts the rows are divided.

    Raises:
        InputError: no candidate can be fitted.
    """
    fold = _folds(X, folds)
    families = [named(name, 1) for name in candidates(X)] if X.shape[1] == 1 else _of_columns(X, w, upper, folds)
    rows = [_judge(family, X, w, upper, fold) for family in families]
    if all(row["note"] and np.isnan(row["bic"]) for row in rows):
        raise InputError(rows[0]["note"])
    order = sorted(range(len(rows)), key=lambda i: (-_held_out(rows[i]), _bic(rows[i])))
    near = [i for i in order if _held_out(rows[i]) * w.sum() > _held_out(rows[order[0]]) * w.sum() - 1] or order[:1]
    order.insert(0, order.pop(order.index(min(near, key=lambda i: rows[i]["n_parameters"]))))
    rows, best = [rows[i] for i in order], rows[order[0]]["scores"]
    for row in rows:
        behind = best - row.pop("scores")
        row["behind"], row["behind_error"] = _mean_and_error(behind, w)
    return families[order[0]], {key: _column([row[key] for row in rows]) for key in rows[0]}


def _of_columns(X: Array, w: Array, upper: Array | None, folds: int) -> list[Any]:
    if X.dtype.kind == "f" and (X > 0).all() and (np.abs(X.sum(axis=1) - 1) < 1e-6).all():
        return [named("dirichlet", X.shape[1])]
    each = []
    for j in range(X.shape[1]):
        try:
            each.append(choose(X[:, [j]], w, None if upper is None else upper[:, [j]], folds)[0])
        except InputError as error:
            raise InputError(f"column {j}: {error}") from None
    independent = each[0] if len(set(each)) == 1 else tuple(each)
    joint = JOINT if upper is None and not any(family.discrete for family in each) else ()
    return [independent, *(named(name, X.shape[1]) for name in joint)]


def _held_out(row: Mapping[str, Any]) -> float:
    return -np.inf if np.isnan(row["held_out"]) else row["held_out"]


def _bic(row: Mapping[str, Any]) -> float:
    return np.inf if np.isnan(row["bic"]) else row["bic"]


def _column(values: list) -> Any:
    return values if isinstance(values[0], str) else np.array(values)


def _folds(X: Array, folds: int) -> Array:
    """A part for each row that depends on its content, not on the order of the rows."""
    n = len(X)
    fold = np.empty(n, dtype=np.int64)
    fold[np.lexsort(X.T)] = np.random.RandomState(0).permutation(np.arange(n) % min(folds, n))
    return fold


def _judge(family: Any, X: Array, w: Array, upper: Array | None, fold: Array) -> dict[str, Any]:
    model, n, nothing = of_rows(family, X.shape[1]), w.sum(), float("nan")
    keys = ("n_parameters", "log_likelihood", "aic", "bic", "held_out", "held_out_error")
    row: dict[str, Any] = {"family": model.name, **dict.fromkeys(keys, nothing)}
    row |= {"scores": np.full(len(X), np.nan), "note": ""}
    try:
        estimate = model.estimate(model.digest(X, w, upper), {})
        row.update(figures(estimate, n))
        row["scores"] = held_out(model, X, w, upper, fold)
        row["held_out"], row["held_out_error"] = _mean_and_error(row["scores"], w)
    except InputError as error:
        row["note"] = str(error)
    return row


def figures(estimate: Estimate, n: float) -> dict[str, float]:
    """Log likelihood of n rows in nats, and the criteria of Akaike and Schwarz: lower is better."""
    total, k = n * estimate.log_likelihood, estimate.n_free
    return {
        "n_parameters": k,
        "log_likelihood": total,
        "aic": 2 * k - 2 * total,
        "bic": k * float(np.log(n)) - 2 * total,
    }


def held_out(model: Family, X: Array, w: Array, upper: Array | None, fold: Array) -> Array:
    """log p of each row under the parameters learnt from the other folds: (n,)."""
    scores = np.empty(len(X))
    for k in range(fold.max() + 1):
        out = fold == k
        if out.all():
            raise InputError("1 sample cannot be held out.")
        bounds = None if upper is None else upper[~out]
        params = model.estimate(model.digest(X[~out], w[~out], bounds), {}).params
        if upper is None or not isinstance(model, Product):
            scores[out] = model.log_prob(X[out], params)
        else:
            scores[out] = model.log_prob_between(X[out], upper[out], params)
    return scores


def _mean_and_error(scores: Array, w: Array) -> tuple[float, float]:
    if not np.isfinite(scores).all():
        return (float("nan") if np.isnan(scores).any() else -np.inf), float("nan")
    mean = w @ scores / w.sum()
    return float(mean), float(np.sqrt(w**2 @ (scores - mean) ** 2) / w.sum())
