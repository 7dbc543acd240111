"""Several players against loops written by hand."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from latens.training import Linear, Player, Recipe, Recovered, ResidentBatches, WhileGrowing, loop, minimise
from latens.training.batches import order
from latens.utils.errors import InputError

X = torch.randn(48, 3, generator=torch.Generator().manual_seed(0))
RECIPE = Recipe(4, 8, Linear(0.05, 0.01), clip=0.7, precision="float32", seed=3)


class Game(nn.Module):
    """u minimises (u - v - x)^2 + u v, v minimises (v + x)^2 / 2 - u v."""

    def __init__(self):
        super().__init__()
        self.u, self.v = nn.Parameter(torch.tensor([0.3, -0.2, 1.0])), nn.Parameter(torch.tensor([1.0, 0.5, -0.4]))

    def values(self, x):
        first = ((self.u - self.v - x).square() + self.u * self.v).sum(1).mean()
        return first, (0.5 * (self.v + x).square() - self.u * self.v).sum(1).mean()

    def first(self, batch, progress):
        return {"first": self.values(batch[0])[0]}

    def second(self, batch, progress):
        return {"second": self.values(batch[0])[1]}

    def both(self, batch, progress):
        return dict(zip(("first", "second"), self.values(batch[0])))


def by_hand(moves, alternating):
    """The loop as one would write it: ``moves(t)`` says whose turn it is."""
    game, losses = Game(), []
    weights = (game.u, game.v)
    adams = [torch.optim.AdamW([w], weight_decay=0.0) for w in weights]
    t = 0
    for epoch in range(4):
        for rows in order(48, 8, 3, epoch, 0, 0, 1):
            start = [v.item() for v in game.values(X[rows])]
            at_once = [torch.autograd.grad(game.values(X[rows])[i], weights[i])[0] for i in (0, 1)]
            for i in moves(t):
                gradient = torch.autograd.grad(game.values(X[rows])[i], weights[i])[0] if alternating else at_once[i]
                weights[i].grad = gradient.clone()
                nn.utils.clip_grad_norm_([weights[i]], 0.7)
                adams[i].param_groups[0]["lr"] = (0.05 - 0.04 * t / 24) * (1.0, 2.0)[i]
                if alternating and i:
                    start[1] = game.values(X[rows])[1].item()
                adams[i].step()
            losses.append(start)
            t += 1
    return game, torch.tensor(losses).reshape(4, 6, 2).mean(1)


ROUNDS = {
    "each in each step": ((1, 1), lambda t: (0, 1)),
    "three of the first": ((3, 1), lambda t: (0, 1) if t % 3 == 2 else (0,)),
    "two of the second": ((1, 2), lambda t: (0, 1) if t % 2 == 1 else (1,)),
    "three and two": ((3, 2), lambda t: ((0,), (0, 1), (0, 1))[t % 3]),
}


@pytest.mark.parametrize("replay", [False, True])
@pytest.mark.parametrize("alternating", [True, False])
@pytest.mark.parametrize("name", ROUNDS)
def test_a_game_equals_the_loop_written_by_hand(name, alternating, replay, monkeypatch):
    monkeypatch.setattr(loop, "REPLAY_STEPS", 0)
    (a, b), moves = ROUNDS[name]
    game = Game()
    players = [
        Player("first", [game.u], game.first if alternating else None, a),
        Player("second", [game.v], game.second if alternating else None, b, speed=2.0),
    ]
    history = minimise(game, game.both, ResidentBatches(X), RECIPE, players=players, replay=replay)
    expected, losses = by_hand(moves, alternating)
    torch.testing.assert_close(game.u, expected.u, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(game.v, expected.v, rtol=1e-5, atol=1e-6)
    for i, column in enumerate(("first", "second")):
        found = torch.tensor([row[column] for row in history.rows])
        if (a, b) == (1, 1) or not alternating:
            torch.testing.assert_close(found, losses[:, i], rtol=1e-5, atol=1e-6)


def test_players_of_one_loss_share_its_pass():
    game, calls = Game(), []

    def counted(batch, progress):
        calls.append(1)
        return game.both(batch, progress)

    players = [Player("first", [game.u]), Player("second", [game.v])]
    minimise(game, counted, ResidentBatches(X), RECIPE, players=players)
    assert len(calls) == 24


class Contest(nn.Module):
    """A module with noise and a critic with batch statistics, which is no part of it."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3))
        self.critics = [nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 1))]

    def loss(self, stop_at=None, error=KeyboardInterrupt, bad_at=None):
        calls = iter(range(10**6))

        def terms(batch, progress):
            call = next(calls)
            if call == stop_at:
                raise error
            made = self.net(batch[0] + 0.1 * torch.randn_like(batch[0]))
            judge = self.critics[0]
            contest = (
                nn.functional.softplus(judge(made.detach())).mean() + nn.functional.softplus(-judge(batch[0])).mean()
            )
            bad = float("nan") if call == bad_at else 1.0
            return {
                "loss": (made - batch[0]).square().mean() + nn.functional.softplus(-judge(made)).mean(),
                "critic_loss": contest * bad,
            }

        return terms

    def players(self, steps=1):
        critic = Player("critic_loss", list(self.critics[0].parameters()))
        return [Player("loss", list(self.net.parameters()), steps=steps), critic]

    def run(self, loss=None, steps=1, recipe=RECIPE, **options):
        players = self.players(steps)
        return minimise(
            self, loss or self.loss(), ResidentBatches(X), recipe, players=players, critics=self.critics[0], **options
        )

    def numbers(self):
        return [*self.net.state_dict().values(), *self.critics[0].state_dict().values()]


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.numbers(), b.numbers(), strict=True))


