"""The decoder of a topic model, against its formula."""

import torch

from latens.nn import Site, Topics


def test_each_latent_has_the_words_of_its_column_and_shares_are_mixed():
    torch.manual_seed(0)
    network = Topics().build(Site((6,), (3,))).double()
    z = torch.randn(50, 3, dtype=torch.float64)
    weight = network[2].weight
    mixed = z.softmax(-1) @ weight.T
    expected = (mixed - mixed.mean(0)) / (mixed.var(0, correction=0) + 1e-5).sqrt()
    assert torch.allclose(network(z), expected)
    network.eval()
    at = network(60.0 * torch.eye(3, dtype=torch.float64))
    scale = (network[3].running_var + 1e-5).sqrt()
    assert torch.allclose(at, (weight.T - network[3].running_mean) / scale)


def test_events_of_any_shape_come_out():
    network = Topics().build(Site((2, 3), (4,)))
    assert network(torch.randn(5, 4)).shape == (5, 2, 3)
