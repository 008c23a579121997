"""Whether a record has the shape that views rely on: names that are names, numbers that are numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from forgetting.errors import UsageError, file_name
from forgetting.record.field_kinds import ANY, FLAG, MISSING, NAME, NONE, NUMBER, TEXT, WHOLE, check_shape, maybe
from forgetting.record.reading import check_texts

MOST_ROWS = 50_000_000  # of a ledger
PART = (TEXT, {"name": maybe(TEXT), "form": maybe(TEXT)})  # as a record holds one
RATE = {
    "learning_rate": NUMBER, "reached": FLAG, "pilots": WHOLE, "wanted": NUMBER, "learning": maybe(NUMBER, NONE),
    "share": maybe(NUMBER),
}  # fmt: skip
KEY: dict[Any, Any] = {"student": TEXT, "arm": TEXT, "distillation_seed": WHOLE, "seed": WHOLE}
RUN = {**KEY, "dose": WHOLE}
CELL = {"student": TEXT, "arm": TEXT, "skill": TEXT, "dose": WHOLE, "items": WHOLE, "difference": (NUMBER, NONE)}
TAUGHT = {
    "method": TEXT, "steps": WHOLE, "why": maybe(TEXT, NONE), "accuracy": maybe(NUMBER), "moved": maybe(NUMBER),
    "seconds": maybe({ANY: NUMBER}), "notes": maybe({ANY: NUMBER}),
}  # fmt: skip
RECORD = {  # what views rely on
    "name": maybe(TEXT), "fingerprint": maybe(TEXT), "commit": maybe(TEXT, NONE), "created": maybe(TEXT),
    "benchmarks": {ANY: {"version": WHOLE, "chance": NUMBER, "skill": TEXT}},
    "arms": maybe([{
        "name": NAME, "contamination": maybe(*PART), "mitigation": maybe(*PART), "rate_policy": maybe(TEXT),
        "shift": maybe(NUMBER), "rate_multiple": maybe(NUMBER), "replay": maybe(NUMBER), "rates": maybe({ANY: RATE}),
        "doses": maybe([WHOLE]), "not_reached": maybe([WHOLE]),
        "phases": maybe([{"task": NAME, "dose": WHOLE}]), "tasks": maybe([NAME]), "floor": maybe(NUMBER),
    }]),
    "students": maybe([{
        "name": NAME, "capacity": maybe(WHOLE), "capacity_non_embedding": maybe(WHOLE), "branch": maybe(NAME),
        "trunk": maybe(NAME), "trunk_stages": maybe(WHOLE), "taught": maybe({ANY: [TAUGHT]}),
    }]),
    "spec": maybe({"evaluation": maybe({"benchmarks": maybe([PART]), "max_new_tokens": maybe(WHOLE)})}),
    "seeds": maybe({
        "distillation": maybe([WHOLE]), "contamination": maybe([WHOLE]), "shared_students": maybe(FLAG),
        "checkpoints": maybe(FLAG),
    }),
    "seconds": maybe({ANY: NUMBER}), "hardware": maybe({ANY: (TEXT, NUMBER)}), "versions": maybe({ANY: TEXT}),
    "files": maybe({ANY: TEXT}), "unverified": maybe([TEXT]), "pruned": maybe([RUN]), "diverged": maybe([RUN]),
    "notes": maybe([{**KEY, ANY: NUMBER}]),
    "statuses": maybe([{"status": TEXT, "where": TEXT, "remedy": TEXT, "arm": TEXT}]),
    "noise_floor": maybe([{**CELL, **dict.fromkeys(("accuracy", "standard_error", "seed_spread"), (NUMBER, NONE))}]),
    "differences": maybe([
        {**CELL, "capacity": WHOLE, "seeds": WHOLE, "control": TEXT, "low": (NUMBER, NONE), "high": (NUMBER, NONE)}
    ]),
}  # fmt: skip


def check_record(record: dict[str, Any], path: Path) -> None:
    """``UsageError`` names the file and the first entry that is not as the package writes it."""
    try:
        check_shape(record, RECORD, "")
        for number, arm in enumerate(record.get("arms") or []):
            for student, rate in arm.get("rates", {}).items():
                if "share" not in rate:  # which early records have in its place
                    check_shape(
                        rate.get("learning", MISSING), (NUMBER, NONE), f"arms[{number}].rates.{student}.learning"
                    )
            if isinstance(how := arm.get("mitigation"), dict) and how.get("name") == "replay":
                check_shape(how.get("share"), NUMBER, f"arms[{number}].mitigation.share")
    except UsageError as error:
        raise _wrong(str(error), path) from None


def check_names(names: Any, what: str, path: Path) -> None:
    """``UsageError`` unless names in the rows of a table can become parts of paths and be shown."""
    for name in names:
        try:
            file_name(name, what)
        except UsageError as error:
            raise _wrong(str(error), path) from None


def check_words(words: Any, what: str, path: Path) -> None:
    """``UsageError`` unless words in the rows of a table are texts that can be shown."""
    for word in words:
        if not isinstance(word, str):
            raise _wrong(f"{what}: must be text, got {word!r}", path)
        try:
            check_texts(word)
        except ValueError as error:
            raise _wrong(f"{what}: {error}", path) from None


def _wrong(what: str, path: Path) -> UsageError:
    return UsageError(f"{path}: not the record of a study ({what})")
