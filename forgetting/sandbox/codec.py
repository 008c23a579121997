"""Plain values in, JSON bytes out, and back: all that ever crosses the border of a sandboxed process.

Plain values are None, bool, int, float, complex, str, bytes, list, tuple, dict, set and frozenset of plain values, and
these types themselves, as arguments of functions that ask for one. What comes back consists of exactly these types, so
that no comparison of it runs code of the program. An instance of a subclass (a Counter, a named tuple) travels as its
base type's content, read by the base type's own methods. Of a result that is no plain value an ``Opaque`` one travels.

Bytes may be forged. Whatever they are, ``loads`` and ``same`` give a value or raise ``NotPlain``. ``same`` compares
texts and never hashes what it was given, so it takes time in proportion to the bytes. ``loads`` builds sets and
dictionaries, which forged keys of equal hashes make slow: it is for a process whose processor time is limited.
"""

from __future__ import annotations

import itertools
import json
from typing import Any, NoReturn

MAX_DEPTH = 100
_WORDS = 300  # characters of what an opaque value is
_SMALL = 2**53  # whole numbers beyond it travel as hexadecimal digits, which are read in linear time
_KINDS: dict[str, Any] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
_quoted = json.encoder.encode_basestring_ascii
_serial = itertools.count()
TYPES: dict[str, type] = {
    kind.__name__: kind
    for kind in (bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset, object, type(None))
}


class Opaque:
    """A result that is no plain value, as tests see it: equal to nothing else, and true or false as it was."""

    def __init__(self, what: str, *, truth: bool) -> None:
        self.what, self._truth = what, truth

    def __bool__(self) -> bool:
        return self._truth


class NotPlain(ValueError):
    """A value that is no plain value, or is nested deeper than ``MAX_DEPTH``; bytes that no plain value gave."""


def dumps(value: Any) -> bytes:
    """The value as ASCII JSON. Raises ``NotPlain``."""
    return json.dumps(_tagged(value, 0), separators=(",", ":"), allow_nan=False).encode("ascii")


def loads(data: bytes) -> Any:
    """The value that ``dumps`` was given, in exact builtin types. Raises ``NotPlain`` for any other bytes."""
    try:
        tree = _tree(data)
        opaque = _opaque(tree)
        return _plain(tree, 0) if opaque is None else opaque
    except NotPlain:
        raise
    except Exception as error:  # noqa: BLE001 (whatever forged bytes lead to, MemoryError too)
        raise NotPlain(f"no plain value: {type(error).__name__}") from None


def same(given: bytes, expected: bytes, *, lenient: bool = False) -> bool:
    """Whether the bytes stand for values that are equal in Python's sense, with bool and numbers kept apart.

    1 equals 1.0 and 1+0j, a set equals a frozenset, a tuple does not equal a list, and NaN equals nothing, as in
    Python; True does not equal 1, however deep it lies: ``{True}`` is not ``{1}``. An opaque value equals nothing.
    Leniently, True equals 1, and a tuple that is the whole of a value counts as a list: as LiveCodeBench's own runner
    compares (arXiv 2403.07974, ``testing_util.py``). Raises ``NotPlain``.
    """
    if given == expected and b"nan" not in given and b"opaque" not in given:
        return True
    try:
        trees = [_tree(given), _tree(expected)]
        if any(_opaque(tree) is not None for tree in trees):
            return False
        for tree in trees:
            if lenient and type(tree) is list and tree[:1] == ["tuple"]:
                tree[0] = "list"
        mine, wanted = (_text(tree, 0, lenient=lenient) for tree in trees)
        return mine == wanted
    except NotPlain:
        raise
    except Exception as error:  # noqa: BLE001 (as above)
        raise NotPlain(f"no plain value: {type(error).__name__}") from None


