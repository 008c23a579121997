"""What several commands share: the options of a spec, how a file and the options become one spec, and the help."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import sys
import textwrap
import typing
from argparse import SUPPRESS, Action
from collections.abc import Mapping
from typing import Any

import yaml
from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace

from forgetting.errors import UsageError, require, wants
from forgetting.spec import Spec
from forgetting.study import settings, spec_files
from forgetting.sweep.sweep_spec import SweepSpec

OUTPUT = "runs"
GLUE = "\x01"  # within an option of a usage line, where it is not to be broken
T = typing.TypeVar("T")


class Formatter(DefaultHelpFormatter):
    """Help as wide as the terminal that keeps the lines of examples; types and defaults as a user would write them."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        blocks = [
            block if "\n  " in f"\n{block}" else textwrap.fill(" ".join(block.split()), width, break_on_hyphens=False)
            for block in text.split("\n\n")
        ]
        return textwrap.indent("\n\n".join(blocks), indent)

    def _format_usage(self, usage: str | None, actions: Any, groups: Any, prefix: str | None) -> str:
        if usage is None or SUPPRESS in usage:
            return str(super()._format_usage(usage, actions, groups, prefix))
        whole = re.sub(r"\[[^]]*\]", lambda option: option[0].replace(" ", GLUE), usage)
        lines = textwrap.wrap(f"usage: {whole}", self._width, subsequent_indent=" " * 11, break_on_hyphens=False)
        return "\n".join(lines).replace(GLUE, " ") + "\n\n"

    def _expand_help(self, action: Action) -> str:
        original = action.default
        if original is None:
            action.default = SUPPRESS
        elif isinstance(original, (list, tuple)):
            action.default = f"[{', '.join(map(_written, original))}]"
        elif isinstance(original, bool):
            action.default = str(original).lower()
        try:
            return super()._expand_help(action)
        finally:
            action.default = original

    def _get_type_str(self, action: Action) -> str | None:
        hint = getattr(action, "_typehint", None)
        if hint in (None, str):
            return None
        return wants(hint)


def _written(value: Any) -> str:
    """A default as a user would write it."""
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return str(value)
    flow: str = yaml.safe_dump(spec_files.to_mapping(value), default_flow_style=True, width=10_000, sort_keys=False)
    return flow.strip()


def parser(usage: str, description: str, examples: str = "") -> ArgumentParser:
    """A command's parser; it raises instead of exiting, and knows no abbreviations."""
    return ArgumentParser(
        usage=f"forgetting {usage}",
        description=description,
        epilog=f"examples:\n{examples}" if examples else None,
        formatter_class=Formatter,
        exit_on_error=False,
        allow_abbrev=False,
        print_config=None,
    )


def told(message: str, command: ArgumentParser, *, of_sweep: bool) -> UsageError:
    """What a parser says, as the one line that the user reads."""
    options = [option for action in command._actions for option in action.option_strings]
    own = {action.dest: getattr(action, "_typehint", None) for action in command._actions}
    return settings.one_line(message, SweepSpec if of_sweep else Spec, options, own)


def add_spec(command: ArgumentParser, cls: type = Spec, *, file_option: bool = True) -> None:
    """``--config``, ``--print_config`` and one option for every setting of a spec."""
    if file_option:
        command.add_argument(
            "--config", type=str, metavar="FILE", help="YAML file with a whole or a partial spec; options override it"
        )
    command.add_argument(
        "--print_config", action="store_true", help="print the spec as YAML, every setting explained, and exit"
    )
    command.add_class_arguments(cls)
    for action in command._actions:
        if type(action).__name__ == "_ActionConfigLoad" or action.dest.endswith(".help"):
            action.help = SUPPRESS


def add_workers(command: ArgumentParser) -> None:
    """``--workers``, ``--sandbox`` and ``--quiet``."""
    what = "processes that train side by side, 0 for this process only, auto for as many as cores (default: auto)"
    command.add_argument("--workers", type=str, metavar="N", help=what)
    where = "for programs that students of real checkpoints write: strict (refuse where a layer of protection is"
    where += " missing), bubblewrap, container:IMAGE, or several with commas (default: the layers that there are)"
    command.add_argument("--sandbox", type=str, metavar="WORDS", help=where)
    command.add_argument("--quiet", action="store_true", help="print nothing but errors")


def set_sandbox(given: Namespace) -> None:
    """Hand the words of ``--sandbox`` on to this process and its workers, once it is known that they can be obeyed."""
    if "sandbox" not in given:
        return
    from forgetting.sandbox import policy, pool

    policy.policy(given.sandbox)
    os.environ[policy.VARIABLE] = given.sandbox
    missing = pool.missing(pool.layers())
    if not given.get("quiet"):
        with contextlib.suppress(OSError, ValueError):  # nobody who reads is no reason to end
            sys.stdout.write(f"sandbox: {f'lacks {missing}' if missing else 'every layer holds'}\n")


def add_stack(command: ArgumentParser, default: str = "auto, which stacks where it pays") -> None:
    """``--stack``."""
    what = (
        "runs of one shape and schedule, or fresh students, that are trained as one program: auto, off, or the most "
        f"of them (default: {default})"
    )
    command.add_argument("--stack", type=str, metavar="auto|N|off", help=what)


def spec_of(given: Namespace) -> Spec:
    """The spec of ``--config`` with the options on top."""
    return settings_of(given, Spec)


def settings_of(given: Namespace, cls: type[T]) -> T:
    """The dataclass of ``--config`` with the options on top. An error that is the file's own names the file."""
    path = given.get("config")
    in_file = spec_files.read_mapping(path) if path else {}
    _check_kind(path, set(in_file), cls)
    names = {f.name for f in dataclasses.fields(typing.cast(typing.Any, cls))}
    options = {k: _plain(v) for k, v in given.as_dict().items() if k in names}
    try:
        return spec_files.built_from(cls, _merged(in_file, options, cls))
    except UsageError:
        if path:
            spec_files.built_from(cls, in_file, source=f"{path}: ")
        raise


def _check_kind(path: str | None, given: set[str], cls: type) -> None:
    """``UsageError`` where a file is that of another command."""
    kinds = {Spec: "a study, which forgetting simulate takes", SweepSpec: "a sweep, which forgetting sweep takes"}
    known = {kind: {f.name for f in dataclasses.fields(kind)} for kind in kinds}
    for other, what in kinds.items():
        if other is not cls and cls in known and given <= known[other] and not given <= known[cls]:
            raise UsageError(f"{path}: is the file of {what}")


def _plain(value: Any) -> Any:
    """An option's value as a file would have it."""
    if isinstance(value, Namespace):
        return _plain(value.as_dict())
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def workers_of(given: Namespace) -> int | None:
    """The number of processes; None for ``auto``."""
    value = given.get("workers") or "auto"
    if value == "auto":
        return None
    require(value.isascii() and value.isdigit(), "workers", "auto or a whole number, 0 or more", value)
    return int(value)


def _merged(low: Any, high: Mapping[str, Any], cls: type) -> Any:
    """``high`` over ``low``, setting by setting; a part's own settings are replaced as a whole."""
    if not isinstance(low, Mapping):
        return low
    hints = typing.get_type_hints(cls)
    merged = dict(low)
    for key, value in high.items():
        nested = dataclasses.is_dataclass(hints[key]) and key in low
        merged[key] = _merged(low[key], value, typing.cast(type, hints[key])) if nested else value
    return merged
