"""Python text and its syntax tree: what a program binds, what it lacks, pieces put together; nothing is run."""

from __future__ import annotations

import ast
import builtins
import itertools
import warnings
from collections.abc import Iterable, Iterator, Sequence

CLOSING = (")", "]", "}", "#", "else:", "elif ", "elif(", "except:", "except ", "except(", "finally:", '"""', "'''")
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
_STATEMENTS = (
    *_DEFINITIONS, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.For, ast.While, ast.If, ast.With, ast.Try,
)  # fmt: skip


def parsed(source: str) -> ast.Module | None:
    """The syntax tree, or None where there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def unparsed(nodes: Iterable[ast.stmt]) -> str | None:
    """The statements as text, or None where they are nested too deeply, or hold a number of too many digits."""
    try:
        return ast.unparse(ast.Module(list(nodes), []))
    except (ValueError, RecursionError, MemoryError):
        return None


def bound(node: ast.stmt) -> set[str]:
    """The names that a statement at the top level binds; ``*`` for a star import."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {node.name}
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def defines(source: str, name: str) -> bool:
    """Whether the source parses and binds the name to a function, a class or a value at its top level."""
    tree = parsed(source)
    if tree is None or any(isinstance(n, ast.Return) for n in tree.body):  # which parses, but is the end of a body
        return False
    return any(name in bound(n) for n in tree.body if isinstance(n, (*_DEFINITIONS[:3], ast.Assign)))


def lines_of(source: str, nodes: Iterable[ast.stmt]) -> str:
    """The lines of the source on which the statements stand, their decorators too."""
    lines, kept = source.split("\n"), dict[int, None]()
    for node in nodes:
        decorators = [d.lineno for d in getattr(node, "decorator_list", [])]
        kept |= dict.fromkeys(range(min([node.lineno, *decorators]) - 1, node.end_lineno or node.lineno))
    return "\n".join(lines[place] for place in kept)


def is_definition(node: ast.stmt) -> bool:
    """Whether the statement defines or imports something, or gives a name a value."""
    return isinstance(node, (*_DEFINITIONS, ast.Assign, ast.AnnAssign))


def only_defines(source: str) -> bool:
    """Whether the text parses and nothing happens when it is run."""
    tree = parsed(source)
    return tree is not None and all(isinstance(node, _DEFINITIONS) for node in tree.body)


def names_of(source: str) -> set[str]:
    """The names that a text binds at its top level."""
    tree = parsed(source)
    return {name for node in tree.body for name in bound(node)} if tree else set()


def loaded(source: str) -> set[str]:
    """The names that a text reads, at any depth."""
    tree = parsed(source)
    return _loaded(tree) if tree else set()


def is_program(source: str) -> bool:
    """Whether the text parses and does something: words and numbers alone may parse as well."""
    tree = parsed(source)
    if tree is None:
        return False
    return any(
        isinstance(n, ast.Call) or (isinstance(n, _STATEMENTS) and not isinstance(n, ast.AnnAssign))
        for n in ast.walk(tree)
    )


def chunks(text: str) -> Iterator[str]:
    """The text in pieces that begin at the margin: a line and the indented ones below it, decorators with theirs."""
    held: list[str] = []
    for line in text.split("\n"):
        begins = bool(line) and not line[0].isspace() and not line.startswith(CLOSING)
        if begins and held and not held[-1].startswith("@"):
            yield "\n".join(held)
            held = []
        held.append(line)
    if held:
        yield "\n".join(held)


def with_helpers(chosen: str, others: Sequence[str]) -> str:
    """The chosen program after those definitions of other texts, last ones first, that it needs and lacks."""
    tree = parsed(chosen)
    if tree is None:
        return chosen
    known: dict[str, tuple[int, ast.stmt]] = {}
    taken: list[tuple[int, ast.stmt]] = []
    for place, text in enumerate(others):
        other = parsed(text)
        for node in filter(is_definition, other.body if other else []):
            names = bound(node)
            taken += [(place, node)] if "*" in names else []
            known |= dict.fromkeys(names - {"*"}, (place, node))
    have = {name for node in tree.body for name in bound(node)} | set(dir(builtins))
    wanted = _loaded(tree)
    while wanted:
        name = wanted.pop()
        if name in known and name not in have:
            taken.append(known[name])
            have |= bound(known[name][1])
            wanted |= _loaded(known[name][1])
    taken.sort(key=lambda pair: (not isinstance(pair[1], (ast.Import, ast.ImportFrom)), pair[0], pair[1].lineno))
    by_text = itertools.groupby(taken, key=lambda pair: pair[0])
    return joined(*(lines_of(others[place], [node for _, node in pairs]) for place, pairs in by_text), chosen)


def joined(*parts: str) -> str:
    """Texts as one program, with what they import from ``__future__`` at its head, as the language wants it."""
    if not any("__future__" in part for part in parts):
        return "\n".join(part for part in parts if part)
    head: dict[str, None] = {}
    rest: list[str] = []
    for part in parts:
        tree = parsed(part)
        future = [node for node in tree.body if _is_future(node)] if tree else []
        head |= dict.fromkeys(ast.unparse(node) for node in future)
        taken = {place for node in future for place in range(node.lineno, (node.end_lineno or node.lineno) + 1)}
        others = [node for node in tree.body if not _is_future(node)] if tree else []
        if any(not taken.isdisjoint((node.lineno, node.end_lineno)) for node in others):  # on one line
            rest.append(unparsed(others) or part)
        else:
            rest.append("\n".join(line for place, line in enumerate(part.split("\n"), 1) if place not in taken))
    return "\n".join([*head, *(part for part in rest if part)])


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def without_demonstration(source: str, entry: str) -> str:
    """The program without the statements at its end that only show or try the function: prints, assertions, input."""
    tree = parsed(source)
    if tree is None:
        return source
    kept = list(tree.body)
    while kept and _shows(kept[-1], entry):
        kept.pop()
    return source if len(kept) == len(tree.body) else lines_of(source, kept)


def _shows(node: ast.stmt, entry: str) -> bool:
    if isinstance(node, _DEFINITIONS) or entry in bound(node):
        return False
    called = {n.func.id for n in ast.walk(node) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    return isinstance(node, ast.Assert) or not called.isdisjoint({entry, "print", "input"})


def _loaded(tree: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
