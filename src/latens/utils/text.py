"""The library's own text: what ``repr`` prints, ``parse`` reads back; nothing is ever evaluated.

The law is ``parse(text(value)) == value`` for every nesting. The language has calls of known constructors, numbers,
strings, booleans, None, tuples, lists, dictionaries, a sign, ``+`` and ``*``: enough for
``Distortion() + 4.0 * Rate()``, and nothing that could do harm.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from latens.utils.errors import InputError

MAX_LENGTH = 1_000_000
MAX_DEPTH = 100

_CONSTANTS = {"inf": float("inf"), "nan": float("nan")}
_OPERATORS: dict[type[ast.operator], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Add: ("add", operator.add),
    ast.Mult: ("multiply", operator.mul),
}
_NAMES_OF_NODES = {
    "Attribute": "an attribute",
    "BinOp": "an operator other than + and *",
    "BoolOp": "and/or",
    "Compare": "a comparison",
    "DictComp": "a comprehension",
    "GeneratorExp": "a comprehension",
    "IfExp": "a condition",
    "JoinedStr": "an f-string",
    "Lambda": "a lambda",
    "ListComp": "a comprehension",
    "NamedExpr": "an assignment",
    "Set": "a set",
    "SetComp": "a comprehension",
    "Starred": "a star",
    "Subscript": "an index",
    "UnaryOp": "not or ~",
}


def text(value: Any) -> str:
    """The text a user would write for `value`; `parse` reads it back.

    Args:
        value: a value, an estimator, a number (NumPy's included), or a nesting of tuples, lists and dictionaries.

    Example:
        >>> text((1, -0.5, {"scale": "shared"}))
        "(1, -0.5, {'scale': 'shared'})"
    """
    if isinstance(value, np.generic):
        return repr(value.item())
    if type(value) is tuple:
        return "(" + ", ".join(map(text, value)) + (",)" if len(value) == 1 else ")")
    if type(value) is list:
        return "[" + ", ".join(map(text, value)) + "]"
    if type(value) is dict:
        return "{" + ", ".join(f"{text(key)}: {text(item)}" for key, item in value.items()) + "}"
    if hasattr(value, "get_params") and not isinstance(value, type):
        return _estimator(value)
    return repr(value)


def _estimator(value: Any) -> str:
    """Like scikit-learn's own print, which would cut a long text short."""
    given = value.get_params(deep=False)
    parameters = inspect.signature(type(value)).parameters.values()
    shown = [
        f"{p.name}={text(given[p.name])}" for p in parameters if p.name in given and not _same(p.default, given[p.name])
    ]
    return f"{type(value).__name__}({', '.join(shown)})"


def _same(default: Any, value: Any) -> bool:
    return type(default) is type(value) and text(default) == text(value)


def parse(text: str, vocabulary: Mapping[str, Callable[..., Any]]) -> Any:
    """The value that `text` writes, built only from the constructors in `vocabulary`.

    Args:
        text: at most a million characters, nested at most a hundred deep.
        vocabulary: the names that may be called, and what they make.

    Raises:
        InputError: anything else than the library's own text, an unknown name, or arguments its constructor refuses.

    Example:
        >>> parse("complex(1, imag=-2.0)", {"complex": complex})
        (1-2j)
        >>> parse("comlex(1)", {"complex": complex})
        Traceback (most recent call last):
        latens.utils.errors.InputError: unknown name 'comlex'; did you mean 'complex'?
    """
    if len(text) > MAX_LENGTH:
        raise InputError(f"the text has {len(text)} characters; at most {MAX_LENGTH} are read")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except SyntaxError as error:
        raise InputError(f"cannot read {_short(text)}: {error.msg}") from None
    except ValueError as error:
        raise InputError(f"cannot read {_short(text)}: {error}") from None
    except (MemoryError, RecursionError):
        raise InputError(f"cannot read {_short(text)}: it is nested too deeply") from None
    return _Reader(text.strip(), vocabulary).read(tree.body, 0)


def nearest(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` when a known name is near, else nothing.

    >>> nearest("gaussain", ["gaussian", "tophat"])
    "; did you mean 'gaussian'?"
    """
    known = list(known)
    lowered = {item.lower(): item for item in known}
    matches = difflib.get_close_matches(name.lower(), lowered, n=1)
    return f"; did you mean '{lowered[matches[0]]}'?" if matches else ""


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")


class _Reader:
    def __init__(self, source: str, vocabulary: Mapping[str, Callable[..., Any]]) -> None:
        self.source = source
        self.vocabulary = vocabulary

    def read(self, node: ast.expr, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise InputError(f"cannot read {_short(self.source)}: it is nested more than {MAX_DEPTH} deep")
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        if method is None:
            raise self._refuse(node)
        return method(node, depth + 1)

    def _refuse(self, node: ast.expr) -> InputError:
        kind = _NAMES_OF_NODES.get(type(node).__name__, type(node).__name__)
        return InputError(f"cannot read {self._segment(node)}: {kind} is not part of the language")

    def _segment(self, node: ast.expr) -> str:
        return _short(ast.get_source_segment(self.source, node) or self.source)

    def _constant(self, node: ast.Constant, depth: int) -> Any:
        if node.value is not None and not isinstance(node.value, bool | int | float | str):
            raise InputError(
                f"cannot read {self._segment(node)}: {type(node.value).__name__} is not part of the language"
            )
        return node.value

    def _tuple(self, node: ast.Tuple, depth: int) -> tuple[Any, ...]:
        return tuple(self.read(item, depth) for item in node.elts)

    def _list(self, node: ast.List, depth: int) -> list[Any]:
        return [self.read(item, depth) for item in node.elts]

    def _dict(self, node: ast.Dict, depth: int) -> dict[Any, Any]:
        if None in node.keys:
            raise InputError(f"cannot read {self._segment(node)}: a star is not part of the language")
        keys = [self.read(key, depth) for key in node.keys if key is not None]
        try:
            return dict(zip(keys, (self.read(item, depth) for item in node.values)))
        except TypeError as error:
            raise InputError(f"cannot read {self._segment(node)}: {error}") from None

    def _name(self, node: ast.Name, depth: int) -> float:
        if node.id in _CONSTANTS:
            return _CONSTANTS[node.id]
        if node.id in self.vocabulary:
            raise InputError(f"{node.id} is written with brackets: {node.id}()")
        raise self._unknown(node.id)

    def _unknown(self, name: str) -> InputError:
        hint = nearest(name, self.vocabulary) or f". Known: {', '.join(sorted(self.vocabulary))}."
        return InputError(f"unknown name '{name}'{hint}")

    def _unaryop(self, node: ast.UnaryOp, depth: int) -> Any:
        value = self.read(node.operand, depth)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"cannot read {self._segment(node)}: a sign stands before a number only")
        if isinstance(node.op, ast.USub):
            return -value
        if isinstance(node.op, ast.UAdd):
            return value
        raise self._refuse(node)

    def _binop(self, node: ast.BinOp, depth: int) -> Any:
        if type(node.op) not in _OPERATORS:
            raise self._refuse(node)
        verb, apply = _OPERATORS[type(node.op)]
        left, right = self.read(node.left, depth), self.read(node.right, depth)
        if isinstance(left, str | tuple | list | dict) or isinstance(right, str | tuple | list | dict):
            raise InputError(f"cannot {verb} in {self._segment(node)}: + and * join numbers and objectives only")
        try:
            return apply(left, right)
        except (TypeError, OverflowError):
            raise InputError(f"cannot {verb} {_short(repr(left))} and {_short(repr(right))}") from None
        except ValueError as error:
            raise InputError(f"{error} (in {self._segment(node)})") from None

    def _call(self, node: ast.Call, depth: int) -> Any:
        if not isinstance(node.func, ast.Name):
            raise self._refuse(node.func)
        name = node.func.id
        if name not in self.vocabulary:
            raise self._unknown(name)
        arguments = [self.read(item, depth) for item in node.args]
        keywords = {self._keyword(item, node): self.read(item.value, depth) for item in node.keywords}
        make = self.vocabulary[name]
        _check_arguments(name, make, arguments, keywords)
        try:
            return make(*arguments, **keywords)
        except (ValueError, TypeError, OverflowError) as error:
            raise InputError(f"{error} (in {self._segment(node)})") from None

    def _keyword(self, item: ast.keyword, node: ast.Call) -> str:
        if item.arg is None:
            raise InputError(f"cannot read {self._segment(node)}: a star is not part of the language")
        return item.arg


def _check_arguments(name: str, make: Callable[..., Any], arguments: list[Any], keywords: dict[str, Any]) -> None:
    try:
        signature = inspect.signature(make)
    except ValueError:
        return
    try:
        signature.bind(*arguments, **keywords)
    except TypeError as error:
        raise InputError(_wrong_arguments(name, signature, keywords, str(error))) from None


def _wrong_arguments(name: str, signature: inspect.Signature, keywords: dict[str, Any], problem: str) -> str:
    known = [p.name for p in signature.parameters.values() if p.kind != p.POSITIONAL_ONLY]
    written = f"{name}({', '.join(map(_parameter, signature.parameters.values()))})"
    unknown = [key for key in keywords if key not in known]
    if unknown:
        hint = nearest(unknown[0], known) or "."
        return f"{name} has no '{unknown[0]}'{hint} It is written {written}."
    return f"{name}: {problem}. It is written {written}."


def _parameter(parameter: inspect.Parameter) -> str:
    star = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}.get(parameter.kind.name, "")
    default = "" if parameter.default is parameter.empty else f"={_default(parameter.default)}"
    return f"{star}{parameter.name}{default}"


def _default(value: Any) -> str:
    written = text(value)
    return "..." if written.startswith("<") else written
