"""Values as a program hands them over in, as a spec holds them out: paths become texts, parts and models settings.

Rows in memory (a list of mappings, a ``datasets.Dataset``, a pandas frame) are written to a file named after their
content, in the user's cache folder, since workers and a resumed study read them again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from forgetting.contracts import Part
from forgetting.errors import UsageError
from forgetting.models.checkpoint import Checkpoint
from forgetting.record.files import write_atomically
from forgetting.record.store import default_root


def handed(value: Any, field: str) -> Any:
    """One value as a spec holds it. ``UsageError`` where rows are handed over that no file can hold."""
    if isinstance(value, Part):
        return handed(value.settings(), field)
    if isinstance(value, Checkpoint):
        return dataclasses.asdict(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if _is_splits(value):
        raise UsageError(f"{field}: must be one data set, got the splits {', '.join(value)}; give one of them")
    if isinstance(value, Mapping):
        return {name: handed(one, field) for name, one in value.items()}
    rows = _rows(value)
    return value if rows is None else {"name": "conversations", "source": _kept(rows, field)}


def several(value: Any, field: str) -> tuple[Any, ...]:
    """One value or several as a tuple of what a spec holds."""
    if _rows(value) is None and isinstance(value, (list, tuple)):
        return tuple(handed(one, field) for one in value)
    return (handed(value, field),)


def _is_splits(value: Any) -> bool:
    """Whether a value is a ``DatasetDict`` of ``datasets``, or a mapping of data sets by hand."""
    sets = list(value.values()) if isinstance(value, Mapping) else []
    return bool(sets) and all(hasattr(one, "column_names") and hasattr(one, "features") for one in sets)


def _rows(value: Any) -> Sequence[Any] | None:
    """The rows of a data set in memory; None where the value is none. Mappings with a name or a source are settings."""
    if hasattr(value, "to_dict") and hasattr(value, "columns"):  # a pandas frame
        return list(value.astype(object).where(value.notna(), None).to_dict("records"))  # missing values are null
    if hasattr(value, "column_names") and hasattr(value, "to_list"):  # a data set of ``datasets``
        return list(value.to_list()) if not isinstance(value.column_names, dict) else None
    plain = isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value)
    return value if plain and not any({"name", "source"} & set(one) for one in value) else None


def _kept(rows: Sequence[Any], field: str) -> str:
    """The path of a file with the rows, which is written unless it is there."""
    if not rows:
        raise UsageError(f"{field}: must be data with rows, got none")
    try:
        text = "".join(json.dumps(row, default=_value, allow_nan=False) + "\n" for row in rows)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{field}: must be rows of texts, lists and mappings: {error}") from error
    file = default_root() / "data" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.jsonl"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, text)
    return str(file)


def _value(value: Any) -> Any:
    """Arrays as lists, single numbers as numbers."""
    for name in ("tolist", "item"):
        if hasattr(value, name):
            return getattr(value, name)()
    raise TypeError(f"a {type(value).__name__} is none")
