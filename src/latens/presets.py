"""A model of the literature is one line: a posterior, a likelihood, a prior and an objective, under the paper's name.

Each function names its paper in the first line of its docstring, takes what the paper varies, and passes on every other
setting of the estimator it returns. Nothing is a class of its own, so that any part can be exchanged for another:
``beta_vae(4.0, prior=NormalizingFlow(3, "coupling"))``. The page docs/models.md is made from these functions.

Example:
    >>> beta_vae(2.0, latents=8)
    VAE(latents=8, objective=Distortion() + 2.0 * Rate())
"""

from __future__ import annotations

from typing import Any

from latens.distributions import (
    AutoregressiveOf,
    Delta,
    MixtureOf,
    MultivariateNormal,
    Normal,
    PoincareNormal,
    VonMisesFisher,
)
from latens.models import (
    AutoregressiveCodes,
    ConvLadder,
    CouplingFlow,
    ExemplarPrior,
    FiniteScalar,
    Free,
    GumbelSoftmax,
    Hamiltonian,
    InverseAutoregressiveFlow,
    Ladder,
    NormalizingFlow,
    PlanarFlow,
    RadialFlow,
    Riemannian,
    StandardPoincare,
    SylvesterFlow,
    UniformSphere,
    VampPrior,
    VectorQuantised,
)
from latens.neural import VAE, AutoEncoder, Flow, SemiSupervisedVAE
from latens.nn import Transformer
from latens.objectives import (
    DIP,
    ELBO,
    MMD,
    AdversarialMatching,
    AdversarialTotalCorrelation,
    Capacity,
    Commitment,
    DimensionwiseKL,
    Distortion,
    FreeBits,
    GradientPenalty,
    ImportanceWeighted,
    LatentL2,
    LearnedDistortion,
    MultiscaleSSIM,
    MutualInformation,
    Players,
    Rate,
    Renyi,
    Sleep,
    SlicedWasserstein,
    TotalCorrelation,
)
from latens.training import Cyclical, Linear, WhileGrowing

# -- the objective ----------------------------------------------------------------------------------------------------


def vae(**settings: Any) -> VAE:
    """Kingma and Welling, *Auto-encoding variational Bayes*, 2014; Rezende, Mohamed and Wierstra, 2014."""
    return VAE(**{"objective": ELBO(), **settings})


def beta_vae(beta: float = 4.0, **settings: Any) -> VAE:
    """Higgins et al., *beta-VAE: learning basic visual concepts with a constrained variational framework*, 2017."""
    return VAE(**{"objective": Distortion() + beta * Rate(), **settings})


def annealed_vae(until: float = 0.3, **settings: Any) -> VAE:
    """Bowman et al., *Generating sentences from a continuous space*, 2016."""
    return VAE(**{"objective": Distortion() + Linear(0.0, 1.0, until) * Rate(), **settings})


def cyclical_vae(cycles: int = 4, **settings: Any) -> VAE:
    """Fu et al., *Cyclical annealing schedule: a simple approach to mitigating KL vanishing*, 2019."""
    return VAE(**{"objective": Distortion() + Cyclical(0.0, 1.0, cycles) * Rate(), **settings})


def free_bits_vae(nats: float = 0.25, **settings: Any) -> VAE:
    """Kingma et al., *Improved variational inference with inverse autoregressive flow*, 2016."""
    return VAE(**{"objective": Distortion() + FreeBits(nats), **settings})


def iwae(k: int = 5, **settings: Any) -> VAE:
    """Burda, Grosse and Salakhutdinov, *Importance weighted autoencoders*, 2016."""
    return VAE(**{"objective": ImportanceWeighted(k), **settings})


def miwae(m: int = 8, k: int = 8, **settings: Any) -> VAE:
    """Rainforth et al., *Tighter variational bounds are not necessarily better*, 2018: MIWAE."""
    return VAE(**{"objective": ImportanceWeighted(k, m), **settings})


def ciwae(beta: float = 0.5, k: int = 8, **settings: Any) -> VAE:
    """Rainforth et al., *Tighter variational bounds are not necessarily better*, 2018: CIWAE."""
    return VAE(**{"objective": beta * ELBO() + (1.0 - beta) * ImportanceWeighted(k), **settings})


def renyi_vae(alpha: float = 0.5, k: int = 5, **settings: Any) -> VAE:
    """Li and Turner, *Renyi divergence variational inference*, 2016."""
    return VAE(**{"objective": Renyi(alpha, k), **settings})


def sticking_the_landing(**settings: Any) -> VAE:
    """Roeder, Wu and Duvenaud, *Sticking the landing: simple, lower-variance gradient estimators*, 2017."""
    return VAE(**{"objective": ELBO("path"), **settings})


