"""Which density? Any of them on the same held-out rows, in nats per example."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone, is_classifier, is_regressor

from latens.density.comparison.cells import Cells
from latens.density.rows import take
from latens.utils.errors import InputError
from latens.utils.text import text


@dataclass(frozen=True)
class Line:
    """One density in a comparison, all figures over the held-out rows.

    Args:
        name: as given, or as one would write it.
        score: mean of log p in nats; -inf if any row has density zero, NaN where it failed.
        error: standard error of the score.
        difference: score less that of the best.
        difference_error: its standard error, from the differences row by row: much smaller than that of two scores.
        zero: share of the rows whose density is zero.
        elsewhere: mean of log p over the other rows.
        cell_error: standard error of the score by integrating over cells; 0 where there was no need, or no error.
        seconds: to fit and to score, in all folds together (processor time).
        failure: why it could not be fitted or scored; empty if it was.
    """

    name: str
    score: float = float("nan")
    error: float = float("nan")
    difference: float = float("nan")
    difference_error: float = float("nan")
    zero: float = float("nan")
    elsewhere: float = float("nan")
    cell_error: float = 0.0
    seconds: float = 0.0
    failure: str = ""


class Comparison:
    """What ``compare`` found; prints as a table.

    Attributes:
        lines: one ``Line`` for each density, the best first, failures last.
        best: the name of the best; None where all failed.
        estimators: the densities by name, unfitted, as given.
        scores: held-out log p by name, (n,) each, rows in the same order for all; without failures.
        note: what was measured, in words.
    """

    def __init__(self, lines: list[Line], estimators: dict[str, Any], scores: dict[str, np.ndarray], note: str) -> None:
        self.lines, self.estimators, self.scores, self.note = lines, estimators, scores, note
        self.best = None if lines[0].failure else lines[0].name

    def to_dict(self) -> dict[str, list[Any]]:
        """The columns of the table by name, ready for a data frame."""
        return {item.name: [asdict(line)[item.name] for line in self.lines] for item in fields(Line)}

    def __repr__(self) -> str:
        width = max(len(line.name) for line in self.lines)
        head = f"{'':{width}}  {'mean':>10} {'error':>8}  {'to best':>10} {'error':>8}  {'seconds':>8}"
        return "\n".join([self.note, head, *(_written(line, width, self.best) for line in self.lines)])


def compare(
    densities: Mapping[str, Any] | Iterable[Any], X: Any, y: ArrayLike | None = None, cv: Any = 5, random_state: int = 0
) -> Comparison:
    r"""$\frac{1}{n} \sum_i \log p_{-f(i)}(x_i)$: each row scored by a density fitted without the fold it lies in.

    The mean is, up to the entropy of the data, minus the Kullback-Leibler divergence from the truth, so the highest is
    the closest density. All densities meet the same folds, and differences are taken row by row.

    Densities of x are compared by log p(x) (or log p(x | y), for those that take a condition); classifiers and
    regressors, given y, by log p(y | x). Where all values of a column are whole numbers, a density cannot be set beside
    a mass: continuous ones are integrated over the cell from x - 1/2 to x + 1/2, by their cdf where the table has one
    column, and otherwise by randomised quasi-Monte Carlo with 64 points, whose standard error is told. Columns
    of which a density gives masses (its ``is_mass``; columns of counts in a product of families) are taken as they are.

    A row with density zero makes the mean -inf: its share is told, and the mean over the other rows. A density that
    cannot be fitted or scored has a line that says why, and stops no other.

    Args:
        densities: estimators with ``fit`` and ``score_samples``, scikit-learn's too: a list, or a mapping of names.
            They are cloned, not fitted.
        X: the rows, (n, ...), an array or a frame.
        y: what classifiers and regressors predict, (n,); a condition for the densities that take one.
        cv: how many folds, of shuffled rows (of each class, for classifiers), or a splitter of scikit-learn.
        random_state: shuffles the rows.

    Raises:
        InputError: no densities, too few rows, or densities of x beside predictors of y.

    Reference:
        Stone (1974), Cross-validatory choice and assessment of statistical predictions;
        Owen (1997), Monte Carlo variance of scrambled net quadrature.

    Example:
        >>> from latens.density import Histogram, Parametric
        >>> X = np.random.RandomState(0).normal(size=(200, 1))
        >>> result = compare({"normal": Parametric("normal"), "laplace": Parametric("laplace")}, X)
        >>> result.best, [round(line.difference, 2) for line in result.lines]
        ('normal', [0.0, -0.08])
    """
    estimators = _named(densities)
    rows, labels = _rows(X), None if y is None else np.asarray(y)
    _check_given(estimators)
    predicts = _predict(estimators, labels)
    counted = labels if any(is_regressor(item) for item in estimators.values()) else None
    cells = Cells.of_target(counted) if predicts else Cells.of_rows(rows)
    splits = _splits(estimators, rows, labels, cv, random_state)
    judged = {name: _judge(name, estimator, rows, labels, splits, cells) for name, estimator in estimators.items()}
    scores = {name: found for name, (line, found) in judged.items() if not line.failure}
    lines = _ranked([line for line, _ in judged.values()], scores)
    what = "log p(y | x)" if predicts else "log p(x)"
    note = f"Held-out {what}, nats per example; {sum(len(test) for _, test in splits)} rows, {len(splits)} folds"
    return Comparison(lines, estimators, scores, note + cells.note)


def _named(densities: Mapping[str, Any] | Iterable[Any]) -> dict[str, Any]:
    if not isinstance(densities, Iterable):
        raise InputError(f"compare expects a list of densities, or a mapping of names; got {text(densities)}.")
    if isinstance(densities, Mapping):
        named = {str(name): density for name, density in densities.items()}
    else:
        named = {}
        for density in densities:
            name, same = text(density), 2
            while name in named:
                name, same = f"{text(density)} ({same})", same + 1
            named[name] = density
    wrong = [name for name, item in named.items() if not (hasattr(item, "fit") and hasattr(item, "score_samples"))]
    if wrong or not named:
        came = f"{wrong[0]} has not" if wrong else "there are none"
        raise InputError(f"compare expects densities, with fit and score_samples; {came}.")
    return named


def _rows(X: Any) -> Any:
    rows = X if hasattr(X, "iloc") else np.asarray(X)
    if len(np.shape(rows)) < 2:
        raise InputError(f"compare expects rows (n, ...) of two or more axes; got shape {np.shape(rows)}.")
    return rows


def _predict(estimators: dict[str, Any], labels: np.ndarray | None) -> bool:
    """Whether what is compared is log p(y | x)."""
    predictors = [name for name, item in estimators.items() if is_classifier(item) or is_regressor(item)]
    if labels is None or not predictors:
        return False
    others = [name for name in estimators if name not in predictors]
    if others:
        raise InputError(
            f"With y, {predictors[0]} gives log p(y | x) and {others[0]} log p(x): these cannot be compared. "
            "Leave y out, or compare each kind by itself."
        )
    return True


def _check_given(estimators: dict[str, Any]) -> None:
    """Refuses p(x | the total of x) beside p(x)."""
    given = {name: getattr(getattr(item, "likelihood", None), "given", "") for name, item in estimators.items()}
    told = next((name for name, what in given.items() if what), None)
    others = [name for name, what in given.items() if not what]
    if told and others:
        raise InputError(
            f"{told} gives log p(x | its {given[told]}) and {others[0]} log p(x): these cannot be compared. "
            "Compare each kind by itself."
        )


def _splits(estimators: dict[str, Any], rows: Any, labels: np.ndarray | None, cv: Any, seed: int) -> list[tuple]:
    from sklearn.model_selection import KFold, StratifiedKFold, check_cv

    if isinstance(cv, int | np.integer):
        by_class = labels is not None and any(is_classifier(item) for item in estimators.values())
        kind = StratifiedKFold if by_class else KFold
        cv = kind(int(cv), shuffle=True, random_state=seed) if cv > 1 else cv
    try:
        return list(check_cv(cv).split(rows, labels))
    except ValueError as error:
        raise InputError(f"cv: {' '.join(str(error).split())}") from None


def _judge(
    name: str, estimator: Any, rows: Any, labels: np.ndarray | None, splits: list[tuple], cells: Cells
) -> tuple[Line, np.ndarray]:
    start, found, errors = time.process_time(), [], []
    try:
        for train, test in splits:
            y = () if labels is None else (labels[train],)
            fitted = clone(estimator).fit(take(rows, train), *y)
            scores, error = cells.score(fitted, take(rows, test), None if labels is None else labels[test])
            found.append(scores)
            errors.append(error * len(test))
        scores = np.concatenate(found)
        odd = int((np.isnan(scores) | (scores == np.inf)).sum())
        if odd:
            raise InputError(f"{odd} of {len(scores)} held-out rows have no finite density.")
    except Exception as error:
        kind = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
        failure = kind + " ".join(str(error).split())
        return Line(name, seconds=time.process_time() - start, failure=failure), np.empty(0)
    line = Line(
        name,
        *_mean(scores),
        zero=float((scores == -np.inf).mean()),
        elsewhere=float(scores[scores > -np.inf].mean()) if (scores > -np.inf).any() else float("-inf"),
        cell_error=float(np.linalg.norm(errors) / len(scores)),
        seconds=time.process_time() - start,
    )
    return line, scores


def _mean(scores: np.ndarray) -> tuple[float, float]:
    """The mean and its standard error."""
    if not np.isfinite(scores).all():
        return float("-inf"), float("nan")
    error = scores.std(ddof=1) / np.sqrt(len(scores)) if len(scores) > 1 else float("nan")
    return float(scores.mean()), float(error)


def _ranked(lines: list[Line], scores: dict[str, np.ndarray]) -> list[Line]:
    """The best first: by score, where that is -inf by the share of rows with density zero; failures last."""
    order = sorted(lines, key=lambda line: (bool(line.failure), -np.nan_to_num(line.score), line.zero, -line.elsewhere))
    best = scores.get(order[0].name)
    return [line if line.failure or best is None else _beside(line, scores[line.name], best) for line in order]


def _beside(line: Line, scores: np.ndarray, best: np.ndarray) -> Line:
    if scores is best:
        difference, error = 0.0, 0.0
    elif np.isfinite(best).all():
        difference, error = _mean(scores - best)
    else:
        difference, error = float("nan"), float("nan")
    return replace(line, difference=difference, difference_error=error)


def _written(line: Line, width: int, best: str | None) -> str:
    name = f"{line.name:{width}}  "
    if line.failure:
        return f"{name}failed: {line.failure}"
    figures = f"{line.score:10.4f} {line.error:8.4f}  {line.difference:+10.4f} {line.difference_error:8.4f}  "
    if line.name == best:
        figures = f"{line.score:10.4f} {line.error:8.4f}  {'best':>10} {'':8}  "
    if line.zero:
        figures = f"{'-inf':>10} {'':8}  {'-inf':>10} {'':8}  "
    tail = f"{line.seconds:8.2f}"
    if line.zero:
        tail += f"  {100 * line.zero:.2g} % of the rows have density zero; {line.elsewhere:.4f} on the others"
    if line.cell_error:
        tail += f"  integrated over cells, error {line.cell_error:.1g}"
    return name + figures.replace("nan", "   ") + tail
