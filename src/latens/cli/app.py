"""The verbs and their flags; what they do is loaded when they are called."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, CycloptsError, Parameter, Token

from latens.cli.failures import Refused, guarded

if TYPE_CHECKING:
    from latens.cli.screen import Answer


def _version() -> str:
    from importlib.metadata import version

    return version("latens")


app = App(
    name="latens",
    help="""Learn the probability density of your data, and put it to work.

    latens check photos/                 what a model would see and choose
    latens train photos/ -o runs/faces   learn it; ends with a report
    latens sample runs/faces -n 64       new examples
    latens score runs/faces others/      log p(x) of each, in nats

DATA is a file (.npy, .npz, .csv, .parquet, idx, an image, sound), a folder of
images or of sound, or built in: digits, iris, wine, breast_cancer, diabetes. Results go to the
standard output, everything else to the standard error; --json prints one JSON
object.""",
    help_format="plaintext",
    version=_version,
)


def _whole(kind: Any, words: Sequence[Token]) -> int:
    try:
        return int(words[0].value)
    except ValueError:
        raise ValueError(f"expected a whole number; got {words[0].value!r}") from None


Text = str | None
Whole = Annotated[int | None, Parameter(converter=_whole)]
Out = Annotated[str | None, Parameter(name=["--output", "-o"])]
Switch = Annotated[bool, Parameter(negative=(), show_default=False)]
Draws = Annotated[int | None, Parameter(name=["--k", "-k"], converter=_whole)]
Count = Annotated[int, Parameter(name=["--n", "-n"], converter=_whole)]
Mean = Annotated[bool | None, Parameter(name="--mean", negative="--noise")]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line.

    Args:
        argv: the words after ``latens``; those of this process by default.

    Returns:
        The exit status: 0; 1 where training or the program failed; 2 for what the user can set right; 130 after Ctrl-C.
    """
    _sleep_while_waiting()
    return guarded(lambda: _run(sys.argv[1:] if argv is None else list(argv)))


