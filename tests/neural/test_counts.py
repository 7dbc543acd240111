"""Counts given their total, from fit to scores, draws and completions."""

import numpy as np
import pytest
import torch
from scipy import special, stats

import latens
from latens import VAE
from latens.cli.summary import figure_lines
from latens.distributions import Multinomial, NegativeBinomial, Poisson, ZeroInflated
from latens.metrics import evaluate
from latens.nn import MLP
from latens.utils import InputError

RNG = np.random.default_rng(0)


def counts(n=240, seed=0):
    """Two kinds of rows over six words, of very different totals."""
    rng = np.random.default_rng(seed)
    topics = np.array([[5, 5, 3, 1, 0.2, 0.2], [0.2, 0.2, 1, 3, 5, 5]])
    kind = rng.integers(2, size=n)
    totals = rng.integers(2, 60, n)
    rows = np.stack([rng.multinomial(total, topics[k] / topics[k].sum()) for total, k in zip(totals, kind)])
    return rows, kind


X, KIND = counts()
FAMILIES = [
    Multinomial(),
    Poisson("total"),
    NegativeBinomial(exposure="total"),
    ZeroInflated(NegativeBinomial("element", "total")),
]
every = pytest.mark.parametrize("family", FAMILIES, ids=str)


def fitted(family=FAMILIES[0], data=X, **settings):
    settings = {"latents": 1, "epochs": 30, "learning_rate": 1e-2, "random_state": 0} | settings
    return VAE(likelihood=family, encoder=MLP((16,)), decoder=MLP(()), **settings).fit(data)


@every
def test_every_family_trains_scores_draws_and_is_saved(family, tmp_path):
    vae = fitted(family, epochs=3)
    assert vae.is_mass
    draws = vae.sample(7, random_state=0)
    assert draws.shape == (7, 6)
    assert draws.dtype == X.dtype
    vae.save(tmp_path / "model")
    same = latens.load(tmp_path / "model")
    assert (same.score_samples(X[:9]) == vae.score_samples(X[:9])).all()
    assert (same.sample(7, random_state=0) == draws).all()


def test_scores_are_of_a_row_given_its_total():
    """Above one multinomial for all rows, below that of each row's own topic: bounded by what is known of both."""
    vae = fitted()
    one = (X.sum(0) + 0.5) / (X.sum() + 3)
    pooled = stats.multinomial.logpmf(X, X.sum(1), one).mean()
    topics = np.stack([X[k == KIND].sum(0) / X[k == KIND].sum() for k in (0, 1)])
    parts = np.stack([stats.multinomial.logpmf(X, X.sum(1), topic) for topic in topics])
    mixed = np.logaddexp(*(parts + np.log(0.5))).mean()
    assert pooled + 10 < mixed - 1.5 < vae.score(X) < mixed + 0.1


def evidence(vae, rows):
    """log p(x) of each row by quadrature over its one latent."""
    z, weight = np.polynomial.hermite_e.hermegauss(60)
    p = vae.model_.likelihood(torch.tensor(z, dtype=torch.float32)[:, None, None])
    log_p = p.log_prob(torch.tensor(rows, dtype=torch.float32)).detach().double()
    return torch.logsumexp(log_p + torch.tensor(weight / weight.sum()).log()[:, None], 0).numpy()


def test_scores_are_the_evidence_and_masses_of_a_total_sum_to_one():
    vae = fitted()
    assert vae.score_samples(X[:40], k=500) == pytest.approx(evidence(vae, X[:40]), abs=0.1)
    pairs = (np.eye(6, dtype=int)[:, None] + np.eye(6, dtype=int))[np.triu_indices(6)]
    assert np.exp(evidence(vae, pairs)).sum() == pytest.approx(1.0, abs=1e-5)
    assert vae.score_samples(np.zeros((1, 6), int)) == [0.0]


def test_draws_take_totals_of_the_data_or_those_given():
    vae = fitted(epochs=3)
    found = vae.sample(300).sum(1)
    assert set(found) <= set(X.sum(1))
    assert abs(found.mean() - X.sum(1).mean()) < 4.5 * X.sum(1).std() / np.sqrt(300)
    assert (vae.sample(5, totals=1_000_000).sum(1) == 1_000_000).all()
    assert vae.sample(3, totals=[0, 1, 20]).sum(1).tolist() == [0, 1, 20]
    assert vae.sample(2, totals=8, mean=True).sum(1) == pytest.approx([8.0, 8.0])


def test_reconstructions_have_the_totals_of_their_rows_and_are_real():
    vae = fitted(epochs=3)
    back = vae.reconstruct(X[:20])
    assert back.dtype.kind == "f"
    assert back.sum(1) == pytest.approx(X[:20].sum(1))


def test_missing_counts_are_filled_in_proportion():
    gaps = X.astype(float)
    gaps[::3, 2] = np.nan
    vae = fitted(NegativeBinomial(exposure="total"), gaps)
    whole = vae.complete(gaps)[::3, 2]
    assert np.corrcoef(whole, X[::3, 2])[0, 1] > 0.5
    assert vae.complete(gaps[:4], n=3).shape == (3, 4, 6)
    with pytest.raises(InputError, match="independent given z"):
        fitted(data=gaps, epochs=2).complete(gaps)


@pytest.mark.parametrize(
    ("totals", "expected"),
    [(-1, "whole numbers from 0"), (2.5, "whole numbers from 0"), ([1, 2], "one for each of 3 rows"), ("a", "got 'a'")],
)
def test_wrong_totals_are_refused(totals, expected):
    with pytest.raises(InputError, match=expected):
        fitted(epochs=2).sample(3, totals=totals)


def test_totals_are_for_families_that_are_given_them():
    with pytest.raises(InputError, match=r"Poisson\(\) models them itself"):
        fitted(Poisson(), epochs=2).sample(3, totals=5)


def test_figures_say_what_is_given_and_perplexity_is_that_of_a_word():
    vae = fitted(epochs=5)
    figures = evaluate(vae, X[:50], k=64)
    scores = vae.score_samples(X[:50], k=64)
    orders = special.gammaln(X[:50].sum(1) + 1) - special.gammaln(X[:50] + 1).sum(1)
    assert figures.given == "total"
    assert figures.perplexity == pytest.approx(np.exp((orders - scores).sum() / X[:50].sum()))
    assert 2 < figures.perplexity < 6
    assert "log p(x | its total)" in dict(figure_lines(figures.as_dict(), vae.schema_.measured))
    assert evaluate(fitted(Poisson(), epochs=2), X[:9], k=2).given is None


def test_what_is_given_a_total_is_not_compared_with_what_models_it():
    both = {"given": VAE(likelihood=Multinomial()), "all": VAE(likelihood=Poisson())}
    with pytest.raises(InputError, match=r"given gives log p\(x \| its total\) and all log p\(x\)"):
        latens.compare(both, X)