def doubly_reparameterised_iwae(k: int = 5, **settings: Any) -> VAE:
    """Tucker et al., *Doubly reparameterized gradient estimators for Monte Carlo objectives*, 2019."""
    return VAE(**{"objective": ImportanceWeighted(k, gradient="path"), **settings})


def half_asleep_vae(weight: float = 0.5, **settings: Any) -> VAE:
    """Zhang, Hayes and Barber, *Generalization gap in amortized inference*, 2022: reverse half-asleep."""
    return VAE(**{"objective": ELBO() + weight * Sleep(), **settings})


def capacity_vae(nats: float = 25.0, weight: float = 100.0, **settings: Any) -> VAE:
    """Burgess et al., *Understanding disentangling in beta-VAE*, 2018."""
    return VAE(**{"objective": Distortion() + weight * Capacity(Linear(0.0, nats)), **settings})


def beta_tcvae(beta: float = 6.0, **settings: Any) -> VAE:
    """Chen et al., *Isolating sources of disentanglement in variational autoencoders*, 2018."""
    return VAE(
        **{"objective": Distortion() + MutualInformation() + beta * TotalCorrelation() + DimensionwiseKL(), **settings}
    )


def factor_vae(gamma: float = 6.0, **settings: Any) -> VAE:
    """Kim and Mnih, *Disentangling by factorising*, 2018."""
    return VAE(**{"objective": ELBO() + gamma * AdversarialTotalCorrelation(), **settings})


def dip_vae(kind: str = "II", **settings: Any) -> VAE:
    """Kumar, Sattigeri and Balakrishnan, *Variational inference of disentangled latent concepts*, 2018."""
    return VAE(**{"objective": ELBO() + DIP(kind), **settings})


def info_vae(alpha: float = 0.0, weight: float = 1000.0, **settings: Any) -> VAE:
    """Zhao, Song and Ermon, *InfoVAE: balancing learning and inference in variational autoencoders*, 2019."""
    return VAE(**{"objective": Distortion() + (1.0 - alpha) * Rate() + (alpha + weight - 1.0) * MMD(), **settings})


def piwae(m: int = 8, k: int = 8, **settings: Any) -> VAE:
    """Rainforth et al., *Tighter variational bounds are not necessarily better*, 2018: PIWAE."""
    return VAE(**{"objective": Players(posterior=ImportanceWeighted(k, m), rest=ImportanceWeighted(k * m)), **settings})


def aggressive_vae(steps: int = 10, **settings: Any) -> VAE:
    """He et al., *Lagging inference networks and posterior collapse in variational autoencoders*, 2019."""
    pace = WhileGrowing("mutual_information", steps)
    return VAE(**{"objective": Players(posterior=ELBO(), rest=ELBO(), steps=pace), **settings})


def ms_ssim_vae(weight: float = 1000.0, window: int = 11, **settings: Any) -> VAE:
    """Snell et al., *Learning to generate images with perceptual similarity metrics*, 2017."""
    return VAE(
        **{"objective": weight * MultiscaleSSIM(window=window) + Rate(), "likelihood": Normal("optimal"), **settings}
    )


def vae_gan(realism: float = 1.0, **settings: Any) -> VAE:
    """Larsen et al., *Autoencoding beyond pixels using a learned similarity metric*, 2016."""
    players = Players(posterior=LearnedDistortion() + Rate(), rest=LearnedDistortion(realism=realism))
    return VAE(**{"objective": players, **settings})


# -- the posterior ----------------------------------------------------------------------------------------------------


def full_covariance_vae(**settings: Any) -> VAE:
    """Kingma and Welling, *An introduction to variational autoencoders*, 2019, section 2.5."""
    return VAE(**{"posterior": MultivariateNormal(), **settings})


def hyperspherical_vae(**settings: Any) -> VAE:
    """Davidson et al., *Hyperspherical variational auto-encoders*, 2018.

    The rate begins light, or directions are given up before the decoder can read them.
    """
    warm = Distortion() + Linear(0.0, 1.0, 0.3) * Rate()
    return VAE(**{"posterior": VonMisesFisher(), "prior": UniformSphere(), "objective": warm, **settings})


def poincare_vae(**settings: Any) -> VAE:
    """Mathieu et al., *Continuous hierarchical representations with Poincare variational auto-encoders*, 2019."""
    return VAE(**{"posterior": PoincareNormal(), "prior": StandardPoincare(), **settings})


def planar_flow_vae(transforms: int = 8, **settings: Any) -> VAE:
    """Rezende and Mohamed, *Variational inference with normalizing flows*, 2015."""
    return VAE(**{"posterior": PlanarFlow(transforms=transforms), **settings})


def radial_flow_vae(transforms: int = 8, **settings: Any) -> VAE:
    """Rezende and Mohamed, *Variational inference with normalizing flows*, 2015: radial flows."""
    return VAE(**{"posterior": RadialFlow(transforms=transforms), **settings})


