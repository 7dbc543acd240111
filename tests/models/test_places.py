"""Maps of codes: what stands where, against loops over places, and sums over all codes."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import latens
from latens import VAE, AutoEncoder, SemiSupervisedVAE
from latens.cli.summary import code
from latens.data import load
from latens.models import AutoregressiveCodes, FiniteScalar, GumbelSoftmax, Places, VectorQuantised
from latens.neural.defaults import network
from latens.nn import MLP, Conv, Site, Transformer
from latens.objectives import ELBO, Commitment, Distortion
from latens.utils.errors import InputError

BITS = (load_digits().images > 7.5).astype(np.uint8)
SMALL = {"learning_rate": 0.01, "random_state": 0}
CONV = {"encoder": Conv((8,), 1, patch=2), "decoder": Conv((8,), 1, patch=2)}


def fitted(posterior, X=BITS, epochs=2, latents=(4, 4), **settings):
    objective = ELBO() + 0.25 * Commitment() if isinstance(posterior, VectorQuantised) else ELBO()
    given = SMALL | {"objective": objective} | settings
    return VAE(posterior=posterior, latents=latents, epochs=epochs, **given).fit(X)


@pytest.mark.parametrize("size", [(2, 3), (4,), (1, 1)], ids=str)
def test_the_vector_of_a_place_is_its_channels(size):
    places, width = Places(size), 5
    flat = torch.randn(7, places.number * width)
    laid = places.laid(flat)
    assert laid.shape == (7, *places.shape(width))
    for n, place in enumerate(itertools.product(*map(range, size))):
        assert torch.equal(laid[(slice(None), slice(None), *place)], flat[:, n * width : (n + 1) * width])
    assert torch.equal(places.vectors(laid).flatten(1), flat)


def test_places_in_a_row_are_one_vector():
    flat = torch.randn(3, 20)
    assert Places(4).laid(flat) is flat
    assert torch.equal(Places(4).vectors(flat), flat.unflatten(1, (4, 5)))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 13), (2, 21)], ids=str)
def test_a_place_tells_of_its_surroundings_alone(shape):
    """Patches of two that overlap by one on each side, and no blocks: 3 numbers along each axis."""
    torch.manual_seed(0)
    spec = Conv((4,), 0, patch=2)
    coarse = tuple(-(-n // 2) for n in shape[1:])
    encoder = spec.build(Site((5, *coarse), shape)).double()
    decoder = spec.build(Site(shape, (5, *coarse))).double()
    up = torch.autograd.functional.jacobian(lambda x: encoder(x).sum((0, 1)), torch.randn(1, *shape).double())
    down = torch.autograd.functional.jacobian(lambda z: decoder(z).sum((0, 1)), torch.randn(1, 5, *coarse).double())
    sees = up.abs().sum((-len(shape) - 1, -len(shape)))
    seen = down.abs().sum((-len(shape) - 1, -len(shape)))
    for place in itertools.product(*map(range, coarse)):
        for pixel in itertools.product(*map(range, shape[1:])):
            near = all(abs(2 * i - n) <= 1 for i, n in zip(place, pixel))
            around = all(abs(i - n // 2) <= 1 for i, n in zip(place, pixel))
            assert (sees[place + pixel] > 0) == near
            assert (seen[pixel + place] > 0) == around


@pytest.mark.parametrize("site", [Site((5, 3, 3), (1, 8, 8)), Site((1, 8, 8), (5, 3, 3))])
def test_a_map_of_another_size_is_refused(site):
    with pytest.raises(InputError, match="makes a map of 4 x 4 of 8 x 8; got one of 3 x 3"):
        Conv((4,), patch=2).build(site)


CODERS = {
    "a codebook": VectorQuantised(3, 2),
    "codebooks in turn": VectorQuantised(2, 2, 2),
    "levels": FiniteScalar((3,)),
    "one-hot": GumbelSoftmax(3),
}


@pytest.mark.parametrize("name", [name for name in CODERS if name != "one-hot"])
def test_scores_are_the_joint_mass_of_row_and_map_and_a_lower_bound(name):
    """Every code vector is put into its place by a loop, and p(x) summed over all maps."""
    spec, X = CODERS[name], BITS[:, 2:6, 2:6]
    prior = AutoregressiveCodes(Transformer(8, 1, 2))
    vae = fitted(spec, X, latents=(2, 2), prior=prior, **CONV)
    model, quantiser = vae.model_, vae.model_.posterior.quantiser
    codes = torch.cartesian_prod(*[torch.arange(float(spec.classes))] * (4 * spec.stages))
    with torch.no_grad():
        vectors = quantiser.embed(codes).unflatten(1, (4, spec.width))
        maps = torch.empty(len(codes), spec.width, 2, 2)
        for i, j in itertools.product(range(2), range(2)):
            maps[:, :, i, j] = vectors[:, 2 * i + j]
        params = (model.likelihood.network(maps) + model.likelihood.offset).flatten(1).double()
        log_p = model.prior().log_prob(codes).double()
    some = torch.from_numpy(X[:50].reshape(50, 1, 16)).double()
    joint = -torch.nn.functional.softplus(params * (1 - 2 * some)).sum(-1) + log_p
    found = torch.from_numpy(vae.transform(X[:50]).reshape(50, 1, -1))
    scores = vae.score_samples(X[:50])
    np.testing.assert_allclose(scores, joint[(found == codes).all(-1)], atol=1e-4)
    assert (scores <= joint.logsumexp(1).numpy() + 1e-6).all()
    assert log_p.exp().sum().item() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("spec", CODERS.values(), ids=CODERS)
def test_maps_of_whole_numbers_come_and_go(spec, tmp_path):
    settings = {"objective": Distortion()} if isinstance(spec, GumbelSoftmax) else {}
    vae = fitted(spec, BITS[:300], **settings, **CONV)
    maps = vae.transform(BITS[:20])
    assert maps.shape == (20, 4, 4) + ((spec.stages,) if spec.stages > 1 else ())
    assert ((maps >= 0) & (maps < spec.classes) & (maps == maps.round())).all()
    back = vae.inverse_transform(maps)
    np.testing.assert_array_equal(back, vae.reconstruct(BITS[:20]))
    np.testing.assert_array_equal(back, vae.inverse_transform(maps.reshape(20, -1)))
    vae.save(tmp_path / "maps.latens")
    again = latens.load(tmp_path / "maps.latens")
    np.testing.assert_array_equal(again.sample(5, 1), vae.sample(5, 1))
    np.testing.assert_array_equal(again.transform(BITS[:20]), maps)
    with pytest.raises(InputError, match="whole numbers"):
        vae.inverse_transform(maps + 0.5)
    with pytest.raises(InputError, match="Expected latent points"):
        vae.inverse_transform(maps[:, :3])


def test_maps_are_told_given_the_class():
    y = load_digits().target
    prior = AutoregressiveCodes(Transformer(16, 1, 2))
    vae = VAE(latents=(4, 4), posterior=FiniteScalar((4,)), prior=prior, condition="y", epochs=4, **SMALL | CONV)
    vae.fit(BITS, y)
    right, wrong = vae.score(BITS, y), vae.score(BITS, (y + 1) % 10)
    assert right > wrong + 1
    assert vae.sample(4, y=3).shape == (4, 8, 8)


def test_the_network_is_chosen_for_the_map():
    schema = load(BITS).schema
    assert [network(schema, (n, n)).value for n in (8, 4, 2)] == [Conv((64,), patch=p) for p in (1, 2, 4)]
    with pytest.raises(InputError, match=r"no map of 5 x 5 of 8 x 8; use latents=\(4, 4\), or"):
        fitted(FiniteScalar(3), latents=(5, 5))


def test_recordings_have_a_track_of_codes():
    X = np.sin(np.arange(64) / 4 + np.random.default_rng(0).uniform(0, 6, (80, 1))).astype(np.float32)
    source = load(X, kind="signal")
    vae = fitted(VectorQuantised(8, 4), source, latents=(16,), epochs=1)
    assert vae.transform(source).shape == (80, 16)


REFUSED = {
    "real numbers": lambda: VAE(latents=(4, 4)),
    "an autoencoder": lambda: AutoEncoder(latents=(4, 4)),
    "classes": lambda: SemiSupervisedVAE(latents=(4, 4)),
    "no size": lambda: VAE(latents=(4, 0), posterior=FiniteScalar(3)),
    "nothing": lambda: VAE(latents=(), posterior=FiniteScalar(3)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_map_of_what_is_no_code_is_refused(name):
    with pytest.raises(InputError, match="latents"):
        REFUSED[name]().fit(BITS, load_digits().target)


def test_a_perceptron_may_make_a_map():
    vae = fitted(FiniteScalar(3), latents=(2, 3), encoder=MLP((8,)), decoder=MLP((8,)), epochs=1)
    assert vae.transform(BITS[:5]).shape == (5, 2, 3)


def test_it_is_said_what_a_row_passes_through():
    """And the plane of a report shows the vectors that codes stand for: codes have no order."""
    vae = fitted(FiniteScalar((3, 3)), latents=(2, 2), encoder=MLP((8,)), decoder=MLP((8,)), epochs=1)
    assert code(vae) == {"units": 4, "through": "2 x 2 codes, each one of 9", "point": "code"}
    read = vae._read(vae.transform(BITS[:5]))
    with torch.no_grad():
        value, _ = vae.model_.posterior(torch.from_numpy(BITS[:5, None]).float()).rsample_and_code()
    np.testing.assert_allclose(read, value, atol=1e-6)
    plain = VAE(latents=3, encoder=MLP((8,)), decoder=MLP((8,)), epochs=2, objective=Distortion(), **SMALL).fit(BITS)
    assert code(plain) == {"units": 3, "through": "3 numbers", "point": "posterior mean"}
