"""Adult census income, 32,561 x 15: how well rows drawn from a model stand in for real ones, beside TVAE.

Of each model, trained on 22,561 rows: the F1 of gradient boosting that is trained on as many drawn rows and tested on
10,000 real ones; how well gradient boosting tells drawn rows from real ones (area under the curve, 0.5 is best); column
shapes and pair trends of SDMetrics; the log-likelihood of real rows.

The peer and SDMetrics carry a business-source licence. They live in an environment of their own, for comparison only:

    ../peers/bin/pip install ctgan sdmetrics
    PYTHONPATH=src ../peers/bin/python benchmarks/adult.py
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from common import begin, cpu_seconds, note, parser, table
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import f1_score, roc_auc_score

from latens import VAE
from latens.objectives import Distortion, Rate

Drawn = tuple[pd.DataFrame, float | None]
TARGET = "income"


def read(path: Path) -> pd.DataFrame:
    """Rows of a file; what is not known of a person is a category like any other."""
    return pd.read_csv(path, skipinitialspace=True).replace("?", "unknown")


def ours(train: pd.DataFrame, test: pd.DataFrame, **settings: object) -> Drawn:
    """The defaults of a table; log p(x) of a thousand rows by 256 importance samples."""
    vae = VAE(random_state=0, **settings).fit(train)
    return vae.sample(len(train)), float(vae.score_samples(test[:1000], k=256).mean())


def half(train: pd.DataFrame, test: pd.DataFrame) -> Drawn:
    """Half the weight on the rate, as TVAE has it."""
    return ours(train, test, objective=Distortion() + 0.5 * Rate())


def tvae(train: pd.DataFrame, test: pd.DataFrame) -> Drawn:
    """TVAE with its defaults, 300 epochs."""
    from ctgan import TVAE

    model = TVAE(enable_gpu=False)
    model.fit(train, [name for name in train if not pd.api.types.is_numeric_dtype(train[name])])
    return model.sample(len(train)), None


def drawn(path: Path) -> Callable[[pd.DataFrame, pd.DataFrame], Drawn]:
    """Rows that were drawn and written before."""
    return lambda train, test: (read(path), None)


CONTENDERS: dict[str, Callable[[pd.DataFrame, pd.DataFrame], Drawn]] = {
    "real rows": lambda train, test: (train, None),
    "latens VAE()": ours,
    "latens VAE(objective=Distortion() + 0.5 * Rate())": half,
    "TVAE()": tvae,
}


def coded(frame: pd.DataFrame, like: pd.DataFrame) -> tuple[pd.DataFrame, list[bool]]:
    """Categories as their places in ``like``, and which columns hold them."""
    named = [not pd.api.types.is_numeric_dtype(like[name]) for name in like]
    columns = {}
    for name, is_named in zip(like, named):
        levels = sorted(map(str, like[name].dropna().unique())) if is_named else []
        columns[name] = pd.Categorical(frame[name], categories=levels).codes if is_named else frame[name]
    return pd.DataFrame(columns).astype(float), named


def f1(rows: pd.DataFrame, train: pd.DataFrame, test: pd.DataFrame) -> float:
    """Of the rich, told by gradient boosting that has seen ``rows`` alone."""
    (X, named), (Z, _) = coded(rows, train), coded(test, train)
    y, truth = X.pop(TARGET), Z.pop(TARGET)
    model = HistGradientBoostingClassifier(random_state=0, categorical_features=named[:-1])
    return float(f1_score(truth, model.fit(X, y).predict(Z)))


def told_apart(rows: pd.DataFrame, train: pd.DataFrame, test: pd.DataFrame) -> float:
    """The area under the curve of gradient boosting that tells ``rows`` from the test set, half of each held out."""
    n = min(len(rows), len(test))
    X = pd.concat([coded(part[:n], train)[0] for part in (rows, test)])
    y = np.repeat([0, 1], n)
    order = np.random.default_rng(0).permutation(2 * n)
    model = HistGradientBoostingClassifier(random_state=0, categorical_features=coded(test[:1], train)[1])
    model.fit(X.iloc[order[:n]], y[order[:n]])
    return float(roc_auc_score(y[order[n:]], model.predict_proba(X.iloc[order[n:]])[:, 1]))


def quality(rows: pd.DataFrame, test: pd.DataFrame) -> list[str]:
    """Column shapes and pair trends of SDMetrics, where it is installed."""
    try:
        from sdmetrics.reports.single_table import QualityReport
    except ImportError:
        return ["-", "-"]
    kinds = {
        name: {"sdtype": "numerical" if pd.api.types.is_numeric_dtype(test[name]) else "categorical"} for name in test
    }
    report = QualityReport()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report.generate(test, rows, {"columns": kinds}, verbose=False)
    scores = report.get_properties().set_index("Property")["Score"]
    return [f"{scores['Column Shapes']:.3f}", f"{scores['Column Pair Trends']:.3f}"]


def main() -> None:
    """All contenders."""
    options = parser(__doc__ or "")
    options.add_argument("--only", nargs="*", default=list(CONTENDERS), help="names of contenders")
    options.add_argument("--drawn", type=Path, nargs="*", default=[], help="files of rows drawn before, to judge too")
    given = begin(options)
    X = read(given.data / "tabular" / "adult" / "adult.csv.xz")
    order = np.random.default_rng(0).permutation(len(X))
    train, test = (X.iloc[np.sort(part)].reset_index(drop=True) for part in (order[10_000:], order[:10_000]))
    contenders = {name: CONTENDERS[name] for name in given.only} | {path.stem: drawn(path) for path in given.drawn}
    rows = []
    for name, contender in contenders.items():
        start = cpu_seconds()
        try:
            made, score = contender(train, test)
        except ImportError as error:
            note(f"{name}: {error}")
            continue
        seconds = cpu_seconds() - start
        figures = [f"{f1(made, train, test):.3f}", f"{told_apart(made, train, test):.3f}", *quality(made, test)]
        rows.append([name, *figures, "-" if score is None else f"{score:.2f}", f"{seconds:.0f}"])
        note(str(rows[-1]))
    columns = ["rows of", "F1", "told apart", "column shapes", "pair trends", "log p(x), nats", "CPU-s"]
    title = "Adult: target F1 above TVAE's, in a fifth of its time"
    table(title, columns, rows, "ctgan", "sdmetrics", "scikit-learn")


if __name__ == "__main__":
    main()
