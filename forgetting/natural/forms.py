"""Rows of any of the usual forms in, dialogues out: who says what, which turns are context only, what was ignored.

``messages`` (role, content), ShareGPT (``conversations`` with from, value), Alpaca (instruction, input, output),
prompt and completion, question and answer, or a plain text. Columns are found by their names, or named.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

ROLES = {
    "system": "system", "developer": "system", "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "model": "assistant", "bot": "assistant",
}  # fmt: skip
LISTS = ("messages", "conversations", "conversation", "dialogue", "dialog", "turns")
PAIRS = (
    ("instruction", "output"), ("instruction", "response"), ("prompt", "completion"), ("prompt", "response"),
    ("prompt", "chosen"), ("question", "answer"), ("question", "response"), ("query", "response"), ("query", "answer"),
    ("problem", "solution"), ("input", "output"),
)  # fmt: skip
TEXTS = ("text", "content")
EXTRA = ("input", "context")  # of an instruction
KNOWN = {"role", "from", "content", "value", "weight", "train"}
CALLS = ("tool_calls", "function_call", "tool_call_id", "audio", "images")


class BadRowError(ValueError):
    """Why a row cannot be used."""


@dataclass
class ParsedRow:
    """Turns (role, content), the places of those that are context only, and the keys of messages that were ignored."""

    turns: list[tuple[str, str]]
    context: list[int] = field(default_factory=list)
    ignored: set[str] = field(default_factory=set)
    text: str = ""  # a plain text, which is no dialogue
    asked: str | None = None  # the prompt as it stands, of a prompt and its completion


def columns_of(
    row: dict[str, Any], *, messages: str = "", prompt: str = "", answer: str = ""
) -> tuple[str, ...] | None:
    """The columns that a row's dialogue is read from: one of messages or text, or two; None where there are none."""
    if prompt or answer:
        return tuple(name for name in (prompt, answer) if name) if {prompt, answer} - {""} <= set(row) else None
    if messages:
        return (messages,) if messages in row else None
    lists = [name for name in LISTS if isinstance(_opened(row.get(name)), list)]
    pairs = [pair for pair in PAIRS if set(pair) <= set(row)]
    texts = [(name,) for name in TEXTS if isinstance(row.get(name), str)]
    named = [(name,) for name in LISTS[:3] if name in row]
    return next(iter([*((name,) for name in lists), *pairs, *texts, *named]), None)


def dialogue_of(row: dict[str, Any], columns: tuple[str, ...]) -> ParsedRow:
    """The dialogue of a row. Raises ``BadRowError``."""
    if len(columns) == 2:
        return _pair(row, *columns)
    value = _opened(row[columns[0]])
    if isinstance(value, str):
        if columns[0] in LISTS:
            raise BadRowError(f"{columns[0]!r} is a text, and a list of messages is wanted")
        if not value.strip():
            raise BadRowError(f"{columns[0]!r} is empty")
        return ParsedRow([], text=value.strip())
    if not isinstance(value, list):
        raise BadRowError(f"{columns[0]!r} is {_named(value)}, and a list of messages is wanted")
    found = ParsedRow([])
    for place, message in enumerate(value):
        _take(found, message, place)
    if row.get("system") and isinstance(row["system"], str) and (not found.turns or found.turns[0][0] != "system"):
        found.turns.insert(0, ("system", row["system"].strip()))
        found.context = [place + 1 for place in found.context]
    return found


def _pair(row: dict[str, Any], prompt: str, answer: str) -> ParsedRow:
    asked, told = _opened(row[prompt]), _opened(row[answer])
    if isinstance(asked, list) or isinstance(told, list):  # both as messages
        before = asked if isinstance(asked, list) else [{"role": "user", "content": asked}]
        after = told if isinstance(told, list) else [{"role": "assistant", "content": told}]
        found = ParsedRow([])
        for place, message in enumerate([*before, *after]):
            _take(found, message, place)
        found.context += [i for i in range(len(before)) if found.turns[i][0] == "assistant"]
        return found
    for name, value in ((prompt, asked), (answer, told)):
        if not isinstance(value, str):
            raise BadRowError(f"{name!r} is {_named(value)}, and a text is wanted")
        if not value.strip():
            raise BadRowError(f"{name!r} is empty")
    extra = [
        row[n].strip() for n in EXTRA if prompt == "instruction" and isinstance(row.get(n), str) and row[n].strip()
    ]
    question = "\n\n".join([asked.strip(), *extra])
    system = row.get("system")
    turns = [("system", system.strip())] if isinstance(system, str) and system.strip() else []
    plain = asked if prompt == "prompt" and not turns else None
    return ParsedRow([*turns, ("user", question), ("assistant", told.strip())], asked=plain)


def _take(found: ParsedRow, message: Any, place: int) -> None:
    """One message more. Raises ``BadRowError`` for what is neither text nor known."""
    turn = f"message {place + 1}"
    if not isinstance(message, dict):
        raise BadRowError(f"{turn} is {_named(message)}, and an object is wanted")
    said = message.get("role", message.get("from"))
    if not isinstance(said, str) or said.strip().lower() not in ROLES:
        raise BadRowError(f"{turn} is of the role {said!r}; known: {', '.join(ROLES)}")
    for call in CALLS:
        if message.get(call):
            raise BadRowError(f"{turn} has {call}, which are not supported")
    role = ROLES[said.strip().lower()]
    content = _text(message["content"] if "content" in message else message.get("value"), turn)
    weight, train = message.get("weight"), message.get("train")
    if weight is not None and (isinstance(weight, bool) or weight not in (0, 1)):
        raise BadRowError(f"{turn} has the weight {weight!r}; 0 and 1 are supported")
    if train is not None and not isinstance(train, bool):
        raise BadRowError(f"{turn} has train: {train!r}; true and false are supported")
    if role == "assistant" and (weight == 0 or train is False):
        found.context.append(place)
    found.ignored |= {
        str(key) for key, value in message.items() if key not in KNOWN and value not in (None, "", [], {})
    }
    found.turns.append((role, content))


def _text(value: Any, turn: str) -> str:
    """The text of a message, or of its parts."""
    if isinstance(value, str):
        return value.strip()
    if not isinstance(value, list):
        raise BadRowError(f"{turn} has {_named(value)} as its content, and a text is wanted")
    for part in value:
        if not (isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)):
            kind = part.get("type") if isinstance(part, dict) else _named(part)
            raise BadRowError(f"{turn} has a part of type {kind!r}, and only text is supported")
    return "".join(part["text"] for part in value).strip()


def _opened(value: Any) -> Any:
    """A list that a table holds as JSON text."""
    if isinstance(value, str) and value.lstrip()[:2] in ("[{", "[ "):
        try:
            found = json.loads(value)
        except ValueError:
            return value
        return found if isinstance(found, list) else value
    return value


def _named(value: Any) -> str:
    names = {type(None): "null", list: "a list", dict: "an object", str: "a text", bool: "true or false"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else type(value).__name__)
