"""Densities without a latent space at the shell: the same verbs, and one that chooses."""

import json
import re

import numpy as np
import pytest

import latens
from latens.data import load
from latens.density import GaussianMixture, KernelDensity, compare


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A file of a table with a column of text."""
    rng = np.random.RandomState(0)
    height, group = rng.normal(170.0, 8.0, 150), rng.randint(0, 2, 150)
    weight = 0.9 * height - 80 + rng.normal(0, 7, 150) + 25 * group
    lines = [f"p{i},{h!r},{w!r},{'ab'[g]}" for i, (h, w, g) in enumerate(zip(height.tolist(), weight.tolist(), group))]
    file = tmp_path_factory.mktemp("people") / "people.csv"
    file.write_text("\n".join(["name,height,weight,town", *lines]))
    return file


def columns(file, *names):
    source = load(file, columns=names)
    return source.take(np.arange(len(source)))


@pytest.fixture(scope="module")
def kde(people, tmp_path_factory):
    """The run of a kernel density of one column."""
    path = tmp_path_factory.mktemp("runs") / "kde"
    flags = ["--columns", "height", "--model", "KernelDensity(bandwidth='isj')"]
    assert latens.cli.main(["train", str(people), "-o", str(path), *flags]) == 0
    return path


def test_the_run_holds_what_python_would_fit(kde, people):
    rows = columns(people, "height")
    expected, found = KernelDensity(bandwidth="isj").fit(rows), latens.load(kde)
    np.testing.assert_array_equal(found.score_samples(rows), expected.score_samples(rows))
    about = json.loads((kde / "model.json").read_text())
    held_out = compare({"": KernelDensity("isj")}, rows).lines[0]
    assert about["figures"]["log_likelihood"] == pytest.approx(held_out.score, rel=1e-12)
    assert about["figures"]["standard_error"] == pytest.approx(held_out.error, rel=1e-12)
    assert about["judged_on"] == "cross-validated"
    assert (
        "150 cross-validated examples, each scored by a density fitted without it" in (kde / "report.html").read_text()
    )
    assert about["estimator"] == "KernelDensity(bandwidth='isj')"
    assert not (kde / "checkpoints").exists()
    assert not (kde / "metrics.csv").exists()


def test_the_verbs_say_what_the_library_says(kde, people, tmp_path, ask):
    density, rows = latens.load(kde), columns(people, "height")
    ask("sample", kde, "-n", 6, "-o", tmp_path / "s.npy", "--seed", 5)
    np.testing.assert_array_equal(np.load(tmp_path / "s.npy"), density.sample(6, 5))
    assert ask("score", kde, people, "-o", tmp_path / "scores.csv")["mean"] == pytest.approx(density.score(rows))
    names = [line.split(",")[0].strip('"') for line in (tmp_path / "scores.csv").read_text().splitlines()]
    assert names == ["name", *(f"p{i}" for i in range(150))]
    said = ask("evaluate", kde, people)
    assert said["log_likelihood"] == pytest.approx(density.score(rows))
    assert said["bits_per_dimension"] == pytest.approx(-density.score(rows) / np.log(2))
    assert (said["n"], said["measure"]) == (150, "density")
    assert ask("info", kde)["estimator"] == "KernelDensity(bandwidth='isj')"
    assert set(ask("info", kde)["versions"]) == {"latens", "numpy"}


def test_the_report_shows_the_density(kde, people, tmp_path, ask):
    page = (kde / "report.html").read_text()
    assert page.count("<svg") == 2  # the density and its quantiles
    assert "KernelDensity" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    ask("report", kde, people, "-o", tmp_path / "again.html")
    assert "given examples" in (tmp_path / "again.html").read_text()


def test_auto_keeps_the_best_and_shows_all(people, tmp_path, ask, call):
    said = ask("train", people, "--columns", "height,weight", "--model", "auto", "-o", tmp_path / "auto")
    compared = said["compared"]
    assert [row["name"] for row in compared] == [line.name for line in _again(people).lines]
    assert said["estimator"].split("(")[0] == compared[0]["name"].split("(")[0]
    assert said["figures"]["log_likelihood"] == pytest.approx(compared[0]["score"])
    out = call("info", tmp_path / "auto")[1]
    assert all(row["name"] in out for row in compared)
    assert "Compared" in (tmp_path / "auto" / "report.html").read_text()


def _again(people):
    from latens.cli.plain import candidates
    from latens.data import load

    return compare(candidates(load(people, columns=["height", "weight"]).schema), columns(people, "height", "weight"))


def test_a_look_at_a_table_tells_of_densities_without_a_network(people, call):
    assert "latens train DATA --model auto" in call("check", people, "--columns", "height")[1]


def test_images_are_rows_too(tmp_path, ask):
    model = "GaussianMixture(2, covariance_type='diag', reg_covar=0.001)"
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.integers(0, 256, (60, 6, 5), dtype=np.uint8))
    ask("train", tmp_path / "x.npy", "--model", model, "--seed", 3, "-o", tmp_path / "run")
    ask("sample", tmp_path / "run", "-n", 4, "-o", tmp_path / "s.npy")
    drawn = np.load(tmp_path / "s.npy")
    assert (drawn.shape, drawn.dtype) == ((4, 6, 5), np.uint8)
    rows = np.load(tmp_path / "x.npy").reshape(60, 30)
    expected = GaussianMixture(2, covariance_type="diag", reg_covar=0.001, random_state=3).fit(rows)
    assert ask("evaluate", tmp_path / "run", tmp_path / "x.npy")["log_likelihood"] == pytest.approx(
        expected.score(rows)
    )


def test_a_run_that_was_killed_is_made_again(people, tmp_path, call, monkeypatch):
    from latens.cli import train as verb

    class Killed(BaseException):
        pass

    def killed(*args, **kwargs):
        raise Killed

    path = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(verb, "examine", killed)
        patched.setattr(verb.runs.shutil, "rmtree", lambda *args, **kwargs: None)
        with pytest.raises(Killed):
            latens.cli.main(["train", str(people), "--columns", "weight", "--model", "Histogram()", "-o", str(path)])
    assert not (path / "model.json").exists()
    assert call("train", "--resume", path)[0] == 0
    expected = latens.Histogram().fit(columns(people, "weight"))
    np.testing.assert_array_equal(latens.load(path).log_density_, expected.log_density_)


REFUSED = {
    "a latent space": (lambda kde, people: ["encode", kde, people], "latens encode needs a latent space"),
    "means": (lambda kde, people: ["sample", kde, "--mean"], "--mean and --noise are for a model that decodes"),
    "draws": (lambda kde, people: ["score", kde, people, "-k", 5], "a KernelDensity scores exactly"),
    "a label": (lambda kde, people: ["sample", kde, "--label", "a"], "this one was trained without"),
    "epochs": (lambda _, people: ["train", people, "--model", "Histogram()", "--epochs", 3], "Histogram has no epochs"),
    "settings with auto": (
        lambda _, people: ["train", people, "--columns", "height", "--model", "auto", "--latents", 3],
        "--model auto compares densities as they are; leave out --latents",
    ),
    "a regression": (
        lambda _, people: ["train", people, "--columns", "height", "--model", "Regression()"],
        "Regression predicts y from x, which is done from Python: Regression().fit(X, y)",
    ),
    "images with auto": (lambda *_: ["train", "digits", "--model", "auto"], "compares densities of tables"),
    "a column of text": (lambda _, people: ["train", people, "--model", "Histogram()"], "the column 'town' holds no"),
    "no such column": (
        lambda _, people: ["train", people, "--columns", "hight", "--model", "Histogram()"],
        "no column 'hight'; did you mean 'height'?",
    ),
    "a bandwidth": (
        lambda _, people: ["train", people, "--columns", "height", "--model", "KernelDensity(bandwidth=0)"],
        "bandwidth",
    ),
    "a table without the column": (lambda kde, _: ["score", kde, "iris"], "have no column height"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_it_cannot_do_is_one_line(case, kde, people, tmp_path, call, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make, message = REFUSED[case]
    status, out, err = call(*make(kde, people))
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("model", ["auto", "KernelDensity()", "GaussianMixture(2)"])
def test_a_table_of_names_alone_is_refused_in_one_line(model, tmp_path, call):
    (tmp_path / "names.csv").write_text("a,b\n")
    status, out, err = call("train", tmp_path / "names.csv", "--model", model, "-o", tmp_path / "run")
    assert (status, out, len(err.splitlines())) == (2, "", 1), err
    assert re.search(r"0 (sample|rows)|samples.*0", err), err


def test_a_singular_covariance_is_noted_once(tmp_path, call):
    x = np.random.RandomState(0).normal(size=40)
    (tmp_path / "twice.csv").write_text("\n".join(["a,b", *(f"{v!r},{2 * v!r}" for v in x.tolist())]))
    status, _, err = call("train", tmp_path / "twice.csv", "--model", "GaussianMixture(1)", "-o", tmp_path / "run")
    assert status == 0
    assert err.count("1 of 1 components have collapsed") == 1
