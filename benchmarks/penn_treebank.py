"""Sentences of the Penn Treebank: a VAE beside a language model of the same decoder, trained the same way.

NLL is in nats a string, its end included, and PPL is exp(NLL / symbols), ends counted as symbols. That of the VAE is
given by importance sampling, and as the negative evidence lower bound: both are at least -log p(x). Training that is
interrupted goes on from its checkpoint.
"""

from __future__ import annotations

import argparse
import lzma
from pathlib import Path

import numpy as np
from common import begin, cpu_seconds, note, parser, table

from latens import VAE, LanguageModel
from latens.data import sequences
from latens.metrics.evaluate import evaluate
from latens.nn import GRU
from latens.training import Cosine

COLUMNS = ["model", "parameters", "epochs", "CPU s", "NLL", "±", "PPL", "-ELBO", "rate", "active units", "I(x; z)"]


def lines(folder: Path, part: str, longest: int, most: int | None = None) -> list[str]:
    """Sentences of at most so many words."""
    with lzma.open(folder / f"ptb.{part}.txt.xz", "rt") as file:
        kept = [line.strip() for line in file]
    return [line for line in kept if line and len(line.split()) <= longest][:most]


def sentences(options: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Those of the training and of the test part."""
    folder = options.data / "text" / "ptb"
    longest = options.longest
    return lines(folder, "train", longest, options.rows), lines(folder, "test", longest, options.tested)


def words(options: argparse.Namespace) -> tuple[list[str], list[str]]:
    """All words of the training part, in an order that is drawn, but for those that are tested."""
    folder = options.data / "text" / "ptb"
    known = {word for line in lines(folder, "train", 1000) for word in line.split()} - {"<unk>", "N"}
    drawn = np.random.default_rng(0).permutation(sorted(known)).tolist()
    return drawn[options.tested :][: options.rows], drawn[: options.tested]


def row(name: str, model: LanguageModel | VAE, test: list[str], seconds: float, k: int) -> list[object]:
    figures = evaluate(model, test, k=k)
    size = sum(p.numel() for p in model.model_.parameters())
    known = [name, size, model.n_iter_, f"{seconds:.0f}", f"{-figures.log_likelihood:.2f}", figures.standard_error]
    found = [figures.negative_elbo, figures.rate, figures.active_units, figures.mutual_information]
    return [*known, f"{figures.perplexity:.2f}", *("" if value is None else value for value in found)]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--epochs", type=int, default=8)
    arguments.add_argument("--hidden", type=int, default=128)
    arguments.add_argument("--embedding", type=int, default=64)
    arguments.add_argument("--dropout", type=float, default=0.1, help="of words that a decoder reads in training")
    arguments.add_argument("--latents", type=int, default=16)
    arguments.add_argument("--longest", type=int, default=40, help="words; longer sentences are left out")
    arguments.add_argument("--rows", type=int, help="sentences to train on; all by default")
    arguments.add_argument("--tested", type=int, default=1000)
    arguments.add_argument("--k", type=int, default=50)
    arguments.add_argument("--rate", type=float, default=4e-3, help="the largest learning rate")
    arguments.add_argument("--spelling", action="store_true", help="the 10,000 words by characters, not the sentences")
    arguments.add_argument("--only", choices=("vae", "lm"))
    arguments.add_argument("--checkpoints", type=Path, help="a folder")
    options = begin(arguments)

    train, test = (words if options.spelling else sentences)(options)
    data = sequences(train, "characters" if options.spelling else "words", length=options.longest)
    tokens = data.schema.tokens
    symbols = float(np.mean([len(tokens.encode(line)) + 1 for line in test]))
    note(f"{len(train)} strings, {tokens.size} symbols; {len(test)} test strings of {symbols:.2f} symbols and ends")
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
            rows.append(row(name, model, test, cpu_seconds() - start, options.k))
            note("\n".join([name, *(f"  {line}" for line in model.sample(5, random_state=1))]))
            if name == "VAE":
                note("\n".join(f"  {a}\n  -> {b}" for a, b in zip(test[:5], model.reconstruct(test[:5]))))
    what = "words by characters" if options.spelling else f"sentences of up to {options.longest} words"
    title = f"Penn Treebank, {len(train)} {what}, tested on {len(test)}"
    table(title, COLUMNS, rows)


if __name__ == "__main__":
    main()