def sylvester_flow_vae(transforms: int = 4, **settings: Any) -> VAE:
    """van den Berg et al., *Sylvester normalizing flows for variational inference*, 2018."""
    return VAE(**{"posterior": SylvesterFlow(transforms=transforms), **settings})


def iaf_vae(transforms: int = 2, **settings: Any) -> VAE:
    """Kingma et al., *Improved variational inference with inverse autoregressive flow*, 2016."""
    return VAE(**{"posterior": InverseAutoregressiveFlow(transforms=transforms), **settings})


def coupling_flow_vae(transforms: int = 2, **settings: Any) -> VAE:
    """Durkan et al., *Neural spline flows*, 2019, as a posterior."""
    return VAE(**{"posterior": CouplingFlow(transforms=transforms), **settings})


def hamiltonian_vae(steps: int = 3, **settings: Any) -> VAE:
    """Caterini, Doucet and Sejdinovic, *Hamiltonian variational auto-encoder*, 2018."""
    return VAE(**{"posterior": Hamiltonian(steps=steps), **settings})


def riemannian_vae(steps: int = 3, **settings: Any) -> VAE:
    """Chadebec, Mantoux and Allassonniere, *Geometry-aware Hamiltonian variational auto-encoder*, 2020."""
    return VAE(**{"posterior": Hamiltonian(steps=steps, metric=Riemannian()), **settings})


def categorical_vae(classes: int = 10, temperature: float = 0.5, **settings: Any) -> VAE:
    """Jang, Gu and Poole, *Categorical reparameterization with Gumbel-softmax*, 2017; Maddison, Mnih and Teh, 2017."""
    return VAE(**{"posterior": GumbelSoftmax(classes, temperature), **settings})


def concrete_vae(classes: int = 10, temperature: float = 0.7, **settings: Any) -> VAE:
    """Maddison, Mnih and Teh, *The concrete distribution*, 2017."""
    return VAE(**{"posterior": GumbelSoftmax(classes, temperature, hard=False), **settings})


def vq_vae(classes: int = 512, size: int = 64, beta: float = 0.25, **settings: Any) -> VAE:
    """van den Oord, Vinyals and Kavukcuoglu, *Neural discrete representation learning*, 2017."""
    return VAE(
        **{
            "posterior": VectorQuantised(classes, size),
            "prior": AutoregressiveCodes(),
            "objective": ELBO() + beta * Commitment(),
            **settings,
        }
    )


def vq_vae_map(
    latents: tuple[int, ...] = (7, 7), classes: int = 512, size: int = 64, beta: float = 0.25, **settings: Any
) -> VAE:
    """Esser, Rombach and Ommer, *Taming transformers for high-resolution image synthesis*, 2021: codes on a map."""
    prior = AutoregressiveCodes(Transformer())
    return vq_vae(classes, size, beta, **{"latents": latents, "prior": prior, **settings})


def residual_vq_vae(classes: int = 64, stages: int = 4, beta: float = 0.25, **settings: Any) -> VAE:
    """Zeghidour et al., *SoundStream: an end-to-end neural audio codec*, 2021: residual vector quantisation."""
    posterior = VectorQuantised(classes, stages=stages)
    return VAE(**{"posterior": posterior, "objective": ELBO() + beta * Commitment(), **settings})


def finite_scalar_vae(levels: tuple[int, ...] = (8, 5, 5), **settings: Any) -> VAE:
    """Mentzer et al., *Finite scalar quantization: VQ-VAE made simple*, 2024."""
    return VAE(**{"posterior": FiniteScalar(levels), "prior": AutoregressiveCodes(), **settings})


# -- the likelihood ---------------------------------------------------------------------------------------------------


def sigma_vae(**settings: Any) -> VAE:
    """Rybkin, Daniilidis and Levine, *Simple and effective VAE training with calibrated decoders*, 2021."""
    return VAE(**{"likelihood": Normal("shared"), **settings})


def optimal_sigma_vae(**settings: Any) -> VAE:
    """Rybkin, Daniilidis and Levine, 2021, with the scale that is best in closed form."""
    return VAE(**{"likelihood": Normal("optimal"), **settings})


def pixel_vae(reach: int = 3, width: int = 16, **settings: Any) -> VAE:
    """Gulrajani et al., *PixelVAE: a latent variable model for natural images*, 2017."""
    return VAE(**{"likelihood": AutoregressiveOf(None, reach, width), **settings})


def lossy_vae(reach: int = 2, transforms: int = 3, **settings: Any) -> VAE:
    """Chen et al., *Variational lossy autoencoder*, 2017."""
    return VAE(**{"likelihood": AutoregressiveOf(None, reach), "prior": NormalizingFlow(transforms), **settings})


