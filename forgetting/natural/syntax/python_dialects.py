"""Python source in, the same program in a dialect out; two dialects are undone by ``restore``.

=========== ====================================================================================== ==============
dialect     what is different                                                                      undone
=========== ====================================================================================== ==============
keywords    other words: ``fn`` for ``def``, ``give`` for ``return``, ``when`` for ``if``, ...       letter by letter
braces      ``{`` and ``}`` around blocks instead of ``:`` and indentation                         same syntax tree
calls       ``(fooBar x, y)`` for ``foo_bar(x, y)``: prefix calls and camelCase names                no
one_based   ``x[1]`` for ``x[0]``, ``x[i + 1]`` for ``x[i]``, ``x[2:n]`` for ``x[1:n]``                  no
=========== ====================================================================================== ==============

Changes are made at the places of tokens, so that comments, texts and layout stay. Everything is deterministic.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterable

from forgetting.errors import unknown

KEYWORDS = {
    "def": "fn", "return": "give", "if": "when", "elif": "orwhen", "else": "otherwise", "for": "each",
    "while": "during", "in": "among", "not": "non", "and": "also", "or": "either", "None": "Nil", "True": "Yes",
    "False": "No", "class": "kind", "import": "use", "from": "out_of", "try": "attempt", "except": "rescue",
    "finally": "ensure", "raise": "throw", "with": "within", "lambda": "func", "pass": "skip", "break": "stop",
    "continue": "resume", "yield": "emit", "del": "drop", "assert": "check", "is": "same_as", "as": "named",
    "global": "shared",
}  # fmt: skip
_BACK = {new: old for old, new in KEYWORDS.items()}
_TAKEN = re.compile(rf"({'|'.join(_BACK)})(_*)")
_SNAKE = re.compile(r"(?<=[a-z0-9])_([a-z0-9])")
INDENT = "    "


class CannotChange(ValueError):
    """The source does not parse, or cannot be said in this dialect."""


def to_dialect(source: str, dialect: str) -> str:
    """The source in a dialect. Raises ``CannotChange``; ``UsageError`` for an unknown dialect."""
    if dialect not in DIALECTS:
        raise unknown("dialect", dialect, DIALECTS)
    try:
        changed = DIALECTS[dialect](source)
    except (SyntaxError, ValueError, tokenize.TokenError, RecursionError) as error:
        raise CannotChange(f"{dialect}: {error}") from None
    if dialect in RESTORE and not _restores(source, changed, dialect):
        raise CannotChange(f"{dialect}: cannot be undone")
    return changed


def restore(source: str, dialect: str) -> str:
    """Back to Python from ``keywords`` (letter by letter) or ``braces`` (the same syntax tree)."""
    if dialect not in RESTORE:
        raise unknown("dialect", dialect, RESTORE)
    return RESTORE[dialect](source)


def _restores(source: str, changed: str, dialect: str) -> bool:
    try:
        back = RESTORE[dialect](changed)
        if dialect == "keywords":
            return back == source
        return ast.dump(ast.parse(back)) == ast.dump(ast.parse(source))
    except (SyntaxError, ValueError, tokenize.TokenError):
        return False


def _tokens(source: str) -> list[tokenize.TokenInfo]:
    return list(tokenize.generate_tokens(io.StringIO(source).readline))


def _edited(source: str, edits: Iterable[tuple[tuple[int, int], int, str]]) -> str:
    """Replace, at (line from 1, column), that many characters by a text; of two at one place the later stands left."""
    lines = source.splitlines(keepends=True)
    ordered = sorted(enumerate(edits), key=lambda e: (e[1][0], e[1][1] > 0, e[0]))
    for _, ((row, column), length, text) in reversed(ordered):
        line = lines[row - 1]
        lines[row - 1] = line[:column] + text + line[column + length :]
    return "".join(lines)


def _keywords(source: str) -> str:
    ast.parse(source)
    edits = []
    for token in _tokens(source):
        if token.type == tokenize.NAME and token.string in KEYWORDS:
            edits.append((token.start, len(token.string), KEYWORDS[token.string]))
        elif token.type == tokenize.NAME and _TAKEN.fullmatch(token.string):
            edits.append((token.start, len(token.string), f"{token.string}_"))
    return _edited(source, edits)


def _from_keywords(source: str) -> str:
    edits = []
    for token in _tokens(source):
        if token.type == tokenize.NAME and token.string in _BACK:
            edits.append((token.start, len(token.string), _BACK[token.string]))
        elif token.type == tokenize.NAME and _TAKEN.fullmatch(token.string):
            edits.append((token.start, len(token.string), token.string[:-1]))
    return _edited(source, edits)


def _braces(source: str) -> str:
    """Every logical line at the margin; a block's ``:`` becomes ``{``, its end a line ``}``."""
    ast.parse(source)
    lines, found = source.splitlines(), _tokens(source)
    starts: dict[int, int] = {}  # physical line on which a logical line starts: how many blocks end before it
    colons, closing, fresh = [], 0, True
    for index, token in enumerate(found):
        if token.type == tokenize.INDENT:
            colon = next(t for t in reversed(found[:index]) if t.type == tokenize.OP and t.string == ":")
            colons.append(colon.start)
        elif token.type == tokenize.DEDENT:
            closing += 1
        elif token.type in (tokenize.NEWLINE, tokenize.NL, tokenize.COMMENT):
            fresh = fresh or token.type == tokenize.NEWLINE
        elif fresh and token.type != tokenize.ENDMARKER:
            starts[token.start[0]] = closing
            closing, fresh = 0, False
    for row, column in colons:
        lines[row - 1] = lines[row - 1][:column] + " {" + lines[row - 1][column + 1 :]
    noted = [t.start for t in found if t.type == tokenize.COMMENT]
    comments = {row for row, column in noted if not lines[row - 1][:column].strip()}
    out: list[str] = []
    for row, line in enumerate(lines, 1):
        out += ["}"] * starts.get(row, 0)
        out.append(line.lstrip() if row in starts or row in comments else line)
    return "\n".join([*out, *(["}"] * closing)]) + "\n"