def _sleep_while_waiting() -> None:
    """Threads that spin for work make training 20 times slower where another program wants the processor too.

    OpenMP reads this when torch is loaded, so a host that has loaded torch keeps its own policy.
    """
    if "torch" not in sys.modules:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _run(argv: list[str]) -> None:
    if "" in argv:
        before = argv[argv.index("") - 1] if argv.index("") else "latens"
        raise Refused(f"there is an empty word after {before}; was a variable of the shell not set?")
    try:
        command, bound, _ = app.parse_args(argv, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise Refused(f"{error} (latens {argv[0] + ' ' if argv[0] in _verbs() else ''}--help)") from None
    command(*bound.args, **bound.kwargs)


def _verbs() -> list[str]:
    return [name for name in app if not name.startswith("-")]


def _show(answer: Answer | None, as_json: bool) -> None:
    if answer is not None:
        answer.show(as_json)


@app.command
def train(
    data: Text = None,
    /,
    *,
    output: Out = None,
    model: Text = None,
    objective: Text = None,
    likelihood: Text = None,
    latents: Whole = None,
    encoder: Text = None,
    decoder: Text = None,
    condition: Text = None,
    epochs: Whole = None,
    batch_size: Whole = None,
    learning_rate: Text = None,
    seed: Whole = None,
    device: Text = None,
    size: Text = None,
    columns: Text = None,
    kind: Text = None,
    window: Whole = None,
    hop: Whole = None,
    view: Text = None,
    overwrite: Switch = False,
    resume: Text = None,
    json: Switch = False,
) -> None:
    """Learn the density of DATA, and write a run folder with the model and a report.

    What is not given is chosen from the data; "latens info RUN" says what and
    why. Settings are written as in Python. Training survives being killed:
    "latens train --resume RUN" goes on to the same bits.

        latens train digits
        latens train photos/ -o runs/faces --size 64x64 --latents 64
        latens train table.csv --likelihood "StudentT()" --epochs 100
        latens train digits --objective "Distortion() + 4.0 * Rate()"
        latens train digits --model "AutoEncoder(latents=8)"
        latens train spoken/ --view "LogMel(seconds=1)"
        latens train sensor.csv --window 256 --hop 128
        latens train table.csv --columns height --model "KernelDensity(bandwidth='isj')"
        latens train table.csv --model auto
        latens train --resume runs/faces

    Args:
        data: A file, a folder of images, or a built-in name.
        output: The run folder to make; runs/<data>-<model>-<date>-<time> by default.
        model: The estimator, such as "VAE(latents=16)", "KernelDensity()" or "GaussianMixture(3)"; "auto" compares
            densities of tables and keeps the best. Single flags override its parameters.
        objective: What is minimised, such as "Distortion() + 4.0 * Rate()" or "ImportanceWeighted(10)".
        likelihood: p(x | z), such as "Bernoulli()", "Normal('shared')" or "AutoregressiveOf()".
        latents: The number of latent dimensions.
        encoder: A network, such as "MLP((512, 512))" or "Conv((64, 128))".
        decoder: A network likewise.
        condition: "y" to learn p(x | y) of labelled data.
        epochs: Passes over the data, at most; training stops early when held-out data gain no more.
        batch_size: Examples in a step.
        learning_rate: A number, or a schedule such as "Cosine(0.001)".
        seed: What every draw depends on; 0 by default.
        device: "cpu", "cuda" ...; the GPU by default if there is one.
        size: HEIGHTxWIDTH in pixels that image files are brought to; by default their own.
        columns: Names of the columns of a table to take, such as height,weight; all by default.
        kind: What the rows are where their shape does not say it: signal, image, table or array.
        window: Steps of each piece that long recordings are cut into.
        hop: Steps from one piece to the next; by default they do not overlap.
        view: What is seen of files of sound, such as "LogMel(seconds=1)" or "Waveform(rate=8000)".
        overwrite: Replace the run folder if it exists.
        resume: The run folder of a training to go on with; takes no other settings.
        json: Print one JSON object.
    """
    from latens.cli import settings
    from latens.cli import train as verb

    flags = {
        "objective": objective,
        "likelihood": likelihood,
        "latents": latents,
        "encoder": encoder,
        "decoder": decoder,
        "condition": condition,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "random_state": seed,
    }
    if resume is not None:
        given = {"DATA": data, "--output": output, "--model": model}
        how = {"--size": size, "--columns": columns, "--kind": kind, "--window": window, "--hop": hop, "--view": view}
        verb.refuse_settings(given | how | flags)
        return _show(verb.resume(resume, device), json)
    flags["device"] = device
    reading = settings.reading(size, columns, kind, window, hop, view)
    return _show(verb.train(data, model, flags, reading, output, overwrite), json)


@app.command
def sample(
    run: str,
    /,
    *,
    n: Count = 64,
    output: Out = None,
    seed: Whole = None,
    mean: Mean = None,
    label: Text = None,
    given: Text = None,
    json: Switch = False,
) -> None:
    """Draw new examples from the density that RUN has learned.

    Pictures show decoder means E[x | z] unless --noise is given; numbers are
    true draws x ~ p(x | z) unless --mean is.

        latens sample runs/faces -n 64 -o new.png
        latens sample runs/faces -n 1000 -o new.npy --seed 1
        latens sample runs/people -n 1000 --given sex=F,age=30 -o women.csv

    Args:
        run: A run folder, or a saved model.
        n: How many.
        output: Where to; its ending chooses: .png, .jpg, .webp (a grid), .wav, .npy, .npz, .csv, .parquet, a folder.
        seed: What the draws depend on; that of the model by default.
        mean: Decoder means, or draws with the noise of the likelihood.
        label: The class to draw, where the model was trained with --condition y; all in turn by default.
        given: What is known of the rows: columns and their values, with commas between them.
        json: Print one JSON object.
    """
    from latens.cli import use

    _show(use.sample(run, n, output, seed, mean, label, given), json)


@app.command
def reconstruct(run: str, data: str, /, *, output: Out = None, json: Switch = False) -> None:
    """Pass DATA through the latent space of RUN: E[x | z] at the posterior mean, or at the code.

        latens reconstruct runs/faces photos/ -o back.png

    Args:
        run: A run folder, or a saved model.
        data: Examples like those it was trained on.
        output: Where to; its ending chooses the format.
        json: Print one JSON object.
    """
    from latens.cli import use

    _show(use.reconstruct(run, data, output), json)


@app.command
def complete(run: str, data: str, /, *, output: Out = None, k: Draws = None, json: Switch = False) -> None:
    """Fill in what is missing of DATA: its mean given the entries that are there.

        latens complete runs/table gaps.csv -o whole.csv

    Args:
        run: A run folder, or a saved model.
        data: Examples like those it was trained on, with gaps (or NaN).
        output: Where to; its ending chooses the format.
        k: Draws for each example; more are slower and nearer to the mean.
        json: Print one JSON object.
    """
    from latens.cli import use

    _show(use.complete(run, data, output, k), json)


@app.command
def encode(run: str, data: str, /, *, output: Out = None, json: Switch = False) -> None:
    """Write the posterior mean E[z | x] of each example of DATA, or its code.

        latens encode runs/faces photos/ -o z.npy

    Args:
        run: A run folder, or a saved model.
        data: Examples like those it was trained on.
        output: Where to: .npy, .npz, .csv or .parquet; z.npy by default.
        json: Print one JSON object.
    """
    from latens.cli import use

    _show(use.encode(run, data, output), json)


@app.command
def decode(run: str, z: str, /, *, output: Out = None, label: Text = None, json: Switch = False) -> None:
    """Decode latent points: E[x | z] of each row of Z.

        latens decode runs/faces z.npy -o decoded.png

    Args:
        run: A run folder, or a saved model.
        z: A file of numbers, one latent point a row, as "latens encode" writes.
        output: Where to; its ending chooses the format.
        label: The class, where the model was trained with --condition y.
        json: Print one JSON object.
    """
    from latens.cli import use

    _show(use.decode(run, z, output, label), json)


@app.command
def score(run: str, data: str, /, *, output: Out = None, k: Draws = None, json: Switch = False) -> None:
    """Write log p(x) of each example of DATA, in nats: an importance-weighted lower bound.

        latens score runs/faces others/ -o scores.csv

    Args:
        run: A run folder, or a saved model.
        data: Examples like those it was trained on.
        output: Where to: .csv, .npy, .npz or .parquet, a row for each example; scores.csv by default.
        k: Draws for each example; more are slower and tighter.
        json: Print one JSON object.
    """
    from latens.cli import use

    _show(use.score(run, data, output, k), json)


@app.command
def evaluate(run: str, data: str, /, *, k: Draws = None, json: Switch = False) -> None:
    """Judge RUN by examples it has not seen: likelihood, rate, active units, in nats and bits per dimension.

        latens evaluate runs/faces held_out/ -k 1000

    Args:
        run: A run folder, or a saved model.
        data: Examples like those it was trained on.
        k: Draws for each example; more are slower and tighter.
        json: Print one JSON object.
    """
    from latens.cli import judge

    _show(judge.evaluate(run, data, k), json)


@app.command
def report(run: str, data: Text = None, /, *, output: Out = None, json: Switch = False) -> None:
    """Make report.html again, or on other data than RUN was trained on.

        latens report runs/faces
        latens report runs/faces others/ -o others.html

    Args:
        run: A run folder, or a saved model.
        data: Examples to show and judge; by default those that the run held out.
        output: Where to; RUN/report.html by default.
        json: Print one JSON object.
    """
    from latens.cli import judge

    _show(judge.report(run, data, output), json)


@app.command
def info(run: str, /, *, json: Switch = False) -> None:
    """Say what RUN is: its settings and why they were chosen, its data, its figures.

        latens info runs/faces

    Args:
        run: A run folder, or a saved model.
        json: Print one JSON object.
    """
    from latens.cli import judge

    _show(judge.info(run), json)


@app.command
def check(
    data: str,
    /,
    *,
    size: Text = None,
    columns: Text = None,
    kind: Text = None,
    window: Whole = None,
    hop: Whole = None,
    view: Text = None,
    json: Switch = False,
) -> None:
    """Say what a model would see in DATA, what it would choose, and how long it would train.

        latens check photos/ --size 64x64

    Args:
        data: A file, a folder of images, or a built-in name.
        size: HEIGHTxWIDTH in pixels that image files are brought to; by default their own.
        columns: Names of the columns of a table to take, such as height,weight; all by default.
        kind: What the rows are where their shape does not say it: signal, image, table or array.
        window: Steps of each piece that long recordings are cut into.
        hop: Steps from one piece to the next; by default they do not overlap.
        view: What is seen of files of sound, such as "LogMel(seconds=1)" or "Waveform(rate=8000)".
        json: Print one JSON object.
    """
    from latens.cli import judge, settings

    _show(judge.check(data, settings.reading(size, columns, kind, window, hop, view)), json)
