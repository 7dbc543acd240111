"""Tables of numbers alone, as an array (one likelihood for all columns) and as a frame (a head for each).

A fifth of the rows, and at most 1,500, are held out; both models are the defaults, with 128 importance samples, and
count the log-determinants of what they make of the rows. Where columns hold whole numbers, a frame has masses of them
and an array a density, which can be set beside a mass only as far as it hardly changes from one number to the next.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from common import begin, cpu_seconds, note, parser, table

from latens import VAE

SETS = {
    "wine quality": "hivae_wine_quality",
    "thyroid": "38_thyroid",
    "vowels": "40_vowels",
    "Pima": "29_Pima",
    "satellite": "30_satellite",
}


def main() -> None:
    """Two rows for each table."""
    options = parser(__doc__ or "")
    options.add_argument("--only", nargs="*", default=list(SETS), help="names of tables")
    given = begin(options)
    lines = []
    for name in given.only:
        if name == "wine quality":
            file = given.data / "tabular" / SETS[name] / "data.csv.xz"
            X = np.loadtxt(file, delimiter=",")[:, :11]
        else:
            X = np.load(given.data / "adbench" / f"{SETS[name]}.npz")["X"]
        frame = pd.DataFrame(X, columns=[f"c{j}" for j in range(X.shape[1])])
        order = np.random.default_rng(0).permutation(len(X))
        held, train = np.split(order, [min(len(X) // 5, 1500)])
        for kind, rows in (("array", X), ("frame", frame)):
            start = cpu_seconds()
            vae = VAE(random_state=0).fit(rows[train] if kind == "array" else rows.iloc[train])
            seconds = cpu_seconds() - start
            scores = vae.score_samples(rows[held] if kind == "array" else rows.iloc[held])
            nats = f"{scores.mean():.2f} ± {scores.std() / len(scores) ** 0.5:.2f}"
            measure = "mass" if vae.is_mass else "density"
            note(f"{name}, {kind}: {nats}")
            lines.append(
                [f"{name}, {len(X):,} x {X.shape[1]}", kind, measure, nats, f"{np.median(scores):.2f}", seconds]
            )
    columns = ["table", "as", "p is a", "held-out log p(x), nats", "median", "CPU-s to fit"]
    table("Tables of numbers, default models", columns, lines, "pandas")


if __name__ == "__main__":
    main()
