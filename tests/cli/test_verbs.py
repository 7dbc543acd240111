"""What each verb writes and says, against the library itself."""

import csv
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import latens
from latens.cli import judge, train
from latens.cli.opened import columns
from latens.data import load, to_uint8, write_array
from latens.data.write import grid
from latens.metrics.evaluate import evaluate
from latens.neural.rows import split

X = load_digits().images


@pytest.fixture(scope="module")
def model(run):
    return latens.load(run)


def test_a_run_folder_holds_what_the_design_says(run):
    names = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file() or path.name == "checkpoints"}
    assert names == {
        "run.json",
        "model.safetensors",
        "model.json",
        "metrics.csv",
        "samples/means.png",
        "samples/draws.png",
        "samples/reconstructions.png",
        "report.html",
    }


def test_metrics_are_those_of_the_history(run, model):
    with open(run / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4]
    for row, known in zip(rows, model.history_.rows):
        for name in ("loss", "distortion", "rate", "held_out_loss", "learning_rate"):
            assert float(row[name]) == known[name]
        mean, square = (np.array(known[f"held_out_{name}_per_dimension"]) for name in ("mean", "mean_square"))
        assert int(row["active_units"]) == (square - mean**2 > 0.01).sum()
    active = int(rows[(model.history_.best_epoch or 0) - 1]["active_units"])
    assert active == model.active_units_ == json.loads((run / "model.json").read_text())["figures"]["active_units"] > 0


def test_model_json_says_the_figures_of_the_held_out_rows(run, model):
    known = json.loads((run / "model.json").read_text())
    _, held_out = split(len(X), model.validation_fraction, model.seed_)
    expected = evaluate(model, X[held_out]).as_dict()
    assert known["figures"] == json.loads(json.dumps(expected))
    assert known["judged_on"] == "held-out"
    assert known["settings"]["latents"] == "3"
    assert "latents" not in known["reasons"]
    assert known["parameters"] == sum(p.numel() for p in model.model_.parameters())


def enlarged(images):
    """Eight pixels as the 32 that a person sees."""
    return np.kron(images, np.ones((1, 4, 4), np.uint8))


def test_samples_as_numbers_are_true_draws_and_as_pictures_means(run, model, tmp_path, call):
    assert call("sample", run, "-n", 5, "-o", tmp_path / "x.npy", "--seed", 7)[0] == 0
    assert (np.load(tmp_path / "x.npy") == model.sample(5, 7)).all()
    assert call("sample", run, "-n", 5, "-o", tmp_path / "m.npy", "--seed", 7, "--mean")[0] == 0
    assert (np.load(tmp_path / "m.npy") == model.sample(5, 7, mean=True)).all()
    status, out, err = call("sample", run, "-n", 4, "-o", tmp_path / "x.png")
    assert (status, err) == (0, "")
    assert "decoder means" in out
    means = to_uint8(model.sample(4, mean=True), model.schema_)
    assert (np.asarray(Image.open(tmp_path / "x.png")) == grid(enlarged(means))).all()
    status, out, err = call("sample", run, "-n", 4, "-o", tmp_path / "n.png", "--noise")
    assert "true draws" in out
    assert (
        np.asarray(Image.open(tmp_path / "n.png")) == grid(enlarged(to_uint8(model.sample(4), model.schema_)))
    ).all()


def test_there_and_back(run, model, tmp_path, ask):
    np.save(tmp_path / "some.npy", X[:7])
    assert ask("encode", run, tmp_path / "some.npy", "-o", tmp_path / "z.npy")["shape"] == [7, 3]
    assert (np.load(tmp_path / "z.npy") == model.transform(X[:7])).all()
    ask("decode", run, tmp_path / "z.npy", "-o", tmp_path / "x.npy")
    ask("reconstruct", run, tmp_path / "some.npy", "-o", tmp_path / "r.npy")
    assert (np.load(tmp_path / "r.npy") == model.reconstruct(X[:7])).all()
    assert np.allclose(np.load(tmp_path / "x.npy"), np.load(tmp_path / "r.npy"), atol=1e-4)


