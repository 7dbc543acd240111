"""Progress: a few lines in a pipe, a panel on a terminal, a table of figures."""

import io

import pytest
from rich.console import Console

from latens.cli.live import LINES, Metrics, Panel, Thinned, read_metrics, spark
from latens.cli.runs import Run
from latens.training import EpochEnd, Recovered, Started, Stopped, Tick


def row(epoch):
    means = {"mean_per_dimension": [0.5, 0.0, 0.2], "mean_square_per_dimension": [0.5, 0.0, 0.2]}
    rates = [0.5, 0.0, 0.2]
    held = {"held_out_loss": 80.0 - epoch, "held_out_distortion": 79.3, "held_out_rate": 0.7}
    train = {"epoch": epoch, "step": 10 * epoch, "seconds": 1.5 * epoch, "learning_rate": 1e-3, "loss": 90.0 / epoch}
    return {**train, "distortion": 1.0, "rate": 0.7, "rate_per_dimension": rates, **means, **held}


def events(epochs):
    yield Started(epochs, 10, 1000, "float32")
    for epoch in range(1, epochs + 1):
        yield Tick(epoch - 1, 5, (epoch - 0.5) / epochs, 3.0, {"loss": 85.25, "distortion": 84.0, "rate": 1.25})
        yield EpochEnd(row(epoch), epoch / epochs, 61.0, True)
    yield Stopped("epochs", epochs, epochs)


@pytest.mark.parametrize("epochs", [1, 7, 25, 26, 60, 1000])
def test_a_pipe_gets_few_lines_the_first_and_the_last_among_them(epochs):
    lines = []
    listener = Thinned(lines.append)
    for event in events(epochs):
        listener(event)
    assert len(lines) <= LINES + 4
    assert lines[1].startswith("epoch 1:")
    assert lines[-2].startswith(f"epoch {epochs}: held-out loss")
    assert lines[-1].startswith("stopped after")


def test_a_recovery_is_told():
    lines = []
    Thinned(lines.append)(Recovered("rate", float("nan"), 3, 7, 0.5, 1))
    assert "rate was nan in epoch 3, step 7" in lines[0]


def test_the_panel_shows_loss_parts_units_speed_and_time():
    shown, told = [], []
    panel = Panel(shown.append, told.append)
    for event in list(events(30))[:8]:
        panel(event)
    out = io.StringIO()
    Console(file=out, width=120).print(shown[-1])
    text = out.getvalue()
    for part in ("4 of 30", "3 s left", "steps/s", "loss 85.25, distortion 84, rate 1.25"):
        assert part in text
    assert "held-out loss 77, distortion 79.3, rate 0.7, 2 of 3 units active" in text
    assert told == ["1000 examples, 30 epochs of 10 steps, float32"]


def test_metrics_go_on_where_a_checkpoint_stands(tmp_path):
    run = Run(tmp_path)
    first = Metrics(run)
    first(Started(9, 10, 1000, "float32"))
    for epoch in (1, 2, 3):
        first.written = 0.0
        first(EpochEnd(row(epoch), epoch / 9, 1.0, True))
    assert [found["epoch"] for found in read_metrics(run)] == [1, 2, 3]
    second = Metrics(run)
    second(Started(9, 10, 1000, "float32", epoch=2))
    second(EpochEnd(row(3), 0.3, 1.0, True))
    found = read_metrics(run)
    assert [item["epoch"] for item in found] == [1, 2, 3]
    plain = {name: value for name, value in row(3).items() if not name.endswith("per_dimension")}
    assert found[2] == plain | {"active_units": 2}


def test_a_spark_line_rises_and_falls_with_the_values():
    assert spark([0.0, 7.0, 0.0]) == "▁█▁"
    assert spark([2.0]) == "▁"
    assert len(spark(list(range(1000)))) <= 60
