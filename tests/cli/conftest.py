"""One small run that the tests of the tool share."""

import json

import numpy as np
import pytest

from latens.cli import main

TINY = [
    "--latents",
    "3",
    "--encoder",
    "MLP((16,))",
    "--decoder",
    "MLP((16,))",
    "--likelihood",
    "DiscretizedLogistic(17)",
]


@pytest.fixture(scope="session")
def tiny():
    """The flags of a network that trains in a moment."""
    return TINY


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """The folder of a finished run on the digits."""
    path = tmp_path_factory.mktemp("runs") / "digits"
    assert main(["train", "digits", "-o", str(path), "--epochs", "4", *TINY]) == 0
    return path


@pytest.fixture(scope="session")
def table(tmp_path_factory):
    """The folder of a finished run on a table with names that have to be escaped, and its file."""
    folder = tmp_path_factory.mktemp("tables")
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=200), rng.normal(5.0, 2.0, 200), rng.normal(size=200)])
    file = folder / "table.csv"
    lines = ["a,<b>&,c", *(",".join(map(repr, row)) for row in X.tolist())]
    file.write_text("\n".join(lines))
    flags = ["--latents", "2", "--encoder", "MLP((8,))", "--decoder", "MLP((8,))", "--epochs", "3"]
    assert main(["train", str(file), "-o", str(folder / "run"), *flags]) == 0
    return folder / "run", file


@pytest.fixture
def call(capsys):
    """Runs a command line here: (status, stdout, stderr)."""

    def call(*argv):
        capsys.readouterr()
        status = main(list(map(str, argv)))
        return (status, *capsys.readouterr())

    return call


@pytest.fixture
def ask(call):
    """Runs a command line with --json here: its one object."""

    def ask(*argv):
        status, out, err = call(*argv, "--json")
        assert status == 0, err
        return json.loads(out)

    return ask


@pytest.fixture
def shell(fork):
    """Runs a command line in a process of its own: (status, stdout, stderr)."""

    def shell(*argv):
        child = fork("from latens.cli import main; raise SystemExit(main())", *argv, COLUMNS="200")
        return (child.wait(), *child.said())

    return shell
