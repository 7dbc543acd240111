"""Sentences of the Penn Treebank: a VAE beside a language model of the same decoder, trained the same way.

NLL is in nats a sentence, its end included, and PPL is exp(NLL / words), ends counted as words. That of the VAE is
given by importance sampling, and as the negative evidence lower bound: both are at least -log p(x). Training that is
interrupted goes on from its checkpoint.
"""

from __future__ import annotations

import lzma
from pathlib import Path

import numpy as np
from common import begin, cpu_seconds, note, parser, table

from latens import VAE, LanguageModel
from latens.data import Words, sequences
from latens.metrics.evaluate import evaluate
from latens.nn import GRU
from latens.training import Cosine

COLUMNS = ["model", "parameters", "epochs", "CPU s", "NLL", "±", "PPL", "-ELBO", "rate", "active units", "I(x; z)"]


def lines(folder: Path, part: str, longest: int, most: int | None = None) -> list[str]:
    """Sentences of at most so many words."""
    with lzma.open(folder / f"ptb.{part}.txt.xz", "rt") as file:
        kept = [line.strip() for line in file]
    return [line for line in kept if line and len(line.split()) <= longest][:most]


def row(name: str, model: LanguageModel | VAE, test: list[str], words: float, seconds: float, k: int) -> list[object]:
    figures = evaluate(model, test, k=k)
    size = sum(p.numel() for p in model.model_.parameters())
    nll = -figures.log_likelihood
    found = [figures.negative_elbo, figures.rate, figures.active_units, figures.mutual_information]
    known = [name, size, model.n_iter_, f"{seconds:.0f}", f"{nll:.2f}", figures.standard_error, nll_ppl(nll, words)]
    return [*known, *("" if value is None else value for value in found)]


def nll_ppl(nll: float, words: float) -> str:
    return f"{np.exp(nll / words):.1f}"


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--epochs", type=int, default=8)
    arguments.add_argument("--hidden", type=int, default=128)
    arguments.add_argument("--embedding", type=int, default=64)
    arguments.add_argument("--dropout", type=float, default=0.1, help="of words that a decoder reads in training")
    arguments.add_argument("--latents", type=int, default=32)
    arguments.add_argument("--longest", type=int, default=40, help="words; longer sentences are left out")
    arguments.add_argument("--rows", type=int, help="sentences to train on; all by default")
    arguments.add_argument("--tested", type=int, default=1000)
    arguments.add_argument("--k", type=int, default=50)
    arguments.add_argument("--rate", type=float, default=4e-3, help="the largest learning rate")
    arguments.add_argument("--only", choices=("vae", "lm"))
    arguments.add_argument("--checkpoints", type=Path, help="a folder")
    options = begin(arguments)

    folder = options.data / "text" / "ptb"
    train = lines(folder, "train", options.longest, options.rows)
    test = lines(folder, "test", options.longest, options.tested)
    tokens = Words.of(train)
    data = sequences(train, tokens, length=options.longest)
    words = float(np.mean([len(line.split()) + 1 for line in test]))
    note(f"{len(train)} sentences, {tokens.size} symbols; {len(test)} test sentences of {words:.2f} words and ends")
    network = GRU(options.hidden, options.embedding, options.dropout)
    pace = Cosine(options.rate, options.rate / 100, 0.05)
    shared = {"epochs": options.epochs, "batch_size": 32, "learning_rate": pace, "random_state": 0, "verbose": True}
    models = {
        "language model": LanguageModel(network=network, **shared),
        "VAE": VAE(latents=options.latents, encoder=network, decoder=network, **shared),
    }
    rows = []
    for name, model in models.items():
        if options.only in (None, {"VAE": "vae"}.get(name, "lm")):
            start = cpu_seconds()
            model._fit(data, checkpoint=options.checkpoints and options.checkpoints / f"{name}.safetensors")
            rows.append(row(name, model, test, words, cpu_seconds() - start, options.k))
            note("\n".join([name, *(f"  {line}" for line in model.sample(5, random_state=1))]))
            if name == "VAE":
                note("\n".join(f"  {a}\n  -> {b}" for a, b in zip(test[:5], model.reconstruct(test[:5]))))
    title = f"Penn Treebank, {len(train)} sentences of up to {options.longest} words, tested on {len(test)}"
    table(title, COLUMNS, rows)


if __name__ == "__main__":
    main()
