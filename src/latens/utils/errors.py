"""The one error a user's input can cause."""


class InputError(ValueError):
    """The input cannot be used; the message names what was expected, what came, and what to do.

    >>> raise InputError("Bernoulli expects values in {0, 1}; got values in [0, 255].")
    Traceback (most recent call last):
    latens.utils.errors.InputError: Bernoulli expects values in {0, 1}; got values in [0, 255].
    """
