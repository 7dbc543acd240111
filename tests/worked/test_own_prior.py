"""A worked example: a prior of your own is a value that builds a module whose ``forward`` returns a distribution."""

from dataclasses import dataclass

import torch
from sklearn.datasets import load_digits

from latens import VAE
from latens.distributions import Elementwise
from latens.models import ConditionalDistribution
from latens.nn import Site, Spec


class Tails(ConditionalDistribution):
    def __init__(self, spec, shape):
        super().__init__()
        self.df = torch.nn.Parameter(torch.full(shape, spec.df))

    def forward(self, c=None, *, observed=None, context=None):
        return Elementwise(torch.distributions.StudentT(self.df.clamp(min=1.0), validate_args=False), event_dims=1)


@dataclass(frozen=True, repr=False)
class HeavyTails(Spec):
    """p(z) = prod_i t(z_i; df_i): far codes are less of a surprise than under N(0, I). The df_i are learned."""

    df: float = 5.0

    def build(self, site: Site) -> Tails:
        return Tails(self, site.event_shape)


def test_it_integrates_to_one_and_is_learned_with_the_rest():
    z = torch.linspace(-500, 500, 400_001, dtype=torch.float64)[:, None]
    p = HeavyTails().build(Site((1,))).double()()
    assert abs(torch.trapezoid(p.log_prob(z).exp(), z[:, 0]).item() - 1) < 1e-6
    vae = VAE(latents=4, prior=HeavyTails(5.0), epochs=3, random_state=0).fit(load_digits().images)
    assert (vae.model_.prior.df != 5.0).all()
    assert vae.score(load_digits().images[:20]) > vae.score(load_digits().images[:20, ::-1, ::-1])