def _not_too(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise NotPlain(f"nested deeper than {MAX_DEPTH}")


def _tagged(value: Any, depth: int) -> Any:
    _not_too(depth)
    if value is None or value is True or value is False:
        return value
    if isinstance(value, int):
        whole = int.__add__(value, 0)
        return whole if abs(whole) <= _SMALL else ["int", format(whole, "x")]
    if isinstance(value, float):
        number = float.__add__(value, 0.0) if value else float.__float__(value)
        return number if number - number == 0 else ["float", float.__repr__(number)]
    if isinstance(value, complex):
        return ["complex", float.hex(value.real), float.hex(value.imag)]
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes):
        return ["bytes", bytes.hex(value)]
    if isinstance(value, dict):
        return ["dict", *([_tagged(k, depth + 1), _tagged(v, depth + 1)] for k, v in dict.items(value))]
    for name, kind in _KINDS.items():
        if isinstance(value, kind):
            return [name, *(_tagged(item, depth + 1) for item in kind.__iter__(value))]
    if type(value) is type and TYPES.get(value.__name__) is value:
        return ["type", value.__name__]
    if type(value) is Opaque and depth == 0:
        return ["opaque", value.what[:_WORDS], bool(value)]
    raise NotPlain(f"an object of type {type(value).__name__}")


def _tree(data: bytes) -> Any:
    """What ``_tagged`` gave, as far as JSON can tell."""
    return json.loads(data.decode("ascii"), object_pairs_hook=_refuse, parse_constant=_refuse)


def _refuse(_: object) -> NoReturn:
    raise NotPlain("no plain value: an object or constant of JSON")


def _parts(value: list[Any]) -> tuple[str, list[Any]]:
    """Tag and content."""
    tag, *content = value
    if tag == "dict" and not all(type(pair) is list and len(pair) == 2 for pair in content):
        raise NotPlain("no plain value: a dictionary without pairs")
    return tag, content


def _leaf(tag: str, content: list[Any]) -> Any:
    """A number, bytes or a type that travel with a tag."""
    if not all(type(part) is str for part in content) or len(content) != (2 if tag == "complex" else 1):
        raise NotPlain(f"no plain value: {str(tag)[:20]} of {len(content)} parts")
    if tag == "int":
        return int(content[0], 16)
    if tag == "float":
        return float(content[0])
    if tag == "complex":
        return complex(float.fromhex(content[0]), float.fromhex(content[1]))
    if tag == "bytes":
        return bytes.fromhex(content[0])
    if tag == "type" and content[0] in TYPES:
        return TYPES[content[0]]
    raise NotPlain(f"no plain value: a tag {str(tag)[:20]!r}")


def _plain(value: Any, depth: int) -> Any:
    _not_too(depth)
    if type(value) is not list:
        return value
    tag, content = _parts(value)
    if tag == "dict":
        made: Any = {_plain(k, depth + 1): _plain(v, depth + 1) for k, v in content}
    elif tag in _KINDS:
        made = _KINDS[tag](_plain(item, depth + 1) for item in content)
    else:
        return _leaf(tag, content)
    if len(made) != len(content):
        raise NotPlain(f"no plain value: a {tag} that holds a value twice")
    return made


def _opaque(tree: Any) -> Opaque | None:
    """The opaque value, if the whole is one."""
    if type(tree) is not list or tree[:1] != ["opaque"]:
        return None
    if [type(part) for part in tree[1:]] != [str, bool]:
        raise NotPlain("no plain value: opaque without words and truth")
    return Opaque(tree[1], truth=tree[2])


def _text(value: Any, depth: int, *, lenient: bool) -> str:
    """A text that two values share if and only if they are the same."""
    _not_too(depth)
    if type(value) is not list:
        return _text_of_leaf(int(value) if lenient and type(value) is bool else value)
    tag, content = _parts(value)
    if tag not in _KINDS and tag != "dict":
        return _text_of_leaf(_leaf(tag, content))

    def text(item: Any) -> str:
        return _text(item, depth + 1, lenient=lenient)

    if tag == "dict":
        return f"<{','.join(sorted(f'{text(k)}:{text(v)}' for k, v in content))}>"
    texts = map(text, content)
    return f"{tag}({','.join(texts)})" if tag in ("list", "tuple") else f"{{{','.join(sorted(texts))}}}"


def _text_of_leaf(value: Any) -> str:
    if value is None or type(value) is bool:
        return str(value)
    if type(value) is str:
        return str(_quoted(value))
    if type(value) is bytes:
        return f"b{value.hex()}"
    if type(value) is type:
        return f"type {value.__name__}"
    if type(value) is complex:
        real, imaginary = _text_of_leaf(value.real), _text_of_leaf(value.imag)
        return f"{real}+{imaginary}j" if value.imag else real
    if value != value:
        return f"nan{next(_serial)}"
    whole = type(value) is int or value.is_integer()
    return format(int(value), "x") if whole else float.hex(value)
