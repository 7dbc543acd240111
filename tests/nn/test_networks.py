"""Networks: any size in, any size out, and no element cut off from another."""

from dataclasses import replace
from math import prod

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from latens.models import ConvLadder, Ladder
from latens.nn import MLP, Conv, Site, View
from latens.nn.activation import ACTIVATIONS
from latens.nn.residual import Residual, convolution
from latens.utils.errors import InputError

SHAPES = [(1, 1, 1), (1, 1, 17), (3, 2, 3), (1, 5, 5), (2, 7, 13), (3, 8, 8), (4, 13, 7), (1, 19, 4), (1, 28, 28)]
SHAPES += [(1, 1), (1, 17), (2, 4), (3, 101), (1, 140)]
DATA = {"x".join(map(str, shape)): shape for shape in SHAPES}
SPECS = {
    "mlp": MLP((12, 9)),
    "gated mlp": MLP((12, 9), "gated"),
    "linear map": MLP(()),
    "conv": Conv((4, 6)),
    "one level": Conv((5,), blocks=1, activation="tanh"),
    "three levels": Conv((3, 4, 5), blocks=1, activation="gelu", patch=2),
    "patches of 3, nothing hidden": Conv((5, 4), blocks=1, patch=3, hidden=0),
    "every pixel": Conv((4, 5), blocks=1, patch=1, hidden=6),
}


def shaken(network):
    """With every weight moved, so that no layer that starts at zero hides what lies behind it."""
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return network.double()


def jacobian(network, shape):
    """|d out / d in| of one random input, ``(out, in)``."""
    x = torch.randn(1, *shape, dtype=torch.float64)
    matrix = torch.autograd.functional.jacobian(lambda t: network(t).flatten(), x)
    return matrix.reshape(-1, prod(shape)).abs()


@pytest.mark.parametrize("shape", DATA.values(), ids=DATA)
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_every_element_of_the_decoder_depends_on_the_code(spec, shape):
    torch.manual_seed(0)
    network = shaken(spec.build(Site(event_shape=shape, context_shape=(3,))))
    z = torch.randn(2, 3, dtype=torch.float64)
    with torch.no_grad():
        out = network(z)
    assert out.shape == (2, *shape)
    moved = out[1] - out[0]
    assert moved.abs().min() > 1e-9
    assert moved.unique().numel() == moved.numel(), "two elements move exactly alike"


@pytest.mark.parametrize("shape", DATA.values(), ids=DATA)
@pytest.mark.parametrize("name", [name for name in SPECS if name != "linear map"])
def test_the_encoder_sees_every_element(name, shape):
    torch.manual_seed(1)
    network = shaken(SPECS[name].build(Site(event_shape=(5,), context_shape=shape)))
    x = torch.randn(1, *shape, dtype=torch.float64, requires_grad=True)
    out = network(x)
    assert out.shape == (1, 5)
    slope = torch.autograd.grad(out.square().sum(), x)[0]
    assert slope.abs().min() > 1e-9


def test_every_element_of_a_small_network_depends_on_every_other():
    torch.manual_seed(2)
    assert jacobian(shaken(SPECS["conv"].build(Site((5,), (2, 5, 3)))), (2, 5, 3)).min() > 1e-9
    assert jacobian(shaken(SPECS["conv"].build(Site((2, 5, 3), (4,)))), (4,)).min() > 1e-9
    assert jacobian(shaken(SPECS["conv"].build(Site((5,), (2, 11)))), (2, 11)).min() > 1e-9


def test_convolutions_along_one_axis_are_those_of_images_one_pixel_high():
    torch.manual_seed(7)
    spec = Conv((4, 6), blocks=1, patch=3, hidden=5)
    for line, image in ((Site((5,), (2, 23)), Site((5,), (2, 1, 23))), (Site((2, 23), (5,)), Site((2, 1, 23), (5,)))):
        one, two = shaken(spec.build(line)), spec.build(image).double()
        two.load_state_dict(_middle_rows(one, two))
        z = torch.randn(3, *line.context_shape, dtype=torch.float64)
        torch.testing.assert_close(two(z.reshape(3, *image.context_shape)).reshape(3, *line.event_shape), one(z))


