"""What a prior fitted afterwards is worth: an autoencoder of MNIST, sampled through densities fitted to its codes.

The autoencoder has 16 codes, perceptrons of 512 and 256 on either side, and a normal likelihood (squared error); the
rest is left to the defaults. Each density is fitted to the codes of 20,000 training rows and decoded; as many samples
as test rows (10,000) are compared with those by the Frechet distance of

- the 64 outputs of the last hidden layer of a small classifier, a perceptron 784-128-64-10 that learned the digits of
  the training rows for `--classifier` epochs (no Inception network: figures compare with each other, with no others);
- the first 64 principal components of the training pixels, in [0, 1].

"Test rows, decoded" passes the test rows themselves through the autoencoder: no prior can do much better than that.

    python benchmarks/fitted_prior.py
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from common import begin, cpu_seconds, mnist, mnist_labels, note, parser, table
from sklearn.decomposition import PCA
from torch import nn

from latens import VAE, AutoEncoder, Flow, GaussianMixture, KernelDensity, Parametric
from latens.density import DensityEstimator
from latens.distributions import Normal
from latens.metrics import frechet_distance
from latens.nn import MLP

Features = Callable[[np.ndarray], np.ndarray]
PRIORS: dict[str, DensityEstimator] = {
    "normal, full covariance": Parametric("multivariate-normal"),
    "GaussianMixture(10)": GaussianMixture(10, random_state=0),
    "GaussianMixture(100)": GaussianMixture(100, random_state=0),
    "KernelDensity()": KernelDensity(),
    "Flow(kind='coupling', epochs=30)": Flow(kind="coupling", epochs=30, random_state=0),
    "VAE(latents=16, epochs=60)": VAE(latents=16, epochs=60, encoder=MLP(), decoder=MLP(), random_state=0),
}


def classifier(X: np.ndarray, y: np.ndarray, epochs: int) -> tuple[Features, nn.Module]:
    """Features of a perceptron that learned to tell the digits apart, and the perceptron."""
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU())
    whole = nn.Sequential(body, nn.Linear(64, 10))
    rows, labels = pixels(X), torch.tensor(y).long()
    adam = torch.optim.Adam(whole.parameters(), lr=1e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(rows)).split(128):
            loss = nn.functional.cross_entropy(whole(rows[batch]), labels[batch])
            adam.zero_grad()
            loss.backward()
            adam.step()

    @torch.no_grad()
    def features(images: np.ndarray) -> np.ndarray:
        return body(pixels(images)).numpy()

    return features, whole


def pixels(images: np.ndarray) -> torch.Tensor:
    """Bytes as numbers in [0, 1], a row each."""
    return torch.from_numpy(images.reshape(len(images), -1)).float() / 255


def main() -> None:
    """Trains the autoencoder, fits each density, prints the distances."""
    options = parser(__doc__ or "")
    options.add_argument("--epochs", type=int, default=10, help="of the autoencoder")
    options.add_argument("--classifier", type=int, default=3, help="epochs of the classifier")
    options.add_argument("--rows", type=int, default=20_000, help="whose codes the priors are fitted to")
    options.add_argument("--only", nargs="*", default=list(PRIORS), help="names of priors")
    given = begin(options)
    train, test = mnist(given.data, "train"), mnist(given.data, "t10k")
    learned, whole = classifier(train, mnist_labels(given.data, "train"), given.classifier)
    with torch.no_grad():
        right = (whole(pixels(test)).argmax(1).numpy() == mnist_labels(given.data, "t10k")).mean()
    note(f"classifier: {right:.2%} of the test rows")
    pca = PCA(64, random_state=0).fit(pixels(train[::3]).numpy())
    maps: dict[str, Features] = {"classifier": learned, "PCA": lambda x: pca.transform(pixels(x).numpy())}
    begun = cpu_seconds()
    networks = {"encoder": MLP((512, 256)), "decoder": MLP((256, 512)), "likelihood": Normal("optimal")}
    model = AutoEncoder(latents=16, epochs=given.epochs, random_state=0, **networks).fit(train)
    trained = cpu_seconds() - begun
    note(f"autoencoder: {trained / 60:.1f} CPU-minutes")

    def distances(images: np.ndarray) -> list[object]:
        return [f"{frechet_distance(f(test), f(images)):.3f}" for f in maps.values()]

    some = train[: given.rows]
    rows: list[list[object]] = [["training rows, 10,000", *distances(train[-10_000:]), "-"]]
    rows.append(["test rows, decoded", *distances(model.reconstruct(test)), "-"])
    codes = model.transform(some).astype(np.float64)
    rng = np.random.default_rng(0)
    shape = (len(test), codes.shape[1])
    for name, points in (
        ("N(0, I), not fitted", rng.normal(size=shape)),
        ("normal, a mean and spread each", rng.normal(codes.mean(0), codes.std(0), shape)),
    ):
        rows.append([name, *distances(model.inverse_transform(points)), "-"])
    for name in given.only:
        begun = cpu_seconds()
        model.fit_prior(PRIORS[name], some)
        seconds = cpu_seconds() - begun
        rows.append([name, *distances(model.sample(len(test), mean=True)), f"{seconds:.1f}"])
        note(" ".join(map(str, rows[-1])))
    columns = ["samples from", *(f"Frechet distance, {name}" for name in maps), "CPU-s to fit"]
    title = f"Autoencoder of MNIST, 16 codes, {given.epochs} epochs ({trained / 60:.1f} CPU-minutes)"
    table(f"{title}; classifier {right:.1%}; target: a mixture halves the distance of a normal", columns, rows)


if __name__ == "__main__":
    main()
