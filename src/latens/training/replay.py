"""A function of tensors, recorded once as the operations it runs, and replayed without Python between them.

On a processor a step of a small network is mostly Python and bookkeeping: replayed, it takes a third of the time, and
a large one nine tenths. The same operations run in the same order on the same numbers, so that every bit is the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

Function = Callable[..., list[Tensor]]


def replayable(module: nn.Module) -> bool:
    """Whether all that runs in the module is torch's and ours, and so does the same at every step.

    >>> replayable(nn.Linear(2, 2))
    True
    """
    return all(_known(part) for part in module.modules())


def _known(module: nn.Module) -> bool:
    hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    return type(module).__module__.split(".")[0] in ("torch", "latens") and not any(hooks)


def as_tensor(number: float) -> Tensor:
    """A number as replayed functions are given it: () float64, which weighs tensors as a Python number does."""
    return torch.tensor(number, dtype=torch.float64)


def record(function: Function, examples: Sequence[Tensor]) -> Function:
    """``function`` as it ran once on ``examples``: for other values of the same shapes, on the tensors it closes over.

    What it draws is drawn anew at each call, what it writes to is written to, also while it is recorded.

    Raises:
        RuntimeError: it asked for the value of a tensor, or for what cannot be written down.

    >>> weight = torch.ones(2)
    >>> replay = record(lambda x: [x * weight, x.sum()], [torch.zeros(2)])
    >>> weight.fill_(3.0)
    tensor([3., 3.])
    >>> replay(torch.tensor([1.0, 2.0]))
    [tensor([3., 6.]), tensor(3.)]
    """
    with _Recorder() as recorder:
        results = function(*examples)
    source, held = _Script(examples).source(recorder.calls, results)
    recorder.calls.clear()  # a cycle holds the recorder, and it all that was computed
    replayed = torch.jit.CompilationUnit(source).replay

    def call(*values: Tensor) -> list[Tensor]:
        with torch.no_grad(), torch.jit.optimized_execution(False):  # optimised, sums are rounded in another order
            return replayed(*values, *held)

    return call


def faithful(
    function: Function, examples: Sequence[Tensor], restore: Callable[[], None], state: Mapping[str, Tensor]
) -> Function | None:
    """``function`` recorded, if that can be done and gives the same bits, also in ``state``; else None.

    Args:
        function, examples: as of :func:`record`.
        restore: brings back the state, and torch's generators, from which every trial is to start.
        state: the tensors that the function may write to.
    """

    def trial(f: Function) -> list[Tensor]:
        restore()
        return [t.clone() for t in (*f(*examples), *state.values())]

    try:
        expected = trial(function)
        restore()
        replayed = record(function, examples)
        same = all(torch.equal(a, b) for _ in range(2) for a, b in zip(expected, trial(replayed), strict=True))
    except (RuntimeError, AttributeError, TypeError):  # not recordable, or a torch that has no such recorder
        return None
    finally:
        restore()
    return replayed if same else None


class _Call(NamedTuple):
    operation: Any
    args: tuple
    kwargs: dict[str, Any]
    out: Any

    @property
    def acts(self) -> bool:
        """Whether it writes to a tensor, or draws."""
        return self.operation._schema.is_mutable or torch.Tag.nondeterministic_seeded in self.operation.tags


class _Recorder(TorchDispatchMode):
    """All operations that run within, gradients included. Tensors are kept, so that one is told from another."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[_Call] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """There is no compiler to hide from; hiding would import it, which takes a second."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("A function that asks for the value of a tensor cannot be replayed.")
        out = func(*args, **(kwargs or {}))
        self.calls.append(_Call(func, args, kwargs or {}, out))
        return out


class _Script:
    """Calls as the text of a TorchScript function."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        self.names = {id(t): f"x{i}" for i, t in enumerate(inputs)}
        self.inputs = [f"x{i}" for i in range(len(inputs))]
        self.held: list[Tensor] = []

    def source(self, calls: list[_Call], results: Sequence[Tensor]) -> tuple[str, list[Tensor]]:
        """The text of ``replay(inputs, held) -> results``, and the held tensors."""
        lines = [line for call in _needed(calls, results) if (line := self.line(call))]
        lines.append(f"return [{', '.join(self.name(t) for t in results)}]")
        arguments = ", ".join(f"{name}: Tensor" for name in [*self.inputs, *(self.name(t) for t in self.held)])
        return "\n    ".join([f"def replay({arguments}):", *lines]) + "\n", self.held

    def name(self, tensor: Tensor) -> str:
        """What the tensor is called; one that no call has made is held."""
        if id(tensor) not in self.names:
            self.names[id(tensor)] = f"h{len(self.held)}"
            self.held.append(tensor)
        return self.names[id(tensor)]

    def line(self, call: _Call) -> str:
        """One call; empty where its result is another name for its argument."""
        if call.operation is torch.ops.aten.detach.default:
            self.names[id(call.out)] = self.name(call.args[0])
            return ""
        schema = call.operation._schema
        types = {a.name: str(a.type) for a in schema.arguments}
        parts = [self.literal(value, kind) for value, kind in zip(call.args, types.values())]
        parts += [f"{name}={self.literal(value, types[name])}" for name, value in call.kwargs.items()]
        text = f"torch.ops.{schema.name.replace('::', '.')}({', '.join(parts)})"
        if call.out is None:
            return text
        made = f"v{len(self.names)}"
        if isinstance(call.out, Tensor):
            self.names.setdefault(id(call.out), made)
        else:
            self.names |= {id(t): f"{made}[{i}]" for i, t in enumerate(call.out) if t is not None}
        return f"{made} = {text}"

    def literal(self, value: Any, kind: str) -> str:
        """An argument as TorchScript reads it."""
        if isinstance(value, Tensor):
            return self.name(value)
        if isinstance(value, (list, tuple)):
            inner = kind.removeprefix("Optional[").removeprefix("List[").rstrip("]")
            empty = f"torch.jit.annotate(List[{inner.replace('SymInt', 'int')}], [])"
            return f"[{', '.join(self.literal(v, inner) for v in value)}]" if value else empty
        if isinstance(value, float) and not math.isfinite(value):
            return f"float('{value}')"
        return f"torch.device('{value}')" if isinstance(value, torch.device) else repr(value)


def _needed(calls: list[_Call], results: Sequence[Tensor]) -> list[_Call]:
    """The calls without those whose results nobody uses, that write to nothing and draw nothing."""
    used, needed = {id(t) for t in results}, []
    for call in reversed(calls):
        if call.acts or any(id(t) in used for t in _tensors(call.out)):
            needed.append(call)
            used.update(id(t) for t in _tensors([call.args, call.kwargs]))
    return needed[::-1]


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple, dict)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _tensors(part)