def test_scores_are_a_line_for_each_example(run, model, tmp_path, ask):
    np.save(tmp_path / "some.npy", X[:6])
    said = ask("score", run, tmp_path / "some.npy", "-o", tmp_path / "s.csv", "-k", 9)
    scores = model.score_samples(X[:6], k=9)
    assert np.loadtxt(tmp_path / "s.csv", skiprows=1) == pytest.approx(scores, rel=1e-12)
    assert (said["unit"], said["n"]) == ("nats", 6)
    assert said["mean"] == pytest.approx(scores.mean())
    assert next(iter(said["lowest"].items())) == (f"row {scores.argmin()}", pytest.approx(scores.min()))


def test_scores_of_files_have_their_names(run, model, tmp_path, ask):
    photos = tmp_path / "photos"
    for i in range(3):
        (photos / f"c{i % 2}").mkdir(parents=True, exist_ok=True)
        Image.fromarray((X[i]).astype(np.uint8)).resize((16, 16), Image.Resampling.NEAREST).save(
            photos / f"c{i % 2}/{i}.png"
        )
    ask("score", run, photos, "-o", tmp_path / "s.csv", "-k", 2)
    with open(tmp_path / "s.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["c0/0.png", "c0/2.png", "c1/1.png"]
    assert list(rows[0]) == ["name", "log_likelihood"]
    ask("encode", run, photos, "-o", tmp_path / "z.npy")
    ask("decode", run, tmp_path / "z.npy", "-o", tmp_path / "x.npy")
    for ending in ("csv", "parquet"):
        ask("encode", run, photos, "-o", tmp_path / f"z.{ending}")
        ask("decode", run, tmp_path / f"z.{ending}", "-o", tmp_path / f"{ending}.npy")
        assert np.load(tmp_path / f"{ending}.npy") == pytest.approx(np.load(tmp_path / "x.npy"), abs=1e-5)


def test_evaluate_says_what_the_library_says(run, model, tmp_path, ask):
    np.save(tmp_path / "some.npy", X[:20])
    said = ask("evaluate", run, tmp_path / "some.npy", "-k", 4)
    expected = evaluate(model, X[:20], k=4).as_dict()
    assert {name: said[name] for name in expected} == json.loads(json.dumps(expected))


def test_info(run, ask, call):
    said = ask("info", run)
    assert said["settings"]["encoder"] == "MLP((16,))"
    assert said["reasons"]["batch_size"] == "1797 examples"
    assert said["schema"]["shape"] == [8, 8]
    assert set(said["versions"]) == {"latens", "torch", "numpy"}
    assert said["figures"]["n"] == 180
    assert ask("info", run / "model.safetensors")["settings"] == said["settings"]
    status, out, _ = call("info", run)
    assert status == 0
    assert re.search(r"batch size +64 +\(chosen: 1797 examples\)", out)


def test_a_model_whose_prior_was_fitted_afterwards_is_used_as_any_other(run, ask, call, tmp_path):
    model, X = latens.load(run), load_digits().images
    model.fit_prior(latens.GaussianMixture(2, random_state=0), X).save(tmp_path / "model")
    ask("sample", tmp_path / "model", "-n", 5, "--noise", "--seed", 3, "-o", tmp_path / "drawn.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "drawn.npy"), model.sample(5, 3))
    assert ask("info", run)["fitted_prior"] is None
    assert re.search(r"fitted prior +GaussianMixture\(n_components=2", call("info", tmp_path / "model")[1])


def test_check_digits(ask, call):
    said = ask("check", "digits")
    assert (said["n"], said["shape"], said["range"]) == (1797, [8, 8], [0.0, 16.0])
    assert said["labels"]["3"] == 183
    assert said["would_choose"]["likelihood"] == {
        "value": "MixtureOf(DiscretizedLogistic(17), 4)",
        "why": "17 levels: a mass on each, in any shape",
    }
    assert said["problem"] is None
    assert call("check", "digits")[1].startswith("examples")


def test_check_names_what_cannot_be_read(tmp_path, ask):
    for i in range(12):
        Image.fromarray(np.full((5, 4), 9 * i, np.uint8)).save(tmp_path / f"{i:02}.png")
    (tmp_path / "07.png").write_bytes((tmp_path / "07.png").read_bytes()[:40])
    said = ask("check", tmp_path)
    assert said["n"] == 11
    assert list(said["unreadable"]) == ["07.png"]
    assert ask("check", tmp_path, "--size", "8x6")["shape"] == [8, 6]


def test_check_says_what_could_not_be_trained_on(tmp_path, ask):
    np.save(tmp_path / "gaps.npy", np.array([[1.0, np.nan], [2.0, np.nan], [3.0, np.nan]]))
    said = ask("check", tmp_path / "gaps.npy")
    assert said["problem"].startswith("no value of column 1 is observed")
    assert said["missing_entries"] == {"column 1": 3}
    np.save(tmp_path / "one.npy", np.ones((1, 2)))
    assert "at least 2 examples" in ask("check", tmp_path / "one.npy")["problem"]


def test_a_table_with_gaps_is_learned_shown_and_completed(tmp_path, ask):
    rows = np.random.default_rng(0).normal(size=(60, 1)) * [1.0, 2.0, -1.0]
    rows[::3, 1] = rows[1::3, 2] = np.nan
    write_array(tmp_path / "gaps.csv", rows, columns(["a", "b", "c"]))
    assert ask("check", tmp_path / "gaps.csv")["missing_entries"] == {"b": 20, "c": 20}
    ask("train", tmp_path / "gaps.csv", "-o", tmp_path / "run", "--model", "VAE(encoder=MLP((8,)))", "--epochs", 2)
    assert np.isfinite(ask("evaluate", tmp_path / "run", tmp_path / "gaps.csv")["log_likelihood"])
    ask("complete", tmp_path / "run", tmp_path / "gaps.csv", "-o", tmp_path / "whole.csv")
    whole = load(tmp_path / "whole.csv").take(np.arange(60))
    assert np.isfinite(whole).all()
    np.testing.assert_array_equal(whole[~np.isnan(rows)], rows[~np.isnan(rows)])


def test_a_table(table, tmp_path, ask):
    path, file = table
    assert {item.name for item in (path / "samples").iterdir()} == {"means.csv", "draws.csv", "reconstructions.csv"}
    ask("sample", path, "-n", 9, "-o", tmp_path / "new.csv")
    with open(tmp_path / "new.csv", newline="") as out:
        rows = list(csv.reader(out))
    assert (rows[0], len(rows)) == (["a", "<b>&", "c"], 10)
    turned = tmp_path / "turned.csv"
    lines = [line.split(",") for line in file.read_text().splitlines()]
    turned.write_text("\n".join(",".join(line[::-1]) for line in lines))
    for name, data in (("straight", file), ("turned", turned)):
        ask("score", path, data, "-o", tmp_path / f"{name}.npy", "-k", 2)
    assert (np.load(tmp_path / "straight.npy") == np.load(tmp_path / "turned.npy")).all()


def test_an_autoencoder_has_codes_and_a_report_but_no_scores(tmp_path, call, ask, tiny):
    path = tmp_path / "ae"
    said = ask("train", "digits", "-o", path, "--model", "AutoEncoder(latents=9)", "--epochs", 2, *tiny)
    assert said["settings"]["latents"] == "3"
    assert said["figures"]["rate"] is None
    assert said["figures"]["distortion"] > 0
    page = (path / "report.html").read_text()
    assert "Where the information sits" not in page
    assert call("score", path, "digits", "-o", tmp_path / "s.csv")[0] == 2
    assert call("sample", path, "-o", tmp_path / "s.png")[0] == 2
    assert ask("encode", path, "digits", "-o", tmp_path / "z.npy")["shape"] == [1797, 3]
    assert {item.name for item in tmp_path.iterdir()} == {"ae", "z.npy"}


def test_a_conditional_density_draws_the_class_it_is_asked_for(tmp_path, call, ask, tiny):
    path = tmp_path / "c"
    ask("train", "iris", "-o", path, "--condition", "y", "--epochs", 2, *tiny[:-2])
    model = latens.load(path)
    ask("sample", path, "-n", 4, "-o", tmp_path / "v.npy", "--label", "virginica")
    assert (np.load(tmp_path / "v.npy") == model.sample(4, y="virginica")).all()
    ask("sample", path, "-n", 4, "-o", tmp_path / "all.npy")
    classes = ["setosa", "versicolor", "virginica", "setosa"]
    assert (np.load(tmp_path / "all.npy") == model.sample(4, y=classes)).all()
    status, _, err = call("sample", path, "--label", "rose")
    assert (status, err) == (2, "latens: --label: the class is one of setosa, versicolor, virginica; got rose\n")


KINDS = {
    "two channels": (lambda rng: rng.random((40, 6, 5, 2)), "npy"),
    "colour": (lambda rng: rng.integers(0, 256, (40, 6, 5, 3), dtype=np.uint8), "png"),
    "black and white": (lambda rng: rng.random((40, 7, 3)) > 0.5, "png"),
    "one grey": (lambda rng: np.full((40, 4, 4), 7, np.uint8), "png"),
    "huge numbers": (lambda rng: 1e12 * rng.normal(size=(40, 2)), "csv"),
    "one column": (lambda rng: -np.abs(rng.normal(size=(40, 1))), "csv"),
    "two rows": (lambda rng: rng.normal(size=(2, 2)), "csv"),
    "counts": (lambda rng: rng.poisson(3.0, (60, 4)), "csv"),
    "cubes": (lambda rng: rng.normal(size=(40, 3, 5, 6)), "npy"),
}


@pytest.mark.parametrize("name", KINDS)
def test_data_of_every_kind_reach_a_report(name, tmp_path, monkeypatch, ask, tiny):
    make, ending = KINDS[name]
    monkeypatch.chdir(tmp_path)
    np.save("data.npy", make(np.random.default_rng(0)))
    ask("train", "data.npy", "-o", "run", "--epochs", "2", *tiny[:-2])
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000
    assert (tmp_path / "run" / "samples" / f"draws.{ending}").is_file()
    assert ask("sample", "run", "-n", "4")["output"] == f"samples.{ending}"


def test_settings_are_text_and_flags_come_last(tmp_path, ask, tiny):
    objective = "Distortion() + Linear(0.0, 2.0) * Rate()"
    text = f"VAE(latents=9, objective={objective}, epochs=50, random_state=4)"
    said = ask(
        "train", "digits", "-o", tmp_path / "r", "--model", text, "--epochs", "1", "--learning-rate", "0.01", *tiny
    )
    model = latens.load(tmp_path / "r")
    assert (repr(model.objective), model.seed_) == (objective, 4)
    assert (said["settings"]["learning_rate"], said["settings"]["epochs"], said["settings"]["latents"]) == (
        "0.01",
        "1",
        "3",
    )
    record = json.loads((tmp_path / "r" / "run.json").read_text())
    assert record["estimator"] == model.__repr__()


def test_the_default_folder_is_named_after_data_and_model(tmp_path, ask, tiny, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = ask("train", "digits", "--epochs", "1", *tiny)
    assert re.fullmatch(r"runs/digits-vae-\d{8}-\d{6}", said["run"])


def test_a_finished_run_says_so_and_changes_nothing(run, call):
    before = (run / "model.safetensors").stat().st_mtime_ns
    status, out, err = call("train", "--resume", run)
    assert status == 0
    assert "is finished" in err
    assert "log p(x)" in out
    assert (run / "model.safetensors").stat().st_mtime_ns == before


FORECASTS = {
    "short": (700.0, "about 12 min on this machine ({})"),
    "long": (9000.0, "about 2.5 h on this machine ({}); shorter with --epochs N or fewer images"),
}


@pytest.mark.parametrize("name", FORECASTS)
def test_how_long_training_takes_is_said_before_it_begins(name, tmp_path, call, ask, tiny, monkeypatch):
    seconds, line = FORECASTS[name]
    n = torch.get_num_threads()
    line = line.format("1 core" if n == 1 else f"{n} cores")
    monkeypatch.setattr(judge, "training_seconds", lambda *given: seconds)
    monkeypatch.setattr(train, "training_seconds", lambda *given: seconds)
    assert call("check", "digits")[1].splitlines()[-1].split(maxsplit=1) == ["training", line]
    assert ask("check", "digits")["training_seconds"] == seconds
    err = call("train", "digits", "-o", tmp_path / "run", "--epochs", 1, *tiny)[2]
    assert err.splitlines()[0] == f"training takes {line}"


def test_nothing_is_said_of_what_cannot_be_tried(tmp_path, ask, call, tiny, monkeypatch):
    monkeypatch.setattr(judge, "training_seconds", lambda *given: None)
    monkeypatch.setattr(train, "training_seconds", lambda *given: None)
    assert ask("check", "digits")["training_seconds"] is None
    assert call("check", "digits")[1].splitlines()[-1].startswith("patience")
    assert "on this machine" not in call("train", "digits", "-o", tmp_path / "run", "--epochs", 1, *tiny)[2]
