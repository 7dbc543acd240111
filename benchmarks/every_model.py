"""Every model of pythae beside the preset of the same paper: seconds an epoch, and the likelihood of held-out digits.

Both have two latents, one hidden layer of 512 units each way, batches of 64 and steps of 0.001. The likelihood is found
in the same way for both, by us: log p(x) = log mean_i p(x | z_i) over draws z_i of the model's own prior, which two
dimensions allow. A density of 10 normals fitted to the codes is the prior of autoencoders. The peer lives in an
environment of its own, see training_speed.py:

    PYTHONPATH=src ../peers/bin/python benchmarks/every_model.py --epochs 40
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from common import begin, note, parser, table
from scipy.special import logsumexp
from sklearn.datasets import load_digits

import latens.presets as ours
from latens import AutoEncoder, GaussianMixture
from latens.distributions import Bernoulli
from latens.nn import MLP

HELD_OUT, DRAWS = 397, 50_000
Train = Callable[[np.ndarray, int, int], tuple[float, Callable[[], np.ndarray] | None]]
"""Rows, epochs and a seed -> seconds of training, and what draws the means of p(x | z), z ~ p(z)."""

PAIRS: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "AE": (ours.autoencoder, "AE", {}),
    "VAE": (ours.vae, "VAE", {}),
    "BetaVAE": (lambda **s: ours.beta_vae(2.0, **s), "BetaVAE", {"beta": 2.0}),
    "DisentangledBetaVAE": (
        lambda **s: ours.capacity_vae(5.0, 10.0, **s),
        "DisentangledBetaVAE",
        {"beta": 10.0, "C": 5.0},
    ),
    "BetaTCVAE": (lambda **s: ours.beta_tcvae(2.0, **s), "BetaTCVAE", {"beta": 2.0}),
    "FactorVAE": (lambda **s: ours.factor_vae(2.0, **s), "FactorVAE", {"gamma": 2.0}),
    "IWAE": (lambda **s: ours.iwae(5, **s), "IWAE", {"number_samples": 5}),
    "MIWAE": (lambda **s: ours.miwae(4, 4, **s), "MIWAE", {"number_gradient_estimates": 4, "number_samples": 4}),
    "PIWAE": (lambda **s: ours.piwae(4, 4, **s), "PIWAE", {"number_gradient_estimates": 4, "number_samples": 4}),
    "CIWAE": (lambda **s: ours.ciwae(0.5, 8, **s), "CIWAE", {"beta": 0.5, "number_samples": 8}),
    "VAE_LinNF": (lambda **s: ours.planar_flow_vae(4, **s), "VAE_LinNF", {"flows": ["Planar"] * 4}),
    "VAE_IAF": (lambda **s: ours.iaf_vae(2, **s), "VAE_IAF", {"n_made_blocks": 2}),
    "VAMP": (lambda **s: ours.vamp_prior_vae(50, **s), "VAMP", {"number_components": 50}),
    "SVAE": (ours.hyperspherical_vae, "SVAE", {}),
    "PoincareVAE": (ours.poincare_vae, "PoincareVAE", {}),
    "HVAE": (lambda **s: ours.hamiltonian_vae(3, **s), "HVAE", {"n_lf": 3, "eps_lf": 0.1, "beta_zero": 0.3}),
    "RHVAE": (lambda **s: ours.riemannian_vae(3, **s), "RHVAE", {"n_lf": 3, "eps_lf": 0.01, "beta_zero": 0.3}),
    "WAE_MMD": (lambda **s: ours.wasserstein_autoencoder(**s), "WAE_MMD", {"reg_weight": 100.0}),
    "INFOVAE_MMD": (ours.info_vae, "INFOVAE_MMD", {"alpha": 0.0, "lbd": 1000.0}),
    "Adversarial_AE": (ours.adversarial_autoencoder, "Adversarial_AE", {}),
    "VAEGAN": (ours.vae_gan, "VAEGAN", {}),
    "MSSSIM_VAE": (lambda **s: ours.ms_ssim_vae(window=3, **s), "MSSSIM_VAE", {"window_size": 3}),
    "RAE_L2": (ours.regularised_autoencoder, "RAE_L2", {}),
    "RAE_GP": (ours.smooth_autoencoder, "RAE_GP", {}),
    "VQVAE": (lambda **s: ours.vq_vae(64, 2, **s), "VQVAE", {"num_embeddings": 64}),
}


def log_likelihood(means: np.ndarray, rows: np.ndarray) -> float:
    """The mean of log p(x), nats, for Bernoulli pixels with these means for each draw of the prior."""
    p = np.clip(means.reshape(len(means), -1).astype(np.float64), 1e-6, 1 - 1e-6)
    rows = rows.reshape(len(rows), -1).astype(np.float64)
    parts = [logsumexp(x @ np.log(p).T + (1 - x) @ np.log1p(-p).T, axis=1) for x in np.array_split(rows, 8)]
    return float(np.concatenate(parts).mean() - np.log(len(p)))


def latens(preset: Any) -> Train:
    """A preset of this library."""

    def train(rows: np.ndarray, epochs: int, seed: int) -> tuple[float, Callable[[], np.ndarray] | None]:
        settings = {
            "latents": 2,
            "likelihood": Bernoulli(),
            "encoder": MLP((512,)),
            "decoder": MLP((512,)),
            "batch_size": 64,
            "learning_rate": 1e-3,
            "epochs": epochs,
            "validation_fraction": 0.0,
            "patience": 0,
            "random_state": seed,
        }
        names = preset(epochs=1).get_params(deep=False)
        estimator = preset(**{name: value for name, value in settings.items() if name in names})
        start = time.process_time()
        estimator.fit(rows)
        seconds = time.process_time() - start
        if isinstance(estimator, AutoEncoder):
            estimator.fit_prior(GaussianMixture(10, random_state=0), rows)
            return seconds, lambda: estimator.inverse_transform(estimator.prior_.sample(DRAWS))

        def means() -> np.ndarray:
            with torch.no_grad():
                z = estimator.model_.prior().sample((DRAWS,))
                return np.concatenate([estimator.inverse_transform(part.numpy()) for part in z.split(5000)])

        return seconds, means

    return train


def pythae(name: str, settings: dict[str, Any]) -> Train:
    """A model of the peer."""
    import pythae.models as theirs
    from pythae import samplers, trainers
    from pythae.pipelines import TrainingPipeline

    def sampler(model: Any, rows: torch.Tensor) -> Callable[[], np.ndarray] | None:
        if name == "VQVAE":
            return None
        kinds = {"VAMP": "VAMPSampler", "SVAE": "HypersphereUniformSampler", "PoincareVAE": "PoincareDiskSampler"}
        mixture = name in ("AE", "RAE_L2", "RAE_GP")
        kind = getattr(samplers, "GaussianMixtureSampler" if mixture else kinds.get(name, "NormalSampler"))
        if mixture:
            made = kind(model, samplers.GaussianMixtureSamplerConfig(n_components=10))
            made.fit(rows)
        else:
            made = kind(model)
        batch = {"batch_size": 50} if name == "VAMP" else {}
        return lambda: made.sample(DRAWS, **batch).detach().numpy()

    def train(rows: np.ndarray, epochs: int, seed: int) -> tuple[float, Callable[[], np.ndarray] | None]:
        torch.manual_seed(seed)
        X = torch.tensor(rows, dtype=torch.float32)[:, None]
        config = next(
            getattr(theirs, f"{name}{end}") for end in ("Config", "_Config") if hasattr(theirs, f"{name}{end}")
        )
        loss = {} if name in ("HVAE", "RHVAE") else {"reconstruction_loss": "bce"}
        model = getattr(theirs, name)(config(input_dim=(1, 8, 8), latent_dim=2, **loss, **settings))
        common = {"seed": seed, "num_epochs": epochs, "per_device_train_batch_size": 64, "no_cuda": True}
        kinds = {
            "RAE_L2": ("CoupledOptimizerTrainerConfig", ("encoder", "decoder")),
            "PIWAE": ("CoupledOptimizerTrainerConfig", ("encoder", "decoder")),
            "Adversarial_AE": ("AdversarialTrainerConfig", ("autoencoder", "discriminator")),
            "FactorVAE": ("AdversarialTrainerConfig", ("autoencoder", "discriminator")),
            "VAEGAN": ("CoupledOptimizerAdversarialTrainerConfig", ("encoder", "decoder", "discriminator")),
        }
        kind, parts = kinds.get(name, ("BaseTrainerConfig", ()))
        rates = {f"{part}_learning_rate": 1e-3 for part in parts} or {"learning_rate": 1e-3}
        with tempfile.TemporaryDirectory() as folder:
            training = getattr(trainers, kind)(output_dir=folder, **common, **rates)
            pipeline = TrainingPipeline(model=model, training_config=training)
            start = time.process_time()
            pipeline(train_data=X)
            seconds = time.process_time() - start
            trained = theirs.AutoModel.load_from_folder(pipeline.trainer.training_dir + "/final_model")
        return seconds, sampler(trained.eval(), X)

    return train


def figures(
    train: Train, rows: np.ndarray, held_out: np.ndarray, epochs: int, seeds: int
) -> tuple[float | None, list[float], str]:
    """Seconds an epoch, nats for each seed, and why not."""
    try:
        seconds, nats = 0.0, []
        for seed in range(seeds):
            more, means = train(rows, epochs, seed)
            seconds, nats = seconds + more, nats if means is None else [*nats, log_likelihood(means(), held_out)]
        return seconds / epochs / seeds, nats, ""
    except Exception as error:  # a table of both libraries tells what fails
        return None, [], f"{type(error).__name__}: {' '.join(str(error).split())[:80]}"


def told(nats: list[float]) -> str:
    """The mean, and the standard deviation of several."""
    spread = f" ± {np.std(nats, ddof=1):.2f}" if len(nats) > 1 else ""
    return f"{np.mean(nats):.2f}{spread}" if nats else ""


def main() -> None:
    """Trains each of both, prints."""
    options = parser(__doc__ or "")
    options.add_argument("--epochs", type=int, default=40)
    options.add_argument("--seeds", type=int, default=1, help="so many trainings of each, from 0 on")
    options.add_argument("--only", nargs="*", default=list(PAIRS), help="names of the peer's models")
    given = begin(options)
    logging.disable(logging.WARNING)
    digits = (load_digits().images > 7).astype(np.float32)
    digits = digits[np.random.default_rng(0).permutation(len(digits))]
    held_out, rows = digits[:HELD_OUT], digits[HELD_OUT:]
    lines = []
    for name in given.only:
        preset, peer, settings = PAIRS[name]
        theirs = figures(pythae(peer, settings), rows, held_out, given.epochs, given.seeds)
        mine = figures(latens(preset), rows, held_out, given.epochs, given.seeds)
        both = (theirs[0], mine[0])
        ratio = f"{both[0] / both[1]:.1f}" if None not in both else ""
        cells = ["" if value is None else f"{value:.3f}" for value in both] + [ratio]
        cells += [told(values) for values in (theirs[1], mine[1])]
        lines.append([name, *cells, "; ".join(filter(None, (theirs[2], mine[2])))])
        note(str(lines[-1]))
    columns = ["model", "pythae, CPU-s/epoch", "latens", "times faster", "pythae, log p(x)", "latens, log p(x)", ""]
    title = f"{len(rows)} binary digits of 64 pixels, {given.epochs} epochs, {given.seeds} seed(s); {HELD_OUT} held out"
    table(title, columns, lines, "pythae")


if __name__ == "__main__":
    main()
