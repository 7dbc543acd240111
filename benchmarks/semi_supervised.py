"""MNIST with 100 labels: error of the classifier inside a semi-supervised VAE, target 6 %, and of the labels alone.

Published (Kingma et al., 2014): 11.97 % for this model alone, M2; 3.33 % where it learns from the codes of a VAE of all
images instead of pixels, M1 + M2 (``--codes``). 50,000 training images of which ten of each class have a label, 10,000
test images. The figures of a run can be killed at any moment and resumed:

    PYTHONPATH=src python benchmarks/semi_supervised.py --minutes 120 --folder ../runs/semi
    PYTHONPATH=src python benchmarks/semi_supervised.py --codes --latents 8 --alpha 10 --minutes 12 --folder ../runs/m
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from binarised_mnist import make as binarised
from budget import Run
from common import begin, mnist, mnist_labels, note, parser, table
from sklearn.linear_model import LogisticRegression

from latens import VAE, SemiSupervisedVAE
from latens.data import ArraySource
from latens.neural.progress import ACTIVE
from latens.nn import MLP

ROWS, EACH = 50_000, 10


def model(epochs: int, alpha: float, width: int, latents: int) -> SemiSupervisedVAE:
    """Pixels as they are above or below one half, as in the publication."""
    networks = {name: MLP((width, width)) for name in ("encoder", "decoder", "classifier")}
    pace = {"epochs": epochs, "batch_size": 256, "patience": 0, "validation_fraction": 0.02}
    return SemiSupervisedVAE(latents=latents, alpha=alpha, random_state=0, **networks, **pace)


def codes(epochs: int) -> VAE:
    """M1: the plain VAE of binarised_mnist.py, of all images, whose encoder learns from its own samples too."""
    return binarised(epochs, data="static", objective="elbo", minutes=0, sleep=0.5)


def main() -> None:
    """Trains within the budget, and prints the errors."""
    options = parser(__doc__ or "")
    options.add_argument("--minutes", type=float, default=2.0, help="budget, of 2 cores")
    options.add_argument("--folder", type=Path, help="where to keep what resumes")
    options.add_argument(
        "--codes", action="store_true", help="learn from the codes of a VAE; a third of the budget is its"
    )
    options.add_argument("--alpha", type=float, default=1.0)
    options.add_argument("--latents", type=int, default=50, help="of the semi-supervised model; with --codes a few do")
    options.add_argument("--width", type=int, default=256, help="units of each of two layers")
    given = begin(options)
    X, y = (mnist(given.data, "train")[:ROWS] >= 128).astype(np.uint8), mnist_labels(given.data, "train")[:ROWS]
    test, truth = (mnist(given.data, "t10k") >= 128).astype(np.uint8), mnist_labels(given.data, "t10k")
    order = np.random.default_rng(0).permutation(ROWS)
    labelled = np.concatenate([order[y[order] == c][:EACH] for c in range(10)])
    some = np.full(ROWS, -1)
    some[labelled] = y[labelled]
    folder, minutes, spent = given.folder or Path(tempfile.mkdtemp()), given.minutes, 0.0
    if given.codes:
        first = Run(folder / "codes", {})
        vae = first.fit(codes, ArraySource(X), minutes / 3, 5_000)
        minutes *= 2 / 3
        spent = first.cpu_minutes
        X, test = vae.transform(X), vae.transform(test)
        active = X.var(0) > ACTIVE
        X, test = X[:, active], test[:, active]
        note(f"{active.sum()} active codes, {spent:.1f} CPU-min")
    run = Run(folder, {"alpha": given.alpha, "width": given.width, "latents": given.latents})

    def make(epochs: int) -> SemiSupervisedVAE:
        return model(epochs, *(run.plan[name] for name in ("alpha", "width", "latents")))

    fitted = run.fit(make, ArraySource(X, some), minutes, 5_000)  # type: ignore[arg-type]
    alone = LogisticRegression(max_iter=2000).fit(X[labelled].reshape(len(labelled), -1), y[labelled])
    errors = {
        f"SemiSupervisedVAE, {len(fitted.history_.rows)} epochs": (fitted.predict(test) != truth).mean(),
        "logistic regression on the labels alone": (alone.predict(test.reshape(len(test), -1)) != truth).mean(),
    }
    spent += run.cpu_minutes
    rows = [[name, f"{100 * error:.2f}"] for name, error in errors.items()]
    rows += [["published, M2 alone", "11.97"], ["published, M1 + M2", "3.33"], ["target", "6"]]
    title = f"MNIST with 100 labels{', from the codes of a VAE' if given.codes else ''}"
    table(f"{title}, {spent:.1f} CPU-minutes", ["", "test error, %"], rows, "scikit-learn")


if __name__ == "__main__":
    main()
