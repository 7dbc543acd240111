"""Heartbeats of ECG5000: held-out log p(x) beside Gaussian densities, and samples before a nearest-neighbour judge.

Each beat has mean 0 and deviation 1 to rounding: the last of its 140 steps is determined by the others, which would be
worth any number of nats to a Gaussian with a full covariance. It is left out: 139 steps, a prime length.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from common import begin, cpu_seconds, note, parser, table
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier

from latens import VAE, GaussianMixture, two_sample_test
from latens.data import load
from latens.nn import MLP, Conv


def beats(folder: Any) -> tuple[np.ndarray, np.ndarray]:
    """4000 beats to learn, 1000 to judge by."""
    held = np.load(folder / "ecg5000" / "ecg5000_int16.npz")
    X = (held["X"][:, :-1] * float(held["scale"])).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(X))
    return X[order[:4000]], X[order[4000:]]


def judged(real: np.ndarray, drawn: np.ndarray) -> list[str]:
    """The accuracy of judges that look at 1 and at 5 neighbours, over five splits into halves; 0.5 is best."""
    cells = []
    for k in (1, 5):
        found = [two_sample_test(real, drawn, KNeighborsClassifier(k), random_state=s).accuracy for s in range(5)]
        cells.append(f"{np.mean(found):.3f}")
    return cells


def main() -> None:
    """Fits, scores, judges, prints."""
    options = parser(__doc__ or "")
    options.add_argument("--only", choices=("gaussian", "vae"), default=None)
    options.add_argument("--epochs", type=int, default=100)
    options.add_argument("--conv", type=int, default=0, help="epochs of the default network; 0 leaves it out")
    given = begin(options)
    train, test = beats(given.data)
    rows: list[list[object]] = [["4000 training beats", "-", *judged(test, train[:1000]), "-"]]

    def add(name: str, fit: Callable[[], Any], log_p: Callable[[Any], float], draw: Callable[[Any], np.ndarray]) -> Any:
        start = cpu_seconds()
        model = fit()
        spent = cpu_seconds() - start
        rows.append([name, f"{log_p(model):.2f}", *judged(test, draw(model)), f"{spent:.0f}"])
        note(str(rows[-1]))
        return model

    gaussian, networks = given.only != "vae", given.only != "gaussian"
    for d in (16, 64) if gaussian else ():
        add(
            f"PCA-Gaussian, {d} components",
            lambda d=d: PCA(d).fit(train.astype(float)),
            lambda m: m.score(test),
            _drawn,
        )
    for k in (1, 5) if gaussian else ():
        mixture = GaussianMixture(k, reg_covar=1e-6, random_state=0)
        add(f"GaussianMixture({k})", lambda m=mixture: m.fit(train), lambda m: m.score(test), lambda m: m.sample(1000))
    source = load(train, kind="signal")
    specs = {MLP((256, 256)): given.epochs, Conv((32, 64), 2): given.conv}
    for spec, epochs in specs.items() if networks else ():
        if not epochs:
            continue
        vae = VAE(encoder=spec, decoder=spec, latents=16, epochs=epochs, batch_size=64, random_state=0)
        add(
            f"VAE, {spec}, {epochs} epochs",
            lambda v=vae: v.fit(source),
            lambda m: m.score(test),
            lambda m: m.sample(1000),
        )
        for k in (10, 50):
            prior = GaussianMixture(k, random_state=0)
            fit = lambda v=vae, p=prior: v.fit_prior(p, source)  # noqa: E731
            add(f"the same, fit_prior(GaussianMixture({k}))", fit, lambda m: m.score(test), lambda m: m.sample(1000))
    columns = ["density", "held-out log p(x), nats", "accuracy, 1 neighbour", "5 neighbours", "CPU-s to fit"]
    table("ECG5000, 139 steps, 1000 held-out beats: target <= 0.6 accuracy", columns, rows, "scikit-learn")


def _drawn(pca: PCA) -> np.ndarray:
    """Draws of the Gaussian that probabilistic principal components are."""
    rng = np.random.default_rng(0)
    return rng.multivariate_normal(pca.mean_, pca.get_covariance(), 1000)


if __name__ == "__main__":
    main()
