"""Plain keyword arguments, the words in which Python changes a spec: a spec and arguments in, the changed spec out."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict, TypeVar, cast, get_type_hints

from forgetting.errors import checked, require, under, unknown
from forgetting.spec import (
    Control,
    Device,
    Doses,
    Evaluation,
    Keep,
    Machine,
    Optimiser,
    PartValue,
    Precision,
    Spec,
)
from forgetting.study import handed

F = TypeVar("F", bound=Callable[..., Any])
GROUPS = ("doses", "fine_tuning", "machine", "evaluation")  # of a spec's settings, that may be given as they are
# Single settings, each by the group that holds it.
KNOBS = {"learning_rate": "fine_tuning", "batch_size": "fine_tuning", "precision": "machine", "device": "machine"}
PARTS = ("benchmarks", "answering", "answering_benchmarks")  # settings of ``Evaluation`` that hold several
PLACE = "        arguments: "  # the line of a docstring that the notes on the plain arguments take


class Arguments(TypedDict, total=False):
    """Plain arguments of ``simulate`` and ``locate_threshold``.

    Args:
        students: capacities by name, ascending, such as ``["10k", "34k"]``; or checkpoints: folders, hub names, or
            mappings with ``source``, ``dtype`` and so on (``help(forgetting.models.checkpoint.Checkpoint)``)
        teacher: the teacher's capacity by name, or a checkpoint as in ``students``; empty: of capacities the ladder's
            own, of checkpoints none
        original: the original distribution, by name or with settings; checkpoints need one of natural text
        contamination: one source of competing data or several, by name or with settings; or one's own data: the path of
            a file, a list of rows, a ``datasets.Dataset`` or a pandas frame
        dose: contaminating samples at the end of each run
        doses: the whole dose axis (spacing, first dose, ratio, cap of the stream), as ``Doses`` or as a mapping of its
            settings; ``dose`` changes its end
        shift: share of contaminating samples in the stream, above 0, at most 1; one or several
        learning_rate: rate of fine-tuning after warm-up
        rate_multiple: multiple of the learning rate; one or several
        batch_size: samples a step of fine-tuning
        fine_tuning: everything about fine-tuning (warm-up, schedule, clipping), as ``Optimiser`` or as a mapping of its
            settings; ``learning_rate`` and ``batch_size`` change it
        mitigation: what may slow forgetting, such as ``{"name": "replay", "share": 0.05}``; one or several
        controls: the protocol's controls to run as further arms
        benchmarks: what is measured, by name or with settings; one or several
        evaluation: everything about measuring (perturbed variants, probes, length of answers), as ``Evaluation`` or as
            a mapping of its settings; ``benchmarks`` changes its benchmarks
        precision: ``float32``, or ``bfloat16_mixed``: weights in fp32, computed with in bfloat16
        device: where it is trained and measured: ``auto`` (on a GPU where there is one), ``cpu``, ``gpu``
        machine: the layout on the machine (several devices, micro-batches, loggers), as ``Machine`` or as a mapping of
            its settings; ``precision`` and ``device`` change it
        seeds: contamination seeds
        fresh_students: distil a fresh student for each seed instead of sharing one
        name: names the study's folder
        keep: which checkpoints stay after completion
    """

    students: PartValue | Sequence[PartValue] | None
    teacher: PartValue | None
    original: PartValue | None
    contamination: PartValue | Sequence[PartValue] | None
    dose: int | None
    doses: Doses | Mapping[str, Any] | None
    shift: float | Sequence[float] | None
    learning_rate: float | None
    rate_multiple: float | Sequence[float] | None
    batch_size: int | None
    fine_tuning: Optimiser | Mapping[str, Any] | None
    mitigation: PartValue | Sequence[PartValue] | None
    controls: Sequence[Control] | None
    benchmarks: PartValue | Sequence[PartValue] | None
    evaluation: Evaluation | Mapping[str, Any] | None
    precision: Precision | None
    device: Device | None
    machine: Machine | Mapping[str, Any] | None
    seeds: int | None
    fresh_students: bool | None
    name: str | None
    keep: Keep | None


def merged(spec: Spec, arguments: Mapping[str, Any]) -> Spec:
    """The spec changed by what was given. ``UsageError`` names the argument that is unknown or wrong."""
    for name in arguments:
        if name not in Arguments.__annotations__:
            raise unknown("argument", name, Arguments.__annotations__)
    given = given_of(**arguments)
    groups = {name: _group(given.get(name), getattr(spec, name), name) for name in GROUPS}
    if "dose" in given:
        dose, first = given["dose"], groups["doses"].first
        require(type(dose) is int and dose >= 1, "dose", "a whole number, at least 1", dose)
        groups["doses"] = dataclasses.replace(groups["doses"], dose=dose, first=min(first, dose))
    for name in [name for name in KNOBS if name in given]:
        groups[KNOBS[name]] = dataclasses.replace(groups[KNOBS[name]], **{name: given[name]})

    def several(argument: str, setting: str = "") -> dict[str, Any]:
        return {setting or argument: handed.several(given[argument], argument)} if argument in given else {}

    def one(*names: str) -> dict[str, Any]:
        return {name: handed.handed(given[name], name) for name in names if name in given}

    if "benchmarks" in given:
        groups["evaluation"] = dataclasses.replace(groups["evaluation"], **several("benchmarks"))
    return dataclasses.replace(
        spec,
        ladder=dataclasses.replace(spec.ladder, **several("students"), **one("teacher", "original", "fresh_students")),
        **groups,
        **several("contamination", "contaminations"),
        **several("shift", "shifts"),
        **several("rate_multiple", "rate_multiples"),
        **several("mitigation", "mitigations"),
        **several("controls"),
        **one("seeds", "name", "keep"),
    )


def _group(value: Any, own: Any, field: str) -> Any:
    """A group of settings, given as it is or as a mapping that changes the spec's ``own``; None: the spec's own."""
    if not isinstance(value, Mapping):
        return own if value is None else checked(value, type(own), field)
    known = get_type_hints(type(own))
    for name in value:
        if name not in known:
            raise unknown(field, name, known)
    told: dict[str, Any] = dict(value)
    told |= {name: handed.several(told[name], f"{field}.{name}") for name in PARTS if name in told}
    for name in [name for name in told if dataclasses.is_dataclass(known[name])]:
        told[name] = _group(told[name], getattr(own, name), f"{field}.{name}")
    with under(field):
        return dataclasses.replace(own, **told)


def given_of(**values: Any) -> dict[str, Any]:
    """What was given: None says that an argument was not."""
    return {name: value for name, value in values.items() if value is not None}


def several_of(value: Any) -> tuple[Any, ...]:
    """One value or several, as several."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def explained(function: F) -> F:
    """The function with the plain arguments by name in its signature and its docstring, where ``help`` shows them."""
    signature = inspect.signature(function)
    hints = {name: getattr(hint, "__forward_arg__", hint) for name, hint in Arguments.__annotations__.items()}
    words = [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=h) for n, h in hints.items()]
    own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    cast(Any, function).__signature__ = signature.replace(parameters=[*own[:1], *words, *own[1:]])
    if function.__doc__ and Arguments.__doc__:  # python -OO has none
        lines = function.__doc__.splitlines()
        place = next(number for number, line in enumerate(lines) if line.startswith(PLACE))
        notes = Arguments.__doc__.partition("Args:\n")[2].rstrip().splitlines()
        function.__doc__ = "\n".join([*lines[:place], *notes, *lines[place + 1 :]])
    return function
