"""Codebooks: against k-means by loops, sums over all codes, and gradients by hand."""

import json

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from sklearn.datasets import load_digits

from latens import VAE
from latens.data import load
from latens.distributions import Categorical
from latens.metrics import evaluate
from latens.models import FiniteScalar, Free, GumbelSoftmax, UniformCodes, VectorQuantised
from latens.models.codebook import Codebook
from latens.neural.task import Task
from latens.nn import MLP, Site
from latens.objectives import ELBO, Commitment, Distortion, Rate
from latens.training import loop
from latens.utils.errors import InputError

BITS = (load_digits().images > 7.5).astype(np.uint8)
LOSS = Distortion() + 0.25 * Commitment()
SMALL = {"latents": 3, "encoder": MLP((24,)), "decoder": MLP((24,)), "learning_rate": 0.01, "random_state": 0}


def rows(n=60, size=2, seed=0):
    return torch.randn(n, size, generator=torch.Generator().manual_seed(seed))


def quantiser(spec, latents=4, batch=50, seed=0):
    torch.manual_seed(seed)
    z = torch.randn(batch, latents, spec.inputs)
    return spec.build(Site((latents * spec.width,), (latents, spec.inputs), events=z)), z


CODERS = {
    "one codebook": VectorQuantised(8, 3),
    "codebooks in turn": VectorQuantised(8, 3, stages=3),
    "levels": FiniteScalar((4, 3, 5)),
    "an even number of levels": FiniteScalar(2),
}
every = pytest.mark.parametrize("spec", CODERS.values(), ids=CODERS)


@every
def test_codes_are_read_as_the_values_that_rounding_gave(spec):
    module, z = quantiser(spec)
    q = module(z)
    value, code = q.rsample_and_code((2,))
    assert value.shape == (2, 50, 4 * spec.width)
    assert code.shape == (2, 50, 4 * spec.stages)
    assert torch.equal(module.embed(code), value)
    assert ((code >= 0) & (code < spec.classes) & (code == code.round())).all()


@every
def test_the_gradient_passes_straight_through(spec):
    module, z = quantiser(spec)
    z.requires_grad_()
    weights = torch.randn(50, 4 * spec.width)
    value = module(z).value
    (ours,) = torch.autograd.grad((weights * value).sum() + value.square().sum(), z)
    slope = (weights + 2 * value.detach()).unflatten(-1, (4, spec.width))
    theirs = slope if isinstance(spec, VectorQuantised) else slope * (1 - z.detach().tanh().square())
    torch.testing.assert_close(ours, theirs)


@every
def test_distinct_codes_have_distinct_values_of_which_the_nearest_is_taken(spec):
    module, z = quantiser(spec)
    if spec.stages > 1:
        pytest.skip("rounded stage by stage")
    table = module.embed(torch.arange(spec.classes).float()[:, None].expand(-1, 4)).unflatten(-1, (4, -1))[:, 0]
    assert len(torch.unique(table, dim=0)) == spec.classes
    seen = z if isinstance(spec, VectorQuantised) else z.tanh()
    distance = (seen[:, :, None] - table).square().sum(-1)
    assert torch.equal(module(z).code, distance.argmin(-1).float())


def test_levels_are_even_and_reach_from_end_to_end():
    module, _ = quantiser(FiniteScalar((3, 4)), 1)
    values = module.embed(torch.arange(12.0)[:, None])
    assert sorted(set(values[:, 0].tolist())) == [-1.0, 0.0, 1.0]
    np.testing.assert_allclose(sorted(set(values[:, 1].tolist())), [-1, -1 / 3, 1 / 3, 1], atol=1e-6)
    far = module(torch.tensor([[[-50.0, 50.0]], [[50.0, -50.0]]]))
    assert far.value.tolist() == [[-1.0, 1.0], [1.0, -1.0]]


@every
def test_what_is_not_a_number_is_in_the_value_and_not_in_the_code(spec):
    module, z = quantiser(spec)
    z[3, 1, 0] = float("nan")
    q = module(z)
    assert q.value.isnan().any(-1).tolist() == [i == 3 for i in range(50)]
    assert ((q.code >= 0) & (q.code < spec.classes)).all()


