"""NLTCS, 21,574 x 16 answers of yes or no: log-likelihood of held-out rows, by 1,000 importance samples, in nats.

The split is at random, 16,181 / 2,157 / 3,236 rows. A Chow-Liu tree is the best tree of pairs: its edges are those of
the largest mutual information, and its tables count one of each case more.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from common import begin, cpu_seconds, note, parser, table
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

from latens import VAE
from latens.objectives import ImportanceWeighted


def independent(train: np.ndarray, test: np.ndarray, seconds: float) -> float:
    """Each column by itself."""
    p = (train.sum(0) + 1) / (len(train) + 2)
    return float((test * np.log(p) + (1 - test) * np.log1p(-p)).sum(1).mean())


def tree(train: np.ndarray, test: np.ndarray, seconds: float) -> float:
    """The tree of Chow and Liu (1968)."""
    n, d = train.shape
    joint = np.empty((d, d, 2, 2))
    for a in (0, 1):
        for b in (0, 1):
            joint[:, :, a, b] = ((train == a).T.astype(float) @ (train == b) + 0.25) / (n + 1)
    alone = joint.sum(3)
    information = (joint * np.log(joint / (alone[..., None] * joint.sum(2)[:, :, None]))).sum((2, 3))
    edges = minimum_spanning_tree(-np.where(np.eye(d, dtype=bool), 0, information + 1e-9))
    order, parents = breadth_first_order(edges, 0, directed=False)
    total = np.log(alone[0, 0][test[:, 0]])
    for j in order[1:]:
        i = parents[j]
        total += np.log(joint[i, j][test[:, i], test[:, j]] / alone[i, j][test[:, i]])
    return float(total.mean())


def vae(train: np.ndarray, test: np.ndarray, epochs: int, **settings: object) -> float:
    """The defaults of a table."""
    model = VAE(epochs=epochs, random_state=0, **settings).fit(train)
    return float(model.score_samples(test, k=1000).mean())


CONTENDERS: dict[str, Callable[..., float]] = {
    "independent columns": independent,
    "Chow-Liu tree": tree,
    "latens VAE()": vae,
    "latens VAE(objective=ImportanceWeighted(10))": partial(vae, objective=ImportanceWeighted(10)),
}


def main() -> None:
    """All contenders."""
    options = parser(__doc__ or "")
    options.add_argument("--only", nargs="*", default=list(CONTENDERS), help="names of contenders")
    options.add_argument("--epochs", type=int, default=60, help="of the networks")
    given = begin(options)
    X = np.loadtxt(given.data / "tabular" / "ctgan_nltcs" / "nltcs.tsv.xz", dtype=int)
    order = np.random.default_rng(0).permutation(len(X))
    train, test = X[order[:16_181]], X[order[18_338:]]
    rows = []
    for name in given.only:
        start = cpu_seconds()
        score = CONTENDERS[name](train, test, given.epochs)
        rows.append([name, f"{score:.3f}", f"{cpu_seconds() - start:.0f}"])
        note(str(rows[-1]))
    table("NLTCS: target above -6.767, toward the best published, about -6.00", ["density", "nats", "CPU-s"], rows)


if __name__ == "__main__":
    main()
