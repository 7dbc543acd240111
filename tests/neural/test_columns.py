"""Maps of columns: masses sum to one, densities integrate to one, in the user's units; rows come back."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from latens.data import Column
from latens.data.table import TableSource, schema_of
from latens.distributions import Beta, Categorical, MixtureOf, NegativeBinomial, Normal, Poisson, Product
from latens.neural.cells import cells
from latens.neural.columns import restored, units_of
from latens.neural.support import check_support
from latens.utils.errors import InputError

RNG = np.random.default_rng(0)
LATTICES = {
    "many levels": np.rint(RNG.normal(50, 30, 2000)),
    "few levels": RNG.integers(3, 9, 500).astype(float),
    "zero and a tail": np.where(RNG.random(2000) < 0.9, 0.0, np.rint(RNG.lognormal(7, 1, 2000))),
    "few values far apart": RNG.choice([0.0, 100.0, 5000.0], 300),
    "one value": np.full(20, 7.0),
    "in fives": 5.0 * RNG.integers(0, 400, 1000),
}


def table(*columns, n=1500, seed=0):
    """A source of these pairs of a column and its values."""
    return TableSource([values for _, values in columns], schema_of([c for c, _ in columns]), ("pandas", (), ()))


def one(kind, values, head, **more):
    """The units of a table of one column."""
    column = Column("x", kind, low=float(np.nanmin(values)), high=float(np.nanmax(values)), **more)
    return units_of(table((column, values)), Product((head,)))


@pytest.mark.parametrize("n", [2, 3, 8, 40])
@pytest.mark.parametrize("values", LATTICES.values(), ids=LATTICES)
def test_masses_inside_every_cell_sum_to_one(values, n):
    step = 5.0 if values.max() > 1900 and not (values % 5).any() and len(values) == 1000 else 1.0
    found = cells(values, n, step)
    assert sorted(set(np.floor(found.starts))) == list(range(n))
    assert (np.diff(found.starts) > 0).all()
    assert (np.diff(found.edges) > 0).all()
    units = one("integer", values, Categorical(n), step=step)
    x = values.min() + step * np.arange(-150_000, 400_000)
    u, volume = units._map(torch.from_numpy(x)[:, None])
    place, volume = u[:, 0].long(), volume[:, 0]
    assert place.min() == 0
    assert place.max() == n - 1
    total = torch.zeros(n, dtype=torch.float64).index_add(0, place, volume.exp())
    torch.testing.assert_close(total, torch.ones_like(total), rtol=1e-6, atol=1e-6)


def test_a_count_has_no_mass_below_zero():
    units = one("count", LATTICES["zero and a tail"], Categorical(12))
    x = torch.arange(0.0, 200_000.0, dtype=torch.float64)[:, None]
    place, volume = units(x)[:, 0].long(), units._map(x)[1][:, 0]
    total = torch.zeros(12, dtype=torch.float64).index_add(0, place, volume.exp())
    torch.testing.assert_close(total, torch.ones_like(total), rtol=1e-6, atol=1e-6)
    assert volume[0] == 0  # zero, which most are, has a cell of its own


def test_densities_inside_every_cell_integrate_to_one():
    units = one("real", RNG.gamma(2.0, 3.0, 1000), Categorical(6))
    edges = units.edges[0].tolist()
    ends = [edges[0] - 400, *edges, edges[-1] + 400]
    density = lambda x: units._map(torch.tensor([[x]], dtype=torch.float64))[1].exp().item()  # noqa: E731
    for low, high in itertools.pairwise(ends):
        assert quad(density, low + 1e-12, high - 1e-12, limit=200)[0] == pytest.approx(1.0, abs=1e-6)


def test_a_spike_has_a_mass_and_the_rest_a_density():
    values = np.where(RNG.random(1000) < 0.6, 0.0, RNG.gamma(2.0, 1.0, 1000))
    units = one("real", values, Categorical(8), spikes=(0.0,))
    x = torch.tensor([[0.0], [1e-9], [-1e-9]], dtype=torch.float64)
    place, volume = units(x)[:, 0], units._map(x)[1][:, 0]
    assert place[0] != place[1]
    assert place[0] != place[2]
    assert volume[0] == 0
    drawn = units.real(place[:1].expand(50)[:, None], drawn=True)
    assert (drawn == 0).all()


SMOOTH = {
    "normal": RNG.normal(5, 2, 3000),
    "lognormal": RNG.lognormal(0, 2, 3000),
    "two heaps": np.r_[RNG.normal(-8, 0.3, 1500), RNG.normal(9, 1.5, 1500)],
    "rounded": np.round(RNG.normal(0, 1, 500), 1),
    "few": RNG.normal(0, 1e-6, 5) + 1e3,
}


@pytest.mark.parametrize("values", SMOOTH.values(), ids=SMOOTH)
def test_the_log_volume_of_a_real_column_is_the_slope_by_autodiff(values):
    units = one("real", values, Normal("element"))
    span = np.ptp(values)
    x = torch.linspace(values.min() - span, values.max() + span, 501, dtype=torch.float64)[:, None].requires_grad_()
    u = (x - units.shift) / units.scale
    from latens.distributions import Spline

    mapped, volume = Spline(units.knots, units.slopes).apply(u)[0], units._map(x)[1]
    (slope,) = torch.autograd.grad(mapped.sum(), x)
    torch.testing.assert_close(volume, slope.log(), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(units(x.detach()).double(), mapped.detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("values", SMOOTH.values(), ids=SMOOTH)
def test_the_marginal_density_integrates_to_one_in_the_users_units(values):
    units = one("real", values, Normal("element"))
    knots = (units.knots[0, 0] * units.scale + units.shift).tolist()
    span = knots[-1] - knots[0]
    normal = torch.distributions.Normal(0.0, 1.0)

    far = np.geomspace(1.0, 40.0, 200) * span
    edges = [knots[0] - far[::-1], np.linspace(knots[0] - span, knots[-1] + span, 2001), knots, knots[-1] + far]
    edges = np.unique(np.concatenate(edges))
    node, weight = np.polynomial.legendre.leggauss(10)
    half = np.diff(edges)[:, None] / 2
    u, volume = units._map(torch.from_numpy((edges[:-1, None] + half) + half * node).reshape(-1, 1))
    density = (normal.log_prob(u.double()) + volume).exp().flatten().numpy()
    total = (half * weight).ravel() @ density
    assert total == pytest.approx(1.0, abs=2e-3)


def mixed(n=400, seed=1):
    """Columns of every kind."""
    g = np.random.default_rng(seed)
    return table(
        (Column("city", "category", categories=("A", "B", "C")), g.integers(0, 3, n).astype(float)),
        (Column("always", "constant", low=3.0, high=3.0), np.full(n, 3.0)),
        (Column("height", "real", low=0.0, high=9.0), g.uniform(0, 9, n)),
        (Column("age", "integer", low=18.0, high=90.0, levels=73), g.integers(18, 91, n).astype(float)),
        (Column("sick", "boolean", high=1.0), g.integers(0, 2, n).astype(float)),
        (Column("visits", "count", high=40.0), np.minimum(g.poisson(3, n), 40).astype(float)),
        (Column("born", "date", low=0.0, high=7000.0, levels=7001, unit="D"), g.integers(0, 7001, n).astype(float)),
    )


HEADS = Product(
    (
        Categorical(3),
        MixtureOf(Normal("element"), 2),
        Categorical(20),
        Categorical(2),
        NegativeBinomial(),
        Categorical(8),
    )
)


def test_rows_come_back():
    source = mixed()
    units = units_of(source, HEADS)
    assert units.event_shape == (6,)
    x = units(torch.from_numpy(source.take(np.arange(len(source)))))
    torch.manual_seed(0)
    back = units.real(x, drawn=True)
    exact = [0, 1, 4, 5]
    assert np.array_equal(back[:, exact], source.take(np.arange(len(source)))[:, exact])
    assert np.allclose(back[:, 2], source.take(np.arange(len(source)))[:, 2], rtol=1e-4, atol=1e-4)
    assert torch.equal(units(torch.from_numpy(back))[:, [2, 5]], x[:, [2, 5]])  # the same cells
    assert np.array_equal(back[:, [3, 6]], np.rint(back[:, [3, 6]]))


def test_draws_inside_a_cell_follow_its_masses():
    units = one("integer", LATTICES["many levels"], Categorical(5))
    torch.manual_seed(0)
    x = torch.from_numpy(np.arange(-100.0, 200.0))[:, None]
    place, volume = units(x)[:, 0], units._map(x)[1][:, 0]
    for cell in range(5):
        drawn = units.real(torch.full((20_000, 1), float(cell)), drawn=True)[:, 0]
        mass = torch.where(place == cell, volume.exp(), 0.0).numpy()
        values = np.clip(x[:, 0].numpy(), units.columns[0].low, units.columns[0].high)
        mean, second = (mass * values).sum(), (mass * values**2).sum()
        assert abs(drawn.mean() - mean) < 5 * math.sqrt(max(second - mean**2, 1e-3) / len(drawn))


@pytest.mark.parametrize("n", [3, 8])
@pytest.mark.parametrize(("name", "kind"), [("many levels", "integer"), ("zero and a tail", "count")])
def test_the_row_that_stands_for_a_distribution_is_the_mean_of_its_draws(name, kind, n):
    values, heads = LATTICES[name], Product((Categorical(n), Categorical(2)))
    number = Column("x", kind, low=values.min(), high=values.max())
    units = units_of(table((number, values), (Column("b", "boolean", high=1.0, levels=2), values * 0)), heads)
    p = heads(torch.from_numpy(RNG.normal(size=n + 2)).float().expand(40_000, -1), (2,))
    drawn = units.of_moments(units.moments(p).mean(0, keepdim=True))
    assert units.located(p)[0, 0] == pytest.approx(drawn[0, 0], abs=0.03 * values.std())
    assert units.located(p)[0, 1] == drawn[0, 1]


def test_missing_entries_have_no_volume():
    source = mixed()
    units = units_of(source, HEADS)
    rows = torch.from_numpy(source.take(np.arange(len(source))))
    entries = units._map(rows[:, units.kept])[1]
    rows[::2, 2] = math.nan
    rows[1::2, 3] = math.nan
    x, observed, volume = units.observe(rows)
    assert torch.isfinite(x).all()
    expected = (entries * observed).sum(1)
    assert not observed[0, 1]
    assert not observed[1, 2]
    torch.testing.assert_close(volume.double(), expected, rtol=1e-5, atol=1e-5)


def test_saved_units_are_the_same():
    source = mixed()
    units = units_of(source, HEADS)
    arrays = {name: t.numpy() for name, t in units.state_dict().items()}
    again = restored(source.schema, HEADS, arrays)
    rows = torch.from_numpy(source.take(np.arange(len(source))))
    for a, b in zip(units.told(rows), again.told(rows)):
        assert torch.equal(a, b)
    x = units(rows)
    torch.manual_seed(0)
    first = units.real(x, drawn=True)
    torch.manual_seed(0)
    assert np.array_equal(first, again.real(x, drawn=True))


def test_rare_categories_share_the_last_cell():
    column = Column("word", "category", categories=tuple("abcdef"), rare=(0.5, 0.25, 0.25))
    source = table((column, RNG.integers(0, 6, 100).astype(float)))
    units = units_of(source, Product((Categorical(4),)))
    x, volume = units._map(torch.arange(6.0, dtype=torch.float64)[:, None])
    assert x[:, 0].tolist() == [0, 1, 2, 3, 3, 3]
    assert volume[:, 0].exp().tolist() == pytest.approx([1, 1, 1, 0.5, 0.25, 0.25])
    torch.manual_seed(0)
    drawn = units.real(torch.full((4000, 1), 3.0), drawn=True)[:, 0]
    shares = [(drawn == i).mean() for i in (3, 4, 5)]
    assert shares == pytest.approx([0.5, 0.25, 0.25], abs=0.04)


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        (Product((Categorical(3),)), "a head for each of the 6 columns"),
        (Product((Categorical(2), *HEADS.heads[1:])), "'city' .* expects Categorical\\(3\\)"),
        (Product((Normal(), *HEADS.heads[1:])), "'city' .* expects Categorical\\(3\\)"),
        (Product((*HEADS.heads[:2], Normal("element"), *HEADS.heads[3:])), "'age' .* mass on whole numbers"),
        (Product((*HEADS.heads[:3], Poisson(), *HEADS.heads[4:])), "'sick' .* expects Categorical\\(2\\)"),
        (Product((Categorical(3), Poisson(), *HEADS.heads[2:])), "'height' .* head of real numbers"),
    ],
)
def test_heads_that_do_not_fit_are_refused_with_the_column_named(heads, message):
    with pytest.raises(InputError, match=message):
        check_support(mixed().schema, heads)


def test_heads_of_another_support_fit_too():
    values = RNG.uniform(2, 5, 100)
    units = one("real", values, Beta())
    x, volume = units.told(torch.from_numpy(values)[:, None])
    assert (x > 0).all()
    assert (x < 1).all()
    assert volume[0].item() == pytest.approx(-math.log(np.ptp(values) * 1.002))