@pytest.mark.parametrize("steps", [1, 3, WhileGrowing("loss", 3)])
def test_replayed_players_have_the_same_bits(steps, monkeypatch):
    monkeypatch.setattr(loop, "REPLAY_STEPS", 0)
    plain, replayed = Contest(), Contest()
    histories = [plain.run(steps=steps), replayed.run(steps=steps, replay=True)]
    assert same(plain, replayed)
    assert [row["critic_loss"] for row in histories[0].rows] == [row["critic_loss"] for row in histories[1].rows]


def test_recorded_rounds_are_what_is_run(monkeypatch):
    monkeypatch.setattr(loop, "REPLAY_STEPS", 0)
    contest, calls = Contest(), []
    inner = contest.loss()
    contest.run(lambda batch, progress: calls.append(1) or inner(batch, progress), steps=2, replay=True)
    assert len(calls) == 4  # twice for each of the two sets of movers: once to compare, once to record


@pytest.mark.parametrize("steps", [1, 3, WhileGrowing("critic_loss", 3)])
@pytest.mark.parametrize("stop_at", [2, 7, 16])
def test_resumed_players_have_the_same_bits(tmp_path, monkeypatch, stop_at, steps):
    for name, value in {"CHECK_STEPS": 2, "SNAPSHOT_STEPS": 2, "CHECKPOINT_SECONDS": 0.0}.items():
        monkeypatch.setattr(loop, name, value)
    recipe = Recipe(4, 8, 0.02, ema=0.7, precision="float32")
    whole, broken, resumed, path = Contest(), Contest(), Contest(), tmp_path / "c.safetensors"
    history = whole.run(steps=steps, recipe=recipe)
    with pytest.raises(KeyboardInterrupt):
        broken.run(broken.loss(stop_at), steps, recipe, checkpoint=path)
    again = resumed.run(steps=steps, recipe=recipe, checkpoint=path)
    assert same(whole, resumed)
    assert [row["critic_loss"] for row in again.rows] == [row["critic_loss"] for row in history.rows]
    assert again.skipped == history.skipped == 0


def test_a_player_s_loss_that_is_not_finite_is_named_and_rolled_back():
    told, broken, whole = [], Contest(), Contest()
    recipe = Recipe(2, 8, 0.02, precision="float32")
    broken.run(broken.loss(bad_at=8), recipe=recipe, listener=told.append)
    (event,) = [e for e in told if isinstance(e, Recovered)]
    assert (event.name, event.epoch, event.step) == ("critic_loss", 2, 3)
    whole.run(recipe=Recipe(1, 8, 0.02, precision="float32"))
    halved = Contest()
    halved.run(halved.loss(bad_at=8), recipe=recipe)
    assert same(broken, halved)
    assert not same(broken, whole)