def test_stages_round_what_the_ones_before_them_leave():
    module, z = quantiser(VectorQuantised(8, 3, stages=3), latents=1)
    q, commitment = module(z), 0.0
    rest = z[:, 0].numpy().copy()
    for stage in range(3):
        vectors = module.stages[stage].vectors.numpy()
        index = ((rest[:, None] - vectors) ** 2).sum(-1).argmin(-1)
        np.testing.assert_array_equal(q.code[:, stage], index)
        rest = rest - vectors[index]
        commitment = commitment + (rest**2).sum(-1)
    np.testing.assert_allclose(q.commitment, commitment, rtol=1e-5)
    assert (rest**2).sum() < 0.5 * (module(z).inputs[1] ** 2).sum()


def test_commitment_pulls_the_encoder_to_its_vectors_alone():
    module, z = quantiser(VectorQuantised(8, 3))
    z.requires_grad_()
    (slope,) = torch.autograd.grad(module(z).commitment.sum(), z)
    torch.testing.assert_close(slope, 2 * (z - module.embed(module(z).code).unflatten(-1, (4, 3))).detach())
    assert not list(module.parameters())


def test_without_a_past_a_step_is_one_of_k_means():
    x = rows()
    book = Codebook(x[:5].clone(), 0.0, 0.0)
    for _ in range(3):
        index = book.nearest(x)
        slow = [x[index == c].mean(0) for c in range(5)]
        book.follow(x, index)
        torch.testing.assert_close(book.vectors, torch.stack(slow))
    assert torch.equal(book.use, index.bincount(minlength=5).float())


