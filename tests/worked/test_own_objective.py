"""A worked example: an objective of your own is a frozen dataclass that looks at a draw."""

from dataclasses import dataclass

import torch
from sklearn.datasets import load_digits

from latens import VAE
from latens.models import Draw, draw
from latens.nn import MLP
from latens.objectives import Distortion, Objective


@dataclass(frozen=True, repr=False)
class RateFloor(Objective):
    """max(E_x[KL(q(z | x) || p(z))], nats): the first nats of the code are free, whichever dimension takes them."""

    nats: float = 3.0

    def __call__(self, draw: Draw) -> torch.Tensor:
        return draw.expect(draw.rate).mean().clamp(min=self.nats)


def test_it_is_the_rate_above_the_floor_and_composes():
    X = load_digits().images
    objective = Distortion() + 2.0 * RateFloor(6.0)
    assert repr(objective) == "Distortion() + 2.0 * RateFloor(6.0)"
    vae = VAE(latents=4, objective=objective, encoder=MLP((64,)), decoder=MLP((64,)), epochs=20, random_state=0).fit(X)
    d = draw(vae.model_, vae.units_(torch.tensor(X[:50])))
    rate = d.rate.mean().item()
    assert 4.0 < rate < 8.0  # beyond the floor, a nat costs two
    assert RateFloor(1.0)(d).item() == torch.tensor(rate).item()
    assert RateFloor(20.0)(d).item() == 20.0
