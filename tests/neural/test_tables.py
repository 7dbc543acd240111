"""From a frame of columns of several kinds to a density of them, and back."""

import itertools

import numpy as np
import pandas as pd
import pytest

import latens
from latens import VAE
from latens.metrics import evaluate
from latens.nn import MLP
from latens.utils.errors import InputError


def frame(n=300, seed=0):
    """Sex, a group that depends on it, a number that depends on the group, and a constant."""
    g = np.random.default_rng(seed)
    sex = g.integers(0, 2, n)
    group = np.where(g.random(n) < 0.8, sex, 2)
    return pd.DataFrame(
        {
            "sex": np.array(["F", "M"])[sex],
            "group": np.array(["a", "b", "c"])[group],
            "planet": "earth",
            "smokes": g.random(n) < 0.3,
        }
    )


SMALL = {"latents": 2, "encoder": MLP((16,)), "decoder": MLP((16,)), "random_state": 0, "patience": 0}


@pytest.fixture(scope="module")
def fitted():
    return VAE(epochs=30, learning_rate=0.01, batch_size=64, **SMALL).fit(frame())


def test_the_masses_of_all_rows_sum_to_one(fitted):
    rows = pd.DataFrame(
        list(itertools.product("FM", "abc", ["earth"], [False, True])), columns=["sex", "group", "planet", "smokes"]
    )
    assert fitted.is_mass
    assert np.exp(fitted.score_samples(rows, k=4000)).sum() == pytest.approx(1.0, abs=0.01)


def test_samples_are_a_frame_like_the_one_fitted(fitted):
    X, new = frame(), fitted.sample(2000)
    assert list(new.columns) == list(X.columns)
    assert (new.dtypes == X.dtypes).all()
    assert set(new["planet"]) == {"earth"}
    assert new["smokes"].mean() == pytest.approx(X["smokes"].mean(), abs=0.07)
    assert (new["group"] == "c").mean() == pytest.approx((X["group"] == "c").mean(), abs=0.07)


def test_a_missing_entry_is_summed_over(fitted):
    """p(sex, smokes) = sum over groups of p(sex, group, smokes)."""
    whole = pd.DataFrame({"sex": "F", "group": list("abc"), "planet": "earth", "smokes": False})
    part = whole.iloc[:1].assign(group=[None])
    assert np.exp(fitted.score_samples(whole, k=4000)).sum() == pytest.approx(
        np.exp(fitted.score_samples(part, k=4000))[0], rel=0.03
    )


def test_columns_are_told_by_name(fitted):
    X = frame(20)
    shuffled = X[["smokes", "planet", "group", "sex"]]
    assert np.array_equal(fitted.score_samples(X), fitted.score_samples(shuffled))


def test_reconstructions_are_categories_and_codes_decode(fitted):
    X = frame(20)
    back = fitted.reconstruct(X)
    assert set(back["group"]) <= {"a", "b", "c"}
    assert list(fitted.inverse_transform(fitted.transform(X)).columns) == list(X.columns)


def test_the_errors_of_what_comes_back_are_told_by_column(fitted):
    X = frame()
    back, found = fitted.reconstruct(X), evaluate(fitted, X, k=2)
    assert found.reconstruction_error is None
    assert found.column_errors == {}
    wrong = {name: (back[name] != X[name]).mean() for name in ("sex", "group", "smokes")}
    assert found.wrong_categories == pytest.approx(wrong)


def test_a_saved_model_scores_and_draws_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "table.latens")
    again = latens.load(tmp_path / "table.latens")
    X = frame(20, seed=1)
    assert np.array_equal(again.score_samples(X), fitted.score_samples(X))
    assert again.sample(10).equals(fitted.sample(10))