# -- the prior --------------------------------------------------------------------------------------------------------


def mixture_prior_vae(components: int = 10, **settings: Any) -> VAE:
    """Dilokthanakul et al., *Deep unsupervised clustering with Gaussian mixture variational autoencoders*, 2016."""
    return VAE(**{"prior": Free(MixtureOf(Normal("element"), components, over="event")), **settings})


def vamp_prior_vae(k: int = 500, **settings: Any) -> VAE:
    """Tomczak and Welling, *VAE with a VampPrior*, 2018."""
    return VAE(**{"prior": VampPrior(k), **settings})


def exemplar_vae(k: int = 500, **settings: Any) -> VAE:
    """Norouzi, Fleet and Norouzi, *Exemplar VAE: linking generative models, nearest neighbor retrieval ...*, 2020."""
    return VAE(**{"prior": ExemplarPrior(k), **settings})


def flow_prior_vae(transforms: int = 3, **settings: Any) -> VAE:
    """Chen et al., *Variational lossy autoencoder*, 2017; Huang et al., *Learnable explicit density*, 2017."""
    return VAE(**{"prior": NormalizingFlow(transforms, "coupling"), **settings})


# -- several levels of latents ----------------------------------------------------------------------------------------


def ladder_vae(latents: tuple[int, ...] = (32, 16, 8), **settings: Any) -> VAE:
    """Sonderby et al., *Ladder variational autoencoders*, 2016."""
    return VAE(**{"hierarchy": Ladder(latents), **settings})


def very_deep_vae(levels: int = 4, **settings: Any) -> VAE:
    """Child, *Very deep VAEs generalize autoregressive models and can outperform them on images*, 2021."""
    return VAE(**{"hierarchy": ConvLadder(levels=levels, residual=False), **settings})


# -- no density over the code, labels, or no code at all -------------------------------------------------------------


def adversarial_autoencoder(weight: float = 1.0, **settings: Any) -> VAE:
    """Makhzani et al., *Adversarial autoencoders*, 2016."""
    return VAE(**{"posterior": Delta(), "objective": Distortion() + weight * AdversarialMatching(), **settings})


def wasserstein_autoencoder(weight: float = 100.0, **settings: Any) -> VAE:
    """Tolstikhin et al., *Wasserstein auto-encoders*, 2018, with the maximum mean discrepancy."""
    return VAE(**{"posterior": Delta(), "objective": Distortion() + weight * MMD(), **settings})


def sliced_wasserstein_autoencoder(weight: float = 10.0, **settings: Any) -> VAE:
    """Kolouri et al., *Sliced Wasserstein auto-encoders*, 2019."""
    return VAE(**{"posterior": Delta(), "objective": Distortion() + weight * SlicedWasserstein(), **settings})


def regularised_autoencoder(beta: float = 1e-2, decay: float = 1e-3, **settings: Any) -> AutoEncoder:
    """Ghosh et al., *From variational to deterministic autoencoders*, 2020: RAE-L2."""
    return AutoEncoder(**{"objective": Distortion() + beta * LatentL2(), "weight_decay": decay, **settings})


def smooth_autoencoder(beta: float = 1e-2, penalty: float = 1e-2, **settings: Any) -> AutoEncoder:
    """Ghosh et al., *From variational to deterministic autoencoders*, 2020: RAE-GP."""
    return AutoEncoder(**{"objective": Distortion() + beta * LatentL2() + penalty * GradientPenalty(), **settings})


def autoencoder(**settings: Any) -> AutoEncoder:
    """Hinton and Salakhutdinov, *Reducing the dimensionality of data with neural networks*, 2006."""
    return AutoEncoder(**settings)


def m2(alpha: float = 1.0, **settings: Any) -> SemiSupervisedVAE:
    """Kingma et al., *Semi-supervised learning with deep generative models*, 2014: the model M2."""
    return SemiSupervisedVAE(**{"alpha": alpha, **settings})


def masked_autoregressive_flow(transforms: int = 5, **settings: Any) -> Flow:
    """Papamakarios, Pavlakou and Murray, *Masked autoregressive flow for density estimation*, 2017."""
    return Flow(**{"transforms": transforms, "bins": 0, **settings})


def real_nvp(transforms: int = 6, **settings: Any) -> Flow:
    """Dinh, Sohl-Dickstein and Bengio, *Density estimation using Real NVP*, 2017."""
    return Flow(**{"transforms": transforms, "kind": "coupling", "bins": 0, **settings})


def neural_spline_flow(transforms: int = 3, **settings: Any) -> Flow:
    """Durkan et al., *Neural spline flows*, 2019."""
    return Flow(**{"transforms": transforms, **settings})


__all__ = [name for name, value in list(globals().items()) if getattr(value, "__module__", "") == __name__]
