"""Statically binarised MNIST with three levels of latents: the bound and the density of the test set in nats.

The budget is processor time, `--minutes` of 2 cores, spent on one thread, as in binarised_mnist.py. `--after` goes on
from the weights of a finished run, whose time counts.

    python benchmarks/ladder.py --minutes 40
    python benchmarks/ladder.py --resume runs/ladder-40
    python benchmarks/ladder.py --minutes 40 --hierarchy "Ladder((64, 32, 16), width=512)"
    python benchmarks/ladder.py --minutes 40 --after runs/ladder-40
    python benchmarks/ladder.py --minutes 40 --likelihood "AutoregressiveOf(Bernoulli())"
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from binarised_mnist import HELD_OUT, WARM, add_sleep, asleep, static, told
from budget import Run, begun, trained
from common import begin, cpu_seconds, parser, table
from torch import nn

from latens import VAE
from latens.data import Source
from latens.distributions import Family
from latens.metrics import evaluate
from latens.models import Hierarchy
from latens.neural.vocabulary import read
from latens.objectives import ELBO
from latens.training import Cosine

TARGET = "-ELBO <= 83 in a long run (published, NLL: 83.19 two layers + VampPrior, 81.09 convolutional)"
THREE = "ConvLadder((1, 2, 8), (32, 64, 64))"


def make(
    epochs: int, *, hierarchy: Hierarchy, likelihood: Family, sleep: float, before: nn.Module | None = None
) -> VAE:
    """The estimator, in smaller steps where it goes on from another."""
    bound = WARM if before is None else ELBO()
    return (VAE if before is None else begun(VAE, before))(
        hierarchy=hierarchy,
        likelihood=likelihood,
        objective=asleep(bound, sleep, bound),
        batch_size=100,
        learning_rate=Cosine(2e-3 if before is None else 1e-3, 2e-5, 0.02),
        patience=0,
        validation_fraction=HELD_OUT["static"],
        epochs=epochs,
        random_state=0,
    )


def fit(run: Run, before: VAE | None, *, source: Source) -> VAE:
    """The estimator of a run, begun or not, which may go on from another."""
    plan = {name: read(run.plan[name]) for name in ("hierarchy", "likelihood")} | {"sleep": run.plan["sleep"]}
    plan["before"] = None if before is None else before.model_
    return run.fit(partial(make, **plan), source, run.plan["minutes"], 3000)


def by_level(model: VAE, rates: tuple[float, ...] | list[float] | None) -> str:
    """The rate of each level, from the top."""
    ends = np.cumsum([int(np.prod(shape)) for shape in model.model_.shapes or ()])
    return " + ".join(f"{part.sum():.1f}" for part in np.split(np.asarray(rates), ends[:-1]))


def main() -> None:
    """Trains, scores, prints."""
    options = parser(__doc__ or "")
    options.add_argument("--minutes", type=float, default=40, help="of 2 cores")
    options.add_argument("--epochs", type=int, help="in place of those that the minutes pay for")
    add_sleep(options)
    options.add_argument("--after", type=Path, help="a finished run, from whose weights to go on")
    options.add_argument("--hierarchy", default=THREE, help="as written in Python")
    options.add_argument("--likelihood", default="Bernoulli()", help="as written in Python")
    options.add_argument("--resume", "--output", dest="run", type=Path, help="the run's folder, begun or not")
    options.add_argument("--k", type=int, default=256, help="importance samples a test row")
    options.add_argument("--rows", type=int, default=10_000, help="test rows, evenly spaced")
    given = begin(options)
    plan = {
        "minutes": given.minutes,
        "hierarchy": given.hierarchy,
        "likelihood": given.likelihood,
        "sleep": given.sleep,
        "after": str(given.after or ""),
    }
    if given.epochs:
        plan["epochs"] = given.epochs
    run = Run(given.run or Path("runs") / f"ladder-{given.minutes:g}", plan)
    minutes, hierarchy, likelihood, sleep = (run.plan[name] for name in ("minutes", "hierarchy", "likelihood", "sleep"))
    source, test = static(given.data)
    model, spent, earlier = trained(run, partial(fit, source=source))
    since = "".join(f", after {one.n_iter_} epochs" for _, one in earlier)
    scoring = cpu_seconds()
    rows = test[np.linspace(0, len(test) - 1, given.rows).astype(int)]
    found = evaluate(model, rows, k=given.k)
    columns = ["hierarchy", "likelihood", "epochs", "CPU-min", "-ELBO", "test NLL", "rate", "active"]
    columns += ["scoring CPU-min", "target"]
    row: list[object] = [
        f"`{hierarchy}`{told(sleep)}{since}",
        f"`{likelihood}`",
        model.n_iter_,
        f"{spent:.1f}",
        f"{found.negative_elbo:.2f}",
    ]
    row += [f"{-found.log_likelihood:.2f} ± {found.standard_error:.2f}", by_level(model, found.rate_per_dimension)]
    row += [f"{found.active_units} of {model.settings_['latents']}", f"{(cpu_seconds() - scoring) / 60:.1f}", TARGET]
    title = f"Statically binarised MNIST, a ladder; IS {given.k} on {len(rows)} test rows, nats"
    table(f"{title}; budget {2 * minutes:g} CPU-minutes", columns, [row])


if __name__ == "__main__":
    main()
