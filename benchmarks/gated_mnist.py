"""Binarised MNIST with the gated network of Tomczak and Welling (2 x 300, 40 latents): priors and posteriors compared.

The budget is processor time, `--minutes` of 2 cores, spent on one thread, as in binarised_mnist.py. `--refit` gives a
second row: p(x, z) as it is, and an encoder fitted anew by what the model makes up, for the estimate of its likelihood.
`--after` goes on from the weights of a finished run, whose time counts: of either kind of data, of the same model or
of that which a flow is to push.

    python benchmarks/gated_mnist.py --minutes 15
    python benchmarks/gated_mnist.py --minutes 15 --model "VAE(prior=VampPrior(500), batch_size=250)"
    python benchmarks/gated_mnist.py --minutes 15 --model "VAE(posterior=InverseAutoregressiveFlow(Normal('element')))"
    python benchmarks/gated_mnist.py --minutes 15 --sleep 0.5
    python benchmarks/gated_mnist.py --minutes 30 --after runs/gated-static-15
    python benchmarks/gated_mnist.py --resume runs/gated-static-15 --refit 5
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from binarised_mnist import HELD_OUT, WARM, DynamicVAE, add_kind, asleep, dynamic, static, told
from budget import Run, begun, trained
from common import begin, cpu_seconds, parser, table
from torch import nn

from latens import VAE
from latens.data import Source
from latens.distributions import Bernoulli
from latens.metrics import evaluate
from latens.neural.vocabulary import read
from latens.nn import MLP, Site, Spec
from latens.objectives import ELBO, EUBO, Sleep
from latens.training import Cosine

TARGETS = {
    "static": "standard <= 88.6, VampPrior <= 86.0 in a long run (published 88.56, 85.57)",
    "dynamic": "standard 84.5, VampPrior 82.5 in a long run (published 84.45, 82.43)",
}


def make(epochs: int, *, data: str, model: str, sleep: float, before: nn.Module | None = None, **changes: Any) -> VAE:
    """The estimator: what ``model`` sets, and the setting of the papers for the rest."""
    network = MLP((300, 300), "gated")
    setting = {
        "latents": 40,
        "likelihood": Bernoulli(),
        "encoder": network,
        "decoder": network,
        "objective": asleep(WARM, sleep, WARM),
        "batch_size": 100,
        "learning_rate": Cosine(2e-3, 2e-5, 0.02),
        "patience": 0,
        "validation_fraction": HELD_OUT[data],
        "epochs": epochs,
        "random_state": 0,
    }
    default, given = VAE().get_params(deep=False), read(model).get_params(deep=False)
    changed = {name: value for name, value in given.items() if value != default[name]}
    kind = VAE if data == "static" else DynamicVAE
    return (kind if before is None else begun(kind, before))(**{**setting, **changed, **changes})


def planned(run: Run) -> dict[str, Any]:
    """What is made, of the plan of a run."""
    return {name: run.plan[name] for name in ("data", "model", "sleep")}


def source_of(run: Run, folder: Path) -> tuple[Source, np.ndarray]:
    """Training and test rows."""
    return (static if run.plan["data"] == "static" else dynamic)(folder)


def fit(run: Run, before: VAE | None, *, folder: Path) -> VAE:
    """The estimator of a run, begun or not, which may go on from another."""
    plan = planned(run)
    if before is not None:
        plan |= {"before": before.model_, "objective": asleep(ELBO(), plan["sleep"], ELBO())}
        plan["learning_rate"] = Cosine(1e-3, 1e-5, 0.02)
    return run.fit(partial(make, **plan), source_of(run, folder)[0], run.plan["minutes"], 3000)


@dataclass(frozen=True)
class Kept(Spec):
    """A prior that is there already, and stays."""

    module: nn.Module

    def build(self, site: Site) -> nn.Module:
        """A copy, with the posterior that it may be made of."""
        kept = copy.deepcopy(self.module)
        for part in (kept, *getattr(kept, "_held", ())):
            part.requires_grad_(False)
        return kept


def refitted(epochs: int, *, fitted: VAE, plan: dict[str, Any]) -> VAE:
    """The encoder of a trained model, fitted to p(x, z)."""
    model = fitted.model_
    changes = {
        "encoder": model.posterior.network,
        "decoder": model.likelihood.network,
        "prior": Kept(model.prior),
        "objective": Sleep(EUBO(), 1.0),
        "learning_rate": Cosine(1e-3, 1e-5, 0.02),
        "validation_fraction": 0.0,
        "batch_size": 100,
    }
    return make(epochs, **plan).set_params(**changes)


def judged(fitted: VAE, test: np.ndarray, rows: int, k: int, what: list[object]) -> list[object]:
    """A row of the table, which begins with ``what``."""
    scoring = cpu_seconds()
    found = evaluate(fitted, test[np.linspace(0, len(test) - 1, rows).astype(int)], k=k)
    bound = -fitted.score_samples(test, k=1).mean()
    row = [*what, f"{-found.log_likelihood:.2f} ± {found.standard_error:.2f}", f"{bound:.2f}"]
    row += [f"{found.active_units} of {fitted.settings_['latents']}", f"{found.effective_draws:.0f}"]
    return [*row, f"{(cpu_seconds() - scoring) / 60:.1f}"]


def main() -> None:
    """Trains, scores, prints."""
    options = parser(__doc__ or "")
    add_kind(options)
    options.add_argument("--minutes", type=float, default=15, help="of 2 cores")
    options.add_argument("--epochs", type=int, help="in place of those that the minutes pay for, to compare in as many")
    options.add_argument("--model", default="VAE()", help="what differs from the papers' setting, as written in Python")
    options.add_argument("--refit", type=float, default=0.0, help="minutes of 2 cores for an encoder fitted anew")
    options.add_argument("--resume", "--output", dest="run", type=Path, help="the run's folder, begun or not")
    options.add_argument("--after", type=Path, help="a finished run, from whose weights to go on")
    options.add_argument("--k", type=int, default=5000, help="importance samples a test row")
    options.add_argument("--rows", type=int, default=1000, help="test rows, evenly spaced")
    given = begin(options)
    plan = {"data": given.kind, "minutes": given.minutes, "model": given.model, "sleep": given.sleep}
    plan["after"] = str(given.after or "")
    if given.epochs:
        plan["epochs"] = given.epochs
    run = Run(given.run or Path("runs") / f"gated-{given.kind}-{given.minutes:g}", plan)
    data, plan = run.plan["data"], planned(run)
    source, test = source_of(run, given.data)
    fitted, spent, earlier = trained(run, partial(fit, folder=given.data))
    since = "".join(f", after {one.n_iter_} epochs of the {of.plan['data']} set" for of, one in earlier)
    what: list[object] = [data, f"`{plan['model']}`{told(plan['sleep'])}{since}", fitted.n_iter_, f"{spent:.1f}"]
    rows = [judged(fitted, test, given.rows, given.k, what)]
    if given.refit:
        again = Run(run.folder / "refit", {})
        fitted = again.fit(partial(refitted, fitted=fitted, plan=plan), source, given.refit, 3000)
        what = [data, "its encoder fitted anew", fitted.n_iter_, f"{spent + again.cpu_minutes:.1f}"]
        rows.append(judged(fitted, test, given.rows, given.k, what))
    columns = [
        "data",
        "model",
        "epochs",
        "CPU-min",
        "test NLL",
        "-ELBO, all rows",
        "active",
        "effective draws",
        "scoring CPU-min",
        "target",
    ]
    title = f"Binarised MNIST, gated MLP 2x300 and z 40 unless said; IS {given.k} on {given.rows} test rows, nats"
    table(title, columns, [[*row, TARGETS[data]] for row in rows])


if __name__ == "__main__":
    main()
