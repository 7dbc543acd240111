"""The tool as a process: streams, exit statuses, what it imports, and what it survives."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from latens.cli import main
from latens.cli import train as verb
from latens.cli.runs import Run
from latens.neural import NeuralDensity
from latens.utils import load_tensors

SCRIPT = "from latens.cli import main; raise SystemExit(main())"
EAGER = f"""
import time
from latens.training import loop
loop.CHECKPOINT_SECONDS, loop.CHECKPOINT_SHARE, step = 0.1, 1.0, loop._Run.step
loop._Run.step = lambda self, batch: (time.sleep(0.002), step(self, batch))
{SCRIPT}
"""
"""The tool, with time to be interrupted."""
PIPE = f"import os; read, write = os.pipe(); os.close(read); os.dup2(write, 1); {SCRIPT}"
"""The tool, of whose output nobody reads more."""
HEAVY = {"torch", "sklearn", "scipy", "matplotlib", "pyarrow", "PIL"}


@pytest.mark.parametrize("argv", [["--help"], ["train", "--help"], ["score", "--help"], ["--version"], ["trian"], []])
def test_help_is_light(argv):
    script = f"""
import sys
from latens.cli import main
status = main({argv!r})
print("loaded:", status, *{{name.split('.')[0] for name in sys.modules}})
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    status, *loaded = done.stdout.split("loaded:")[1].split()
    assert int(status) == (2 if argv == ["trian"] else 0)
    assert not set(loaded) & HEAVY


