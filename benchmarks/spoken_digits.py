"""Spoken digits: what the codes know of the digit, and whether what comes back and what is drawn are digits.

Of each digit and speaker 20 recordings are learned, 5 are held out. The judge is a support vector machine that was
trained on real log-mel spectrograms. With --sound a folder is filled with recordings to listen to.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from common import begin, cpu_seconds, note, parser, table
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from latens import VAE
from latens.data import Source, Subset, audio, write_array
from latens.nn import MLP, Conv

SPEC: dict[str, Any] = {"mlp": MLP((256,)), "conv": Conv((64,), 2)}


def digits(folder: Path) -> tuple[Source, Source]:
    """What is learned, and what is held out, as log-mel spectrograms of one length."""
    held = np.load(folder / "fsdd" / "fsdd_shared_3speakers_idx0-24.npz")
    waves = np.split(held["audio"], np.cumsum(held["lengths"])[:-1])
    source = audio(waves, int(held["rate"]), labels=held["digit"])
    early = held["index"] < 5
    return Subset(source, np.flatnonzero(~early)), Subset(source, np.flatnonzero(early))


def flat(source: Source) -> np.ndarray:
    """Each example as a line of numbers."""
    return source.take(np.arange(len(source))).reshape(len(source), -1)


def nearest(z: np.ndarray, y: np.ndarray, z_new: np.ndarray, y_new: np.ndarray) -> str:
    """Accuracy of 1 and of 5 neighbours among the codes."""
    found = [KNeighborsClassifier(k).fit(z, y).score(z_new, y_new) for k in (1, 5)]
    return " / ".join(f"{accuracy:.3f}" for accuracy in found)


def main() -> None:
    """Fits, judges, prints."""
    options = parser(__doc__ or "")
    options.add_argument("--epochs", type=int, default=150)
    options.add_argument("--latents", type=int, default=16)
    options.add_argument("--network", choices=SPEC, default="mlp")
    options.add_argument("--sound", type=Path, default=None, help="a folder for recordings to listen to")
    given = begin(options)
    train, test = digits(given.data)
    X, y, X_new, y_new = flat(train), np.asarray(train.labels), flat(test), np.asarray(test.labels)
    judge = make_pipeline(StandardScaler(), SVC(C=10)).fit(X, y)
    pca = PCA(given.latents).fit(X)
    back = pca.inverse_transform(pca.transform(X_new))
    codes = nearest(pca.transform(X), y, pca.transform(X_new), y_new)
    known, error = judge.score(back, y_new), np.square(back - X_new).mean()
    rows: list[list[object]] = [
        ["real, held out", nearest(X, y, X_new, y_new), f"{judge.score(X_new, y_new):.3f}", "-", "-", "-", "-"],
        _row(f"PCA({given.latents})", codes, known, error, pca.score(X_new)),
    ]
    spec = SPEC[given.network]
    settings = {"encoder": spec, "decoder": spec, "latents": given.latents, "epochs": given.epochs, "random_state": 0}
    for condition in (None, "y"):
        start = cpu_seconds()
        vae = VAE(condition=condition, **settings).fit(train)
        spent = cpu_seconds() - start
        back = vae.reconstruct(test)
        codes = nearest(vae.transform(train), y, vae.transform(test), y_new)
        error, log_p = vae.reconstruction_error(test).mean(), vae.score_samples(test).mean()
        known = judge.score(back.reshape(len(back), -1), y_new)
        name = f"VAE, {spec}" + (", p(x | digit)" if condition else "")
        rows.append(_row(name, "-" if condition else codes, known, error, log_p))
        rows[-1][-1] = f"{spent:.0f}"
        if condition:
            asked = np.repeat(np.arange(10), 50)
            drawn = vae.sample(len(asked), 1, y=asked, mean=True)
            rows[-1][-2] = f"{judge.score(drawn.reshape(len(asked), -1), asked):.3f}"
        elif given.sound is not None:
            some = np.arange(0, len(test), 6)
            write_array(given.sound / "original", test.take(some), vae.schema_)
            write_array(given.sound / "back", back[some], vae.schema_)
        note(str(rows[-1]))
    if given.sound is not None:
        names = [f"{digit}_{i}" for i, digit in enumerate(asked[::10])]
        write_array(given.sound / "drawn", drawn[::10], vae.schema_, names)
    columns = ["", "digit by 1 / 5 neighbours of the code", "digit of what comes back", "squared error, dB^2"]
    columns += ["held-out log p(x), nats", "digit of samples asked for", "CPU-s to fit"]
    title = f"Spoken digits, 600 learned, 150 held out, {given.latents} latents"
    table(f"{title}: target a code no worse than PCA's", columns, rows, "scikit-learn")


def _row(name: str, codes: str, back: float, error: float, log_p: float) -> list[object]:
    return [name, codes, f"{back:.3f}", f"{error:.1f}", f"{log_p:,.0f}", "-", "-"]


if __name__ == "__main__":
    main()
