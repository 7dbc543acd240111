"""A worked example: a prior of your own, here p(z) = prod_i t(z_i; df_i), is a value that builds a module."""

from dataclasses import dataclass

import torch
from sklearn.datasets import load_digits

from latens import VAE, load
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
    df: float = 5.0

    def build(self, site: Site) -> Tails:
        return Tails(self, site.event_shape)


def test_it_integrates_to_one_and_is_learned_with_the_rest(tmp_path):
    X = load_digits().images
    z = torch.linspace(-500, 500, 400_001, dtype=torch.float64)[:, None]
    p = HeavyTails().build(Site((1,))).double()()
    assert abs(torch.trapezoid(p.log_prob(z).exp(), z[:, 0]).item() - 1) < 1e-6
    vae = VAE(latents=4, prior=HeavyTails(5.0), epochs=3, random_state=0).fit(X)
    assert (vae.model_.prior.df != 5.0).all()
    vae.save(tmp_path / "model.latens")
    assert load(tmp_path / "model.latens", prior=HeavyTails()).score(X[:9]) == vae.score(X[:9])