def test_numbers_of_every_kind_are_learned():
    g = np.random.default_rng(0)
    n = 400
    z = g.normal(size=n)
    X = pd.DataFrame(
        {
            "height": 170 + 10 * z + g.normal(size=n),
            "age": np.clip(np.rint(40 + 15 * z), 18, 90).astype(int),
            "day": pd.Timestamp("2020-01-01") + pd.to_timedelta(np.rint(100 + 30 * z), unit="D"),
            "rain": np.where(g.random(n) < 0.6, 0.0, g.gamma(2.0, 3.0, n)),
            "mood": pd.Categorical.from_codes((z > 0).astype(int), ["low", "high"]),
        }
    )
    X.loc[::7, "age"] = np.nan
    X.loc[::5, "mood"] = None
    vae = VAE(epochs=30, learning_rate=0.02, batch_size=100, **SMALL).fit(X)
    new = vae.sample(1500)
    assert (new.dtypes == X.dtypes).all()
    for name in ("height", "age", "rain"):
        assert X[name].min() <= new[name].min()
        assert new[name].max() <= X[name].max()
        assert new[name].mean() == pytest.approx(X[name].mean(), abs=0.35 * X[name].std())
    assert X["day"].min() <= new["day"].min()
    assert (new["rain"] == 0).mean() == pytest.approx(0.6, abs=0.08)
    assert new["height"].corr(new["age"]) > 0.5
    assert np.isfinite(vae.score_samples(X)).all()


def shares(X):
    """How often each row occurs."""
    return X.value_counts(normalize=True)


def test_draws_given_some_columns_follow_bayes_rule(fitted):
    """p(group, smokes | sex) from the model's own masses of all rows."""
    rows = pd.DataFrame(
        list(itertools.product("M", "abc", ["earth"], [False, True])), columns=["sex", "group", "planet", "smokes"]
    )
    mass = np.exp(fitted.score_samples(rows, k=4000))
    expected = mass / mass.sum()
    drawn = fitted.sample(4000, given={"sex": "M"}, random_state=1)
    assert (drawn.dtypes == frame().dtypes).all()
    assert set(drawn["sex"]) == {"M"}
    found = shares(drawn).reindex(pd.MultiIndex.from_frame(rows), fill_value=0.0).to_numpy()
    assert (np.abs(found - expected) < 5 * np.sqrt(expected / 1000) + 0.01).all()
    assert fitted.sample(5, given={"sex": "M"}).equals(fitted.sample(5, given={"sex": "M"}))


def test_the_most_probable_category_completes_a_row(fitted):
    part = pd.DataFrame(
        {"sex": ["F", "M", "M"], "group": ["a", None, None], "planet": "earth", "smokes": [True, False, None]}
    )
    whole = fitted.complete(part, k=2000)
    assert whole["sex"].tolist() == ["F", "M", "M"]
    assert whole["group"].tolist() == ["a", "b", "b"]
    assert whole["smokes"].tolist() == [True, False, False]
    several = fitted.complete(part, n=3)
    assert len(several) == 3
    assert all(list(some["sex"]) == ["F", "M", "M"] for some in several)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sexx": "F"}, "'sexx', which was not fitted; did you mean 'sex'"),
        ({"sex": "N"}, "the column 'sex' holds F, M; got 'N'"),
        ({"smokes": "maybe"}, "the column 'smokes' holds"),
        ({}, "got all or none"),
        ({"sex": "F", "group": "a", "planet": "earth", "smokes": True}, "got all or none"),
    ],
)
def test_what_cannot_be_given_is_told_in_one_line(fitted, given, message):
    with pytest.raises(InputError, match=message) as caught:
        fitted.sample(3, given=given)
    assert "\n" not in str(caught.value)


def test_draws_of_numbers_given_others_are_those_of_the_conditional_normal():
    g = np.random.default_rng(0)
    z = g.normal(size=(2000, 1))
    X = np.hstack([z + 10.0, 0.9 * z + 0.3 * g.normal(size=(2000, 1))])
    vae = VAE(epochs=15, learning_rate=0.02, batch_size=128, **SMALL).fit(X)
    drawn = vae.sample(2000, given=[11.0, np.nan], random_state=0)
    assert (drawn[:, 0] == 11.0).all()
    assert drawn[:, 1].mean() == pytest.approx(0.9, abs=0.12)
    assert drawn[:, 1].std() == pytest.approx(0.3, abs=0.1)