def _middle_rows(one, two):
    """Weights of an image network whose kernels, and whose raised pixels, are zero but for the row of the signal."""
    rows = {}
    for name, target in two.state_dict().items():
        source, rows[name] = one.state_dict()[name], torch.zeros_like(target)
        if target.shape == source.shape:
            rows[name] = source
        elif target.ndim == 1:  # of a climb: channels of a signal at each of stride places, of an image at stride**2
            stride = len(target) // len(source)
            rows[name].view(-1, stride, stride)[:, 0] = source.view(-1, stride)
        elif len(target) == len(source):
            rows[name][:, :, target.shape[2] // 2] = source
        else:
            stride, (ins, _, width) = len(target) // len(source), target.shape[1:]
            places = rows[name].view(-1, stride, stride, ins, 3, width)
            places[:, 0, ..., 1, :] = source.view(-1, stride, ins, width)
    return rows


def test_examples_do_not_see_each_other():
    torch.manual_seed(3)
    x = torch.randn(4, 3, 9, 7, dtype=torch.float64)
    other = x.clone()
    other[1:] = 0.0
    for spec in (MLP((8,)), Conv((4, 6))):
        network = shaken(spec.build(Site((5,), (3, 9, 7))))
        torch.testing.assert_close(network(x)[0], network(other)[0], rtol=1e-12, atol=1e-12)


def test_an_mlp_is_the_formula():
    torch.manual_seed(4)
    network = MLP((6, 4), "tanh").build(Site((2, 3), (5, 2))).double()
    w1, b1, w2, b2, w3, b3 = (p.detach().numpy() for p in network.parameters())
    x = np.random.default_rng(0).normal(size=(7, 5, 2))
    h = np.tanh(np.tanh(x.reshape(7, 10) @ w1.T + b1) @ w2.T + b2)
    expected = (h @ w3.T + b3).reshape(7, 2, 3)
    np.testing.assert_allclose(network(torch.tensor(x)).detach().numpy(), expected, rtol=1e-12)


def test_a_linear_map_is_linear():
    network = MLP(()).build(Site((3,), (4,))).double()
    a, b = torch.randn(2, 5, 4, dtype=torch.float64)
    torch.testing.assert_close(network(a + b), network(a) + network(b) - network(torch.zeros_like(a)))


def test_the_untrained_blocks_of_a_pyramid_change_nothing():
    torch.manual_seed(5)
    deep = Conv((4, 6), blocks=3).build(Site((5,), (1, 9, 9)))
    shallow = Conv((4, 6), blocks=0).build(Site((5,), (1, 9, 9)))
    strided = [m for m in deep.levels if isinstance(m, nn.Conv2d)]
    for mine, theirs in zip([m for m in shallow.levels if isinstance(m, nn.Conv2d)], strided):
        mine.load_state_dict(theirs.state_dict())
    shallow.head.load_state_dict(deep.head.state_dict())
    x = torch.randn(3, 1, 9, 9)
    torch.testing.assert_close(deep(x), shallow(x))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_serves_both_networks(name):
    torch.manual_seed(6)
    x = torch.randn(3, 1, 6, 5)
    outs = [spec.build(Site((4,), (1, 6, 5)))(x) for spec in (MLP((8,), name), Conv((4,), activation=name))]
    assert all(out.isfinite().all() and out.std() > 0 for out in outs)


WRONG = {
    "no channels": (lambda: Conv(()), "at least one positive number of channels"),
    "half a channel": (lambda: Conv((1.5,)), "positive number of channels"),
    "no patch": (lambda: Conv((8,), patch=0), "patch >= 1"),
    "no units": (lambda: MLP((0,)), "positive whole numbers of units"),
    "activation": (lambda: MLP((8,), "rellu"), "did you mean 'relu'"),
    "vectors": (lambda: Conv((8,)).build(Site((4,), (5,))), r"\(5,\) -> \(4,\). Use MLP"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_specification_is_refused(name):
    make, message = WRONG[name]
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_a_view_centres_and_scales(scale):
    batch = torch.tensor(np.random.default_rng(1).normal(3.0, 2.0, size=(50, 4)) * scale)
    seen = View(batch)(batch)
    np.testing.assert_allclose(seen.mean(0), 0.0, atol=1e-9)
    np.testing.assert_allclose(seen.numpy().std(0), 1.0, rtol=1e-9)


def test_a_view_of_an_image_has_one_scale():
    batch = torch.tensor(np.random.default_rng(2).normal(size=(9, 2, 3, 4)) * np.arange(1.0, 5.0))
    expected = (batch - batch.mean()) / batch.std(correction=0)
    torch.testing.assert_close(View(batch)(batch), expected)


def test_a_view_of_large_counts_is_logarithmic():
    batch = torch.tensor([[0.0], [9.0], [99.0]], dtype=torch.float64)
    logs = np.log(np.array([1.0, 10.0, 100.0]))
    expected = (logs - logs.mean()) / logs.std()
    np.testing.assert_allclose(View(batch)(batch)[:, 0], expected, rtol=1e-12)


def test_a_constant_column_is_shown_as_zero():
    batch = torch.tensor([[5.0, 1.0], [5.0, 2.0]])
    assert View(batch)(batch)[:, 0].tolist() == [0.0, 0.0]


def test_a_gated_unit_is_one_linear_map_times_the_sigmoid_of_another():
    torch.manual_seed(4)
    network = MLP((7,), "gated").build(Site((2,), (3,)))
    x, first, last = torch.randn(5, 3), network[0], network[-1]
    a, b = x @ first.weight[:7].T + first.bias[:7], x @ first.weight[7:].T + first.bias[7:]
    torch.testing.assert_close(network(x), last(a * torch.sigmoid(b)))


def test_dropout_keeps_the_mean_of_a_linear_map_and_is_for_training_alone():
    torch.manual_seed(5)
    network = MLP((), dropout=0.25).build(Site((2,), (400,)))
    x = torch.ones(1, 400)
    drawn = network(x.expand(20_000, -1)) - network[1].bias
    expected, variance = network[1].weight.sum(1), network[1].weight.square().sum(1) * 0.25 / 0.75
    assert ((drawn.mean(0) - expected).abs() < 4 * (variance / 20_000).sqrt()).all()
    torch.testing.assert_close(drawn.var(0), variance, rtol=0.06, atol=0)
    torch.testing.assert_close(network.eval()(x)[0], expected + network[1].bias)


def test_dropout_in_a_block_keeps_the_mean_of_what_it_adds():
    torch.manual_seed(6)
    block = Residual(nn.Linear, 300, "silu", gain=1.0, dropout=0.25)
    x = torch.randn(1, 300)
    drawn = block(x.expand(20_000, -1))
    expected = block.eval()(x)[0]
    assert ((drawn.mean(0) - expected).abs() < 4.5 * (drawn.var(0) / 20_000).sqrt()).all()
    assert (drawn.var(0) > 1e-4).all()


def test_a_bottleneck_is_four_maps_of_which_the_inner_two_see_neighbours():
    torch.manual_seed(0)
    block, x = Residual(convolution, 6, "tanh", gain=1.0, bottleneck=3), torch.randn(4, 6, 5, 7)
    weights = [(p.weight, p.bias) for p in block.modules() if isinstance(p, nn.Conv2d)]
    assert [tuple(w.shape) for w, _ in weights] == [(2, 6, 1, 1), (2, 2, 3, 3), (2, 2, 3, 3), (6, 2, 1, 1)]
    h = x / (x.square().mean((1, 2, 3), keepdim=True) + 0.01).sqrt()
    for weight, bias in weights:
        patches = F.unfold(torch.tanh(h), weight.shape[-1], padding=weight.shape[-1] // 2)
        h = (weight.flatten(1) @ patches + bias[:, None]).unflatten(2, (5, 7))
    torch.testing.assert_close(block(x), x + h)
    assert (Residual(convolution, 6, "tanh", bottleneck=3)(x) == x).all()


@pytest.mark.parametrize(
    ("spec", "site"),
    [
        (Conv((4, 8), dropout=0.1), Site((3,), (1, 8, 8))),
        (Conv((4, 8), dropout=0.1), Site((1, 8, 8), (3,))),
        (Ladder((3, 2), width=8, dropout=0.1), Site((5,), (5,))),
        (ConvLadder((1, 1), (4, 8), dropout=0.1), Site((1, 8, 8), (1, 8, 8))),
    ],
    ids=str,
)
def test_every_block_of_a_network_drops(spec, site):
    blocks = [part for part in spec.build(site).modules() if isinstance(part, Residual)]
    assert blocks
    assert all(block.dropped[0].p == 0.1 for block in blocks)
    with pytest.raises(InputError, match="expects 0 <= dropout < 1; got 1"):
        replace(spec, dropout=1)


@pytest.mark.parametrize(
    ("changes", "what"), [({"dropout": 1.0}, "dropout < 1"), ({"activation": "gate"}, "activation")]
)
def test_a_perceptron_refuses_what_it_cannot_build(changes, what):
    with pytest.raises(InputError, match=what):
        MLP((4,), **changes)
