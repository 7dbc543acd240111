"""Whether a likelihood gives the data any mass, asked once: at fit."""

from __future__ import annotations

from collections.abc import Callable

from latens.data import Column, Schema
from latens.data.table import refuse_other_than_numbers
from latens.distributions import AutoregressiveOf, Categorical, DiscretizedLogistic, Family, Product, Strings
from latens.distributions.base import innermost
from latens.distributions.neighbours import whole_rows
from latens.neural import defaults
from latens.neural.columns import product_of, varying
from latens.utils.errors import InputError

_Check = Callable[[Schema, Family], bool]


def check_support(schema: Schema, family: Family) -> None:
    """Refuses a likelihood that gives the data no mass.

    Raises:
        InputError: naming the support of the family, the range of the data, and what fits.

    >>> from latens.distributions import Bernoulli
    >>> check_support(Schema("image", (28, 28), "uint8", 0.0, 255.0, 256), Bernoulli())
    Traceback (most recent call last):
    latens.utils.errors.InputError: Bernoulli() expects two levels, such as {0, 1}; got 256 levels from 0 to 255. ...
    """
    product = product_of(family)
    if product is not None and schema.columns is not None:
        _check_heads(schema, product)
        return
    refuse_other_than_numbers(schema, str(family))
    if schema.has_missing and isinstance(family, AutoregressiveOf):
        raise whole_rows(family.family)
    expected, holds = _SUPPORTS.get(family.support, ("", lambda schema, family: True))
    if not holds(schema, innermost(family)):
        values = f"values from {schema.low:g} to {schema.high:g}" if schema.levels is None else schema.values
        raise InputError(
            f"{family} expects {expected}; got {values}. "
            f"Use {defaults.likelihood(schema, 0).value}, or transform the data."
        )


def _check_heads(schema: Schema, product: Product) -> None:
    """Refuses heads that are not one for each column, or that give a column no mass."""
    columns = varying(schema)
    if len(product.columns) != len(columns):
        raise InputError(
            f"Product expects a head for each of the {len(columns)} columns that are no constants; "
            f"got {len(product.columns)}."
        )
    for head, column in zip(product.columns, columns):
        fits = _holds_column(innermost(head), column)
        if fits is not None:
            raise InputError(f"the column '{column.name}' ({column.kind}, {column.values}) expects {fits}; got {head}.")


def _holds_column(head: Family, column: Column) -> str | None:
    """What head a column expects, in words; None where this is one."""
    levels = 2 if column.kind == "boolean" else len(column.categories or ())
    if levels:
        binary = head.support == "binary" and levels == 2
        told = levels - len(column.rare) + bool(column.rare)
        named = isinstance(head, Categorical) and (head.n == told or (head.n >= told and not column.rare))
        return None if binary or named else f"Categorical({told})"
    if head.support == "counts":
        return None if column.kind == "count" or (column.is_mass and column.low >= 0) else "a head of real numbers"
    if head.support == "lattice":
        fits = isinstance(head, DiscretizedLogistic) and column.levels == head.levels
        return None if fits else "a lattice of as many levels as it has, or Categorical(64)"
    if head.support == "binary":
        return "a head of real numbers, or Categorical(64)"
    if head.measure == "lebesgue" and column.is_mass:
        return "a mass on whole numbers, such as Categorical(64)"
    return None


def _has_levels(schema: Schema, family: Family) -> bool:
    return isinstance(family, DiscretizedLogistic) and schema.levels == family.levels


def _has_classes(schema: Schema, family: Family) -> bool:
    return isinstance(family, Categorical) and schema.levels is not None and schema.levels <= family.n


def _has_symbols(schema: Schema, family: Family) -> bool:
    return isinstance(family, Strings) and schema.tokens is not None and schema.tokens.size <= family.symbols


def _counts(schema: Schema, family: Family) -> bool:
    return schema.discrete and schema.support[0] >= 0 and schema.step == 1


def _in_unit(schema: Schema, family: Family) -> bool:
    return schema.levels is not None or (schema.low >= 0 and schema.high <= 1)


_SUPPORTS: dict[str, tuple[str, _Check]] = {
    "binary": ("two levels, such as {0, 1}", lambda schema, family: schema.levels == 2),
    "lattice": ("as many equally spaced levels as it has", _has_levels),
    "classes": ("no more levels than it has classes", _has_classes),
    "counts": ("whole numbers 0, 1, 2, ...", _counts),
    "unit": ("values in [0, 1]", _in_unit),
    "sphere": ("points on a sphere, as latents may be and rows are not", lambda schema, family: False),
    "ball": ("points of a ball, as latents may be and rows are not", lambda schema, family: False),
    "point": ("latents, which may be points without a density, as rows may not", lambda schema, family: False),
    "symbols": ("text, of no more symbols than it has", _has_symbols),
    "open unit": ("values in [0, 1]", _in_unit),
}
