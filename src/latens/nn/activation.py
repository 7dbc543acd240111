"""Activations by their usual names."""

from torch import nn

from latens.utils.validation import check_choice

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "softplus": nn.Softplus,
    "leaky_relu": nn.LeakyReLU,
}


GATED = "gated"


def unit(name: str) -> tuple[int, nn.Module]:
    """How many numbers a hidden unit is made of, and the module that makes it: "gated" is a * sigmoid(b), of two.

    Reference:
        Dauphin, Fan, Auli and Grangier, *Language modeling with gated convolutional networks*, 2017.

    >>> unit("tanh"), unit("gated")
    ((1, Tanh()), (2, GLU(dim=-1)))
    """
    check_choice("activation", name, (*ACTIVATIONS, GATED))
    return (2, nn.GLU()) if name == GATED else (1, activation(name))


def activation(name: str) -> nn.Module:
    """The activation module of that name.

    >>> activation("tanh")
    Tanh()
    """
    check_choice("activation", name, tuple(ACTIVATIONS))
    return ACTIVATIONS[name]()