def test_a_step_is_that_of_moving_sums():
    """m <- d m + (1 - d) sum, n <- d n + (1 - d) count, e = m / n, with loops."""
    start = rows(4, seed=1)
    book, n, m = Codebook(start.clone(), 0.9, 0.0), np.ones(4), start.double().numpy().copy()
    for seed in range(2, 8):
        x = rows(30, seed=seed)
        x[:, 0] = x[:, 0].abs()  # so that some code is not always used
        index = book.nearest(x)
        book.follow(x, index)
        for c in range(4):
            mine = [v for v, i in zip(x.double().numpy(), index.tolist()) if i == c]
            n[c] = 0.9 * n[c] + 0.1 * len(mine)
            m[c] = 0.9 * m[c] + 0.1 * np.sum(mine, axis=0) if mine else 0.9 * m[c]
        np.testing.assert_allclose(book.vectors, m / n[:, None], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(book.use, n, rtol=1e-5)


def test_dead_codes_begin_anew_where_the_data_are():
    torch.manual_seed(0)
    far = torch.full((6, 2), 50.0) + torch.arange(6.0)[:, None]
    used = {}
    for revive in (0.0, 0.05):
        book = Codebook(torch.cat([torch.zeros(2, 2), far]), 0.9, revive)
        for seed in range(60):
            x = rows(seed=seed)
            book.follow(x, book.nearest(x))
        used[revive] = len(book.nearest(rows(500)).unique())
    assert used[0.0] <= 2
    assert used[0.05] == 8


def test_numbers_that_are_not_finite_move_nothing():
    x = rows()
    book = Codebook(x[:5].clone(), 0.9, 0.5)
    x[7, 1] = float("nan")
    book.follow(x, book.nearest(x))
    assert torch.equal(book.vectors, rows()[:5])
    assert torch.equal(book.use, torch.ones(5))


SCRIPT = """
import json, torch
from latens.models.codebook import Codebook
from latens.training.parallel import World
world = World.join(torch.device("cpu"))
x = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
torch.manual_seed(world.rank)
out = []
for revive in (0.0, 0.2):
    book = Codebook(torch.cat([x[:3], x[:1] + 99.0]), 0.9, revive)
    for _ in range(40):
        mine = x[world.rank :: world.size]
        book.follow(mine, book.nearest(mine))
    out.append(book.vectors.tolist())
print(json.dumps(out))
"""


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without distributed")
def test_the_codebooks_of_several_processes_are_one_and_follow_all_rows(group):
    processes = group(2, SCRIPT)
    assert [process.wait() for process in processes] == [0, 0]
    first, second = (json.loads(process.said()[0]) for process in processes)
    assert first == second
    x = rows()
    alone = Codebook(torch.cat([x[:3], x[:1] + 99.0]), 0.9, 0.0)
    for _ in range(40):
        alone.follow(x, alone.nearest(x))
    np.testing.assert_allclose(first[0], alone.vectors, rtol=1e-4, atol=1e-4)
    assert np.abs(first[0]).max() > 50
    assert np.abs(first[1]).max() < 5  # revived, at the same place in both


# -- models ---------------------------------------------------------------------------------------------------------


def fitted(posterior, epochs=12, X=BITS, **settings):
    objective = LOSS if isinstance(posterior, VectorQuantised) else Distortion() + Rate()
    return VAE(posterior=posterior, epochs=epochs, **SMALL | {"objective": objective} | settings).fit(X)


@pytest.mark.parametrize(
    "posterior", [VectorQuantised(16, 4), VectorQuantised(8, 4, stages=2), FiniteScalar((4, 4))], ids=repr
)
def test_digits_use_most_of_the_codes_and_are_told_better(posterior):
    vae = fitted(posterior, 12)
    first, last = vae.history_.rows[0]["held_out_distortion"], vae.history_.rows[-1]["held_out_distortion"]
    assert last < 0.75 * first
    codes = vae.transform(BITS)
    assert codes.shape == (len(BITS), 3 * posterior.stages)
    assert len(np.unique(codes)) > 0.75 * posterior.classes
    np.testing.assert_array_equal(vae.inverse_transform(codes), vae.reconstruct(BITS))
    assert vae.reconstruction_error(BITS).mean() < 0.8 * BITS.var(0).mean()


PAIRS = {
    "a codebook, learned": (VectorQuantised(4, 2), Free(Categorical(4))),
    "levels, uniform": (FiniteScalar((2, 2)), None),
    "codebooks in turn, learned": (VectorQuantised(2, 2, 2), Free(Categorical(2))),
}


@pytest.mark.parametrize("name", PAIRS)
def test_scores_are_the_joint_mass_of_row_and_code_and_a_lower_bound(name):
    X = BITS[:, 3:5].reshape(-1, 16)
    posterior, prior = PAIRS[name]
    objective = ELBO() if isinstance(posterior, FiniteScalar) else LOSS + Rate()
    vae = fitted(posterior, 4, X, prior=prior, latents=2, objective=objective)
    n = vae._n_features_out
    codes = torch.cartesian_prod(*[torch.arange(float(posterior.classes))] * n)
    model = vae.model_
    with torch.no_grad():
        params = model.likelihood.network(model.posterior.quantiser.embed(codes)) + model.likelihood.offset
        log_p = model.prior().log_prob(codes).double()
    some = torch.from_numpy(X[:200]).double()
    log_x = -(torch.nn.functional.softplus(params.double() * (1 - 2 * some[:, None]))).sum(-1)
    joint = log_x + log_p
    place = (torch.from_numpy(vae.transform(X[:200]))[:, None] == codes).all(-1).long().argmax(1)
    scores = vae.score_samples(X[:200])
    np.testing.assert_allclose(scores, joint.gather(1, place[:, None])[:, 0], atol=1e-4)
    assert (scores <= joint.logsumexp(1).numpy() + 1e-6).all()
    np.testing.assert_array_equal(vae.score_samples(X[:200], k=7), scores)
    assert log_p.exp().sum().item() == pytest.approx(1.0, abs=1e-5)
    if prior is None:
        np.testing.assert_allclose(log_p, -n * np.log(posterior.classes), rtol=1e-6)
    else:
        seen = vae.transform(X).astype(int)
        worth = model.prior().log_prob(torch.from_numpy(seen).float()).mean().item()
        assert worth > -n * np.log(posterior.classes) + 0.02


def test_the_information_of_certain_codes_is_their_entropy():
    vae = fitted(VectorQuantised(4, 2), 4, latents=2)
    figures = evaluate(vae, BITS[:500])
    _, counts = np.unique(vae.transform(BITS[:500]), axis=0, return_counts=True)
    assert len(counts) > 3
    assert figures.mutual_information == pytest.approx(entropy(counts), rel=1e-5)
    assert figures.k == 1
    assert figures.log_likelihood == pytest.approx(vae.score(BITS[:500]), rel=1e-6)
    assert figures.negative_elbo == pytest.approx(-figures.log_likelihood, rel=1e-5)


def test_codebooks_follow_training_and_nothing_else():
    vae = fitted(VectorQuantised(8, 2), 2)
    before = {name: b.clone() for name, b in vae.model_.named_buffers()}
    start = vae._untrained(vae._site(BITS[:500], None)).posterior.quantiser.stages[0]
    assert not torch.equal(start.vectors, before["posterior.quantiser.books.0.vectors"])
    vae.score_samples(BITS[:100])
    vae.transform(BITS)
    vae.sample(10)
    assert all(torch.equal(before[name], b) for name, b in vae.model_.named_buffers())


@pytest.mark.parametrize("posterior", [VectorQuantised(8, 2, stages=2, revive=0.5), FiniteScalar((3, 3))], ids=repr)
def test_replayed_training_has_the_same_bits(posterior, monkeypatch):
    states = []
    for steps in (0, 10**9):
        monkeypatch.setattr(loop, "REPLAY_STEPS", steps)
        kept = []
        monkeypatch.setattr(loop, "faithful", lambda *a, f=loop.faithful, kept=kept: kept.append(f(*a)) or kept[-1])
        states.append(fitted(posterior, 2, BITS[:300]).model_.state_dict())
        assert [r is not None for r in kept] == ([True] if steps == 0 else [])
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


class Stop(Exception):
    pass


@pytest.mark.parametrize("stop_at", [3, 14])
def test_interrupted_and_resumed_gives_the_same_bits(tmp_path, monkeypatch, stop_at):
    for name, value in {
        "CHECKPOINT_SECONDS": 0.0,
        "CHECKPOINT_SHARE": 1e9,
        "CHECK_STEPS": 2,
        "SNAPSHOT_STEPS": 2,
    }.items():
        monkeypatch.setattr(loop, name, value)
    settings = SMALL | {
        "objective": LOSS,
        "epochs": 3,
        "batch_size": 40,
        "posterior": VectorQuantised(8, 2, 2, revive=0.7),
    }
    source = load(BITS[:300])
    whole = VAE(**settings).fit(source).model_.state_dict()
    call, calls = Task.__call__, iter(range(10**6))

    def stopping(task, batch, progress):
        if task.model.training and next(calls) == stop_at:
            raise Stop
        return call(task, batch, progress)

    monkeypatch.setattr(Task, "__call__", stopping)
    with pytest.raises(Stop):
        VAE(**settings)._fit(source, checkpoint=tmp_path / "c.safetensors")
    monkeypatch.setattr(Task, "__call__", call)
    again = VAE(**settings)._fit(source, checkpoint=tmp_path / "c.safetensors").model_.state_dict()
    assert all(torch.equal(whole[key], again[key]) for key in whole)


REFUSED = {
    "commitment without a codebook": (GumbelSoftmax(3), Distortion() + Commitment(), "posterior with a codebook"),
    "commitment to levels": (FiniteScalar(4), LOSS, "posterior with a codebook"),
    "path gradients": (VectorQuantised(8, 2), ELBO("path"), "draws carry gradients"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_in_one_line(name):
    posterior, objective, words = REFUSED[name]
    with pytest.raises(InputError, match=words) as caught:
        fitted(posterior, 1, objective=objective)
    assert "\n" not in str(caught.value)


WRONG = {
    "one class": lambda: VectorQuantised(1),
    "no numbers": lambda: VectorQuantised(8, 0),
    "no stage": lambda: VectorQuantised(8, 2, 0),
    "no step": lambda: VectorQuantised(8, 2, decay=1.0),
    "all anew": lambda: VectorQuantised(8, 2, revive=1.0),
    "one level": lambda: FiniteScalar((8, 1)),
    "no levels": lambda: FiniteScalar(()),
    "half a level": lambda: FiniteScalar((2.5,)),
    "too many": lambda: FiniteScalar((1000, 1000, 1000)),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_settings_are_refused(name):
    with pytest.raises(InputError):
        WRONG[name]()


def test_uniform_codes_stand_for_all_stages():
    assert fitted(VectorQuantised(4, 2, 2), 1, prior=UniformCodes()).model_.prior().event_shape == (6,)
