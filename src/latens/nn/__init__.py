"""Tensor to tensor, no probability. A network specification is a value that builds a module for its site.

A network maps one tensor to one tensor, example by example: ``(B, *context_shape) -> (B, *event_shape)``. Any
``nn.Module`` that does so may stand where a specification stands.
"""

from latens.nn.attention import Transformer
from latens.nn.base import Site, Spec
from latens.nn.conv import Conv
from latens.nn.masked import MaskedMLP
from latens.nn.mlp import MLP
from latens.nn.recurrent import GRU
from latens.nn.sequences import Decoder, Encoder, SequenceNetwork
from latens.nn.topics import Topics
from latens.nn.view import TableView, View, view_of

__all__ = [
    "GRU",
    "MLP",
    "Conv",
    "Decoder",
    "Encoder",
    "MaskedMLP",
    "SequenceNetwork",
    "Site",
    "Spec",
    "TableView",
    "Topics",
    "Transformer",
    "View",
    "view_of",
]