def test_gradients_that_are_never_finite_name_their_player():
    game = Game()

    def loss(batch, progress):
        return {"first": game.u.sum(), "second": (game.v * 0).abs().sqrt().sum()}

    players = [Player("first", [game.u]), Player("second", [game.v])]
    with pytest.raises(RuntimeError, match="the gradient of second was nan"):
        minimise(game, loss, ResidentBatches(X), Recipe(20, 8, precision="float32"), players=players)


def test_the_average_is_of_the_model_alone():
    live, averaged = Contest(), Contest()
    live.run(recipe=Recipe(4, 8, 0.02, precision="float32"))
    averaged.run(recipe=Recipe(4, 8, 0.02, ema=0.9, precision="float32"))
    pairs = zip(live.critics[0].state_dict().values(), averaged.critics[0].state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(live.net[0].weight, averaged.net[0].weight)


REFUSED = {
    "a name twice": (lambda g: [Player("first", [g.u]), Player("first", [g.v])], "a name of its own"),
    "weights twice": (lambda g: [Player("first", [g.u]), Player("second", [g.v, g.u])], "'first' and 'second'"),
    "no weights": (lambda g: [Player("first", [g.u, g.v]), Player("second", [])], "'second' has no weights"),
    "weights of nobody": (lambda g: [Player("first", [g.u])], "has one player"),
    "weights of another": (
        lambda g: [Player("first", [g.u, g.v]), Player("second", [nn.Parameter(X)])],
        "critics only",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name):
    game = Game()
    players, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        minimise(game, game.both, ResidentBatches(X), RECIPE, players=players(game))


def test_what_is_watched_must_be_there():
    game = Game()
    players = [Player("first", [game.u], steps=WhileGrowing("rate")), Player("second", [game.v])]
    with pytest.raises(InputError, match="watches 'rate', which is not in the history: epoch"):
        minimise(game, game.both, ResidentBatches(X), RECIPE, players=players)


SCRIPT = """
import json, os, sys, torch
from torch import distributed as dist
sys.path.insert(0, sys.argv[2])
torch.set_num_threads(1)
from test_players import Game, X
from latens.training import Linear, Player, Recipe, ResidentBatches, minimise

reduced, plain = [], dist.all_reduce
dist.all_reduce = lambda t: (reduced.append(t.dtype == torch.float32), plain(t))[1]
game = Game()
players = [Player("first", [game.u], steps=2), Player("second", [game.v])]
recipe = Recipe(4, 8, Linear(0.05, 0.01), clip=0.7, precision="float32", seed=3)
history = minimise(game, game.both, ResidentBatches(X), recipe, players=players)
rows = [[row["first"], row["second"]] for row in history.rows]
json.dump({"u": game.u.tolist(), "v": game.v.tolist(), "rows": rows, "reduced": sum(reduced)},
          open(sys.argv[1] + os.environ.get("RANK", "0"), "w"))
"""


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without distributed")
def test_two_processes_average_every_player_s_gradient(group, tmp_path):
    running = group(2, SCRIPT, tmp_path / "two-", Path(__file__).parent)
    game = Game()
    players = [Player("first", [game.u], steps=2), Player("second", [game.v])]
    rows = minimise(game, game.both, ResidentBatches(X), RECIPE, players=players).rows
    assert [p.wait() for p in running] == [0, 0]
    first, second = (json.loads((tmp_path / name).read_text()) for name in ("two-0", "two-1"))
    one = {"u": game.u.tolist(), "v": game.v.tolist(), "rows": [[row["first"], row["second"]] for row in rows]}
    assert (first["u"], first["v"]) == (second["u"], second["v"])
    for name in ("u", "v", "rows"):
        torch.testing.assert_close(torch.tensor(first[name]), torch.tensor(one[name]), rtol=1e-5, atol=1e-6)
    assert first["reduced"] == 24 + 12  # one for each move of each player