@pytest.mark.parametrize(
    "verb", ["train", "sample", "reconstruct", "encode", "decode", "score", "evaluate", "report", "info", "check"]
)
def test_every_verb_has_an_example_and_json(verb, capsys):
    assert main([verb, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"latens {verb} " in shown
    assert "--json" in shown


def test_results_on_stdout_all_else_on_stderr(tmp_path, tiny):
    """In an interpreter of its own, as a shell starts it."""
    argv = ["train", "digits", "-o", str(tmp_path / "run"), "--epochs", "60", "--json", *tiny]
    done = subprocess.run([sys.executable, "-m", "latens", *argv], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["report"] == str(tmp_path / "run" / "report.html")
    first, *lines = done.stderr.splitlines()
    assert first.startswith("training takes about ")
    assert "epochs of 25 steps" in lines[0]
    assert 10 < sum(line.startswith("epoch ") for line in lines) <= 30
    assert "stopped after" in done.stderr
    assert "\x1b" not in done.stderr


def test_bad_input_is_status_2_and_one_line(tmp_path, shell):
    said = shell("train", "digitz", "-o", tmp_path / "run")
    assert said == (2, "", "latens: there is no digitz; did you mean digits?\n")
    assert list(tmp_path.iterdir()) == []


def test_a_module_that_is_the_tool():
    ran = subprocess.run([sys.executable, "-m", "latens", "nothing"], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("latens: Unknown command")


def test_a_closed_pipe_is_quiet(fork):
    done = fork(PIPE, "check", "digits", "--json")
    assert (done.wait(), done.said()[1]) == (141, "")


@pytest.fixture
def interrupted_by(fork, tiny):
    """Trains in a process and sends it a signal once the condition holds: (status, stderr)."""

    def interrupted_by(number, ready, path):
        process = fork(EAGER, "train", "digits", "-o", path, *LONG, *tiny)
        end = time.monotonic() + 60
        while not ready() and process.process.is_alive() and time.monotonic() < end:
            time.sleep(0.02)
        process.send_signal(number)
        return process.wait(), process.said()[1]

    return interrupted_by


LONG = ["--epochs", "20", "--batch-size", "32"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, tiny):
    """The tensors of a run that nothing disturbed."""
    path = tmp_path_factory.mktemp("whole") / "run"
    assert main(["train", "digits", "-o", str(path), *LONG, *tiny]) == 0
    return load_tensors(path / "model.safetensors")[0]


def same(path, tensors):
    found = load_tensors(path / "model.safetensors")[0]
    assert found.keys() == tensors.keys()
    assert all((found[name] == tensors[name]).all() for name in tensors)


MOMENTS = {
    "before anything is learned": lambda path: (path / "run.json").exists(),
    "after a checkpoint": lambda path: (path / "checkpoints" / "last.safetensors").exists(),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_kill_9_and_resume_give_the_same_bits(moment, tmp_path, whole, call, interrupted_by):
    path = tmp_path / "run"
    status, _ = interrupted_by(signal.SIGKILL, lambda: MOMENTS[moment](path), path)
    assert status == -signal.SIGKILL
    assert not (path / "model.safetensors").exists()
    assert call("train", "--resume", path)[0] == 0
    same(path, whole)
    epochs = [line.split(",")[0] for line in (path / "metrics.csv").read_text().splitlines()[1:]]
    assert epochs == [str(i + 1) for i in range(len(epochs))]


def test_ctrl_c_keeps_what_was_learned_and_says_how_to_go_on(tmp_path, whole, call, interrupted_by):
    path = tmp_path / "run"
    status, err = interrupted_by(signal.SIGINT, (path / "metrics.csv").exists, path)
    assert status == 130
    assert err.splitlines()[-1] == f"latens: interrupted. Go on with: latens train --resume {path}"
    assert (path / "checkpoints" / "last.safetensors").exists()
    assert call("train", "--resume", path)[0] == 0
    same(path, whole)


def test_ctrl_c_before_the_first_step_says_how_to_go_on_too(tmp_path, call, tiny, monkeypatch):
    path = tmp_path / "run"
    monkeypatch.setattr(verb, "training_seconds", interrupted)
    status, _, err = call("train", "digits", "-o", path, "--epochs", "1", *tiny)
    assert (status, err) == (130, f"latens: interrupted. Go on with: latens train --resume {path}\n")
    monkeypatch.undo()
    assert call("train", "--resume", path)[0] == 0


def interrupted(*args):
    raise KeyboardInterrupt


class Killed(BaseException):
    """What no part of the tool catches."""


def killed(*args, **kwargs):
    raise Killed


FINISHED = "between the mark and the end of the checkpoint"
LAST_MOMENTS = {
    "before the model is written": (NeuralDensity, "save"),
    "between the model and its report": (verb, "write_report"),
    FINISHED: (Run, "close"),
}


@pytest.mark.parametrize("moment", LAST_MOMENTS)
def test_an_end_that_is_cut_short_is_made_good_by_resume(moment, run, tmp_path, call, tiny, monkeypatch):
    path = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(*LAST_MOMENTS[moment], killed)
        with pytest.raises(Killed):
            main(["train", "digits", "-o", str(path), "--epochs", "4", *tiny])
    assert (path / "checkpoints" / "last.safetensors").exists()
    status, _, err = call("train", "--resume", path)
    assert status == 0
    assert (f"{path} is finished; there is nothing to go on with" in err.splitlines()) == (moment == FINISHED)
    same(path, load_tensors(run / "model.safetensors")[0])
    assert not (path / "checkpoints").exists()
    assert json.loads((path / "model.json").read_text())["figures"]


def test_a_failure_after_the_end_takes_nothing_away(tmp_path, tiny, monkeypatch):
    path = tmp_path / "run"
    monkeypatch.setattr(verb, "summary", killed)
    with pytest.raises(Killed):
        main(["train", "digits", "-o", str(path), "--epochs", "1", *tiny])
    assert Run(path).finished


@pytest.mark.parametrize(("given", "found"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")])
def test_threads_sleep_while_they_wait_unless_told_otherwise(given, found):
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"} | given
    script = "import os; from latens.cli import main; main(['--version']); print(os.environ['OMP_WAIT_POLICY'])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.splitlines()[-1] == found
