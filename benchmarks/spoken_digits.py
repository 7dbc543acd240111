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

from latens import VAE, GaussianMixture
from latens.data import Source, Subset, audio, write_array
from latens.nn import MLP, Conv

DRAWN = 40
"""Samples of each digit, from a density fitted to the codes of that digit."""
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


def of_digits(code: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """The codes of each digit."""
    return [code[y == digit] for digit in range(10)]


def prior() -> GaussianMixture:
    """Of the codes of one digit: three speakers."""
    return GaussianMixture(3, covariance_type="tied", reg_covar=1e-3, random_state=0)


def main() -> None:
    """Fits, judges, prints."""
    options = parser(__doc__ or "")
    options.add_argument("--epochs", type=int, default=150)
    options.add_argument("--latents", type=int, default=16)
    options.add_argument("--network", choices=SPEC, default="mlp")
    options.add_argument("--sound", type=Path, default=None, help="a folder for recordings to listen to")
    given = begin(options)
    if given.sound is not None:
        given.sound.mkdir(parents=True, exist_ok=True)
    train, test = digits(given.data)
    X, y, X_new, y_new = flat(train), np.asarray(train.labels), flat(test), np.asarray(test.labels)
    judge = make_pipeline(StandardScaler(), SVC(C=10)).fit(X, y)
    asked = np.repeat(np.arange(10), DRAWN)

    def row(
        name: str, codes: tuple[np.ndarray, ...], back: np.ndarray, log_p: float, drawn: np.ndarray
    ) -> list[object]:
        told = ((back, y_new), (drawn, asked))
        known, right = (f"{judge.score(part.reshape(len(part), -1), digit):.3f}" for part, digit in told)
        error = np.square(back.reshape(len(back), -1) - X_new).mean()
        return [name, nearest(codes[0], y, codes[1], y_new), known, right, f"{error:.1f}", f"{log_p:,.0f}"]

    real = [f"{judge.score(X_new, y_new):.3f}", "-", "-", "-", "-"]
    rows: list[list[object]] = [["held-out recordings", nearest(X, y, X_new, y_new), *real]]
    pca = PCA(given.latents).fit(X)
    codes = pca.transform(X), pca.transform(X_new)
    drawn = np.concatenate([prior().fit(z).sample(DRAWN) for z in of_digits(codes[0], y)])
    back = pca.inverse_transform(codes[1])
    rows.append([*row(f"PCA({given.latents})", codes, back, pca.score(X_new), pca.inverse_transform(drawn)), "-"])

    start, spec = cpu_seconds(), SPEC[given.network]
    vae = VAE(encoder=spec, decoder=spec, latents=given.latents, epochs=given.epochs, random_state=0).fit(train)
    spent = f"{cpu_seconds() - start:.0f}"
    codes, back, log_p = (vae.transform(train), vae.transform(test)), vae.reconstruct(test), vae.score_samples(test)
    parts = [Subset(train, np.flatnonzero(y == digit)) for digit in range(10)]
    drawn = np.concatenate([vae.fit_prior(prior(), part).sample(DRAWN, 1, mean=True) for part in parts])
    rows.append([*row(f"VAE, {spec}, {given.epochs} epochs", codes, back, log_p.mean(), drawn), spent])
    own = VAE(encoder=spec, decoder=spec, latents=given.latents, epochs=given.epochs, condition="y", random_state=0)
    start = cpu_seconds()
    own.fit(train, y)
    spent, log_p = f"{cpu_seconds() - start:.0f}", own.score_samples(test, y_new)
    codes, back = (own.transform(train, y), own.transform(test, y_new)), own.reconstruct(test, y_new)
    name = f"the same with condition='y', {given.epochs} epochs"
    rows.append([*row(name, codes, back, log_p.mean(), own.sample(len(asked), 1, y=asked, mean=True)), spent])
    own.fit_prior(prior(), train, y)
    log_p, drawn_y = own.score_samples(test, y_new), own.sample(len(asked), 1, y=asked, mean=True)
    rows.append([*row("the same, fit_prior of each digit", codes, back, log_p.mean(), drawn_y), "-"])
    true = judge.score(own.sample(len(asked), 1, y=asked).reshape(len(asked), -1), asked)
    note(f"with the noise of the likelihood {true:.3f} of its draws are the digit asked for")
    if given.sound is not None:
        some = np.arange(0, len(test), 6)
        write_array(given.sound / "original", test.take(some), vae.schema_)
        write_array(given.sound / "back", back[some], vae.schema_)
        names = [f"{digit}_{i}" for i, digit in enumerate(asked[::10])]
        write_array(given.sound / "drawn", drawn[::10], vae.schema_, names)
    columns = ["", "digit by 1 / 5 neighbours of the code", "digit of what comes back", "digit of samples"]
    columns += ["squared error, dB^2", "held-out log p(x), nats", "CPU-s to fit"]
    title = f"Spoken digits, 600 learned, 150 held out, {given.latents} latents"
    table(f"{title}: target a code no worse than that of PCA", columns, rows, "scikit-learn")


if __name__ == "__main__":
    main()