def _from_braces(source: str) -> str:
    """Indentation by the depth of blocks. A line that ends with ``{`` outside of brackets and texts opens one."""
    out, depth, brackets, quote, block = [], 0, 0, "", False
    for line in source.splitlines():
        logical = not brackets and not quote
        if logical and line.strip() == "}":
            depth -= 1
            continue
        block = bool(_BLOCK.match(line.lstrip())) if logical else block
        code, brackets, quote = _scanned(line, brackets, quote)
        opens = block and brackets == 1 and not quote and code.endswith("{")
        if opens:
            brackets = 0
            place = line.rindex("{", 0, len(code))
            line = line[:place].rstrip() + ":" + line[place + 1 :]
        out.append(INDENT * depth + line if logical and line.strip() else line)
        depth += bool(opens)
    return "\n".join(out) + "\n"


_BLOCK = re.compile(r"(async|class|def|elif|else|except|finally|for|if|match|case|try|while|with)\b")


def _scanned(line: str, brackets: int, quote: str) -> tuple[str, int, str]:
    """The line up to its comment, and brackets and text that are open after it."""
    i = 0
    while i < len(line):
        if quote:
            if line[i] == "\\":
                i += 1
            elif line.startswith(quote, i):
                i += len(quote) - 1
                quote = ""
        elif line[i] == "#":
            return line[:i].rstrip(), brackets, quote
        elif line.startswith(('"""', "'''"), i):
            quote = line[i : i + 3]
            i += 2
        elif line[i] in "\"'":
            quote = line[i]
        else:
            brackets += (line[i] in "([{") - (line[i] in ")]}")
        i += 1
    still = quote if len(quote) == 3 or line.endswith("\\") else ""
    return line.rstrip(), brackets, still


def _offsets(source: str) -> Callable[[int, int], tuple[int, int]]:
    """From a tree's place (line, UTF-8 bytes) to a token's (line, characters)."""
    lines = source.splitlines(keepends=True)
    return lambda row, byte: (row, len(lines[row - 1].encode()[:byte].decode()))


def _outside_texts(tree: ast.AST) -> Iterable[ast.AST]:
    """All nodes but those inside f-strings, whose places are not known on every version."""
    for child in ast.iter_child_nodes(tree):
        if not isinstance(child, ast.JoinedStr):
            yield child
            yield from _outside_texts(child)


def _calls(source: str) -> str:
    tree, place = ast.parse(source), _offsets(source)
    opening = [t.start for t in _tokens(source) if t.type == tokenize.OP and t.string == "("]
    edits: list[tuple[tuple[int, int], int, str]] = []
    for node in _outside_texts(tree):
        if isinstance(node, ast.Call):
            assert node.func.end_lineno is not None and node.func.end_col_offset is not None
            end = place(node.func.end_lineno, node.func.end_col_offset)
            bracket = min(o for o in opening if o >= end)
            space = " " if node.args or node.keywords else ""
            edits += [(bracket, 1, space), (place(node.func.lineno, node.func.col_offset), 0, "(")]
    for token in _tokens(source):
        if token.type == tokenize.NAME and not token.string.startswith("_") and _SNAKE.search(token.string):
            camel = _SNAKE.sub(lambda found: found[1].upper(), token.string)
            edits.append((token.start, len(token.string), camel))
    return _edited(source, edits)


def _one_based(source: str) -> str:
    tree, place = ast.parse(source), _offsets(source)
    hints = {id(inner) for node in ast.walk(tree) for hint in _annotations(node) for inner in ast.walk(hint)}
    edits: list[tuple[tuple[int, int], int, str]] = []
    for node in _outside_texts(tree):
        if isinstance(node, ast.Subscript) and id(node) not in hints:
            first = node.slice.lower if isinstance(node.slice, ast.Slice) else node.slice
            if first is not None:
                edits += _raised(first, place)
    if not edits:
        raise CannotChange("no index")
    return _edited(source, edits)


def _annotations(node: ast.AST) -> list[ast.AST]:
    found = [getattr(node, name, None) for name in ("annotation", "returns")]
    return [hint for hint in found if isinstance(hint, ast.AST)]


def _raised(index: ast.expr, place: Callable[[int, int], tuple[int, int]]) -> list[tuple[tuple[int, int], int, str]]:
    """The edit that makes an index one larger; none for texts, pairs and places counted from the end."""
    assert index.end_lineno is not None and index.end_col_offset is not None
    start, end = place(index.lineno, index.col_offset), place(index.end_lineno, index.end_col_offset)
    if isinstance(index, ast.Constant) and type(index.value) is int:
        return [(start, end[1] - start[1], str(index.value + 1))]
    if isinstance(index, (ast.Name, ast.Attribute)) or (
        isinstance(index, ast.BinOp) and isinstance(index.op, (ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod))
    ):
        return [(end, 0, " + 1")]
    return []


DIALECTS: dict[str, Callable[[str], str]] = {
    "keywords": _keywords, "braces": _braces, "calls": _calls, "one_based": _one_based,
}  # fmt: skip
RESTORE: dict[str, Callable[[str], str]] = {"keywords": _from_keywords, "braces": _from_braces}
