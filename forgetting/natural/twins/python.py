"""A function to be completed, in another form: other names, a docstring without its keyword, another layout.

A problem is a prompt (the head of a function with its docstring, perhaps helpers before it), the body, and the name of
the function. Every change is made on tokens, so that nothing but what is named changes, and gives both texts anew, or
None where there is nothing to change. Whether the new body passes the old tests is for the tests to say.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass

from forgetting.natural.grading.programs import parsed

NAMES = ("first", "second", "third", "fourth", "fifth")
# The word that gives a task away, and what it means; longer ones first.
MEANINGS: tuple[tuple[str, str], ...] = (
    (r"greatest common divisor", "largest whole number that divides both without a remainder,"),
    (r"prime factors", "factors that are divisible only by 1 and by themselves"),
    (r"prime numbers", "numbers above 1 that are divisible only by 1 and by themselves"),
    (r"prime number", "number above 1 that is divisible only by 1 and by itself"),
    (r"a prime", "divisible only by 1 and by itself (and above 1)"),
    (r"palindromes", "texts that read the same backwards"),
    (r"palindrome", "text that reads the same backwards"),
    (r"factorial of (\w+)", r"product of all whole numbers from 1 to \1"),
    (r"median of", "middle value, after putting them in order, of"),
    (r"Fibonacci numbers?", "numbers each of which is the sum of the two before"),
    (r"vowels", "letters a, e, i, o, u"),
    (r"consonants", "letters other than a, e, i, o, u"),
    (r"in ascending order", "from the smallest to the largest"),
    (r"in descending order", "from the largest to the smallest"),
    (r"even numbers", "numbers that 2 divides"),
    (r"odd numbers", "numbers that 2 does not divide"),
    (r"even digits", "digits that 2 divides"),
    (r"odd digits", "digits that 2 does not divide"),
    (r"unique elements", "elements without repetition"),
    (r"concatenate", "join one after the other"),
    (r"uppercase", "capital"),
    (r"lowercase", "small"),
)


@dataclass(frozen=True)
class Problem:
    """A function to be completed."""

    prompt: str
    body: str
    entry: str


def renamed(problem: Problem) -> Problem | None:
    """The function is called ``answer``, its arguments ``first``, ``second``, ...; in the docstring's examples too."""
    function = _function(problem)
    if function is None or function.args.vararg or function.args.kwarg or function.args.kwonlyargs:
        return None
    arguments = [a.arg for a in function.args.args]
    if len(arguments) > len(NAMES):
        return None
    return _with_names(problem, function, dict(zip(arguments, NAMES, strict=False)))


def misnamed(problem: Problem, name: str) -> Problem | None:
    """The function has another name, and nothing else is changed; None where something has that name."""
    function = _function(problem)
    if function is None or re.search(rf"\b{name}\b", problem.prompt + problem.body):
        return None
    return _with_names(problem, function, {}, name)


def arity(problem: Problem) -> int | None:
    """How many arguments the function takes; None where that is not fixed."""
    function = _function(problem)
    if function is None or function.args.vararg or function.args.kwarg or function.args.kwonlyargs:
        return None
    return len(function.args.posonlyargs) + len(function.args.args)


def _with_names(
    problem: Problem, function: ast.FunctionDef, arguments: Mapping[str, str], name: str = "answer"
) -> Problem | None:
    """The function and its arguments called as given; None where a new name is taken.

    A name that may be a word of the docstring (median, of which it speaks) is changed there only where it is called, or
    called a function.
    """
    nodes = list(ast.walk(ast.parse(problem.prompt + problem.body)))
    taken = {n.id for n in nodes if isinstance(n, ast.Name)} | {n.arg for n in nodes if isinstance(n, ast.arg)}
    if taken & {*arguments.values(), name}:
        return None
    before, head = _split(problem.prompt, _line_of(function))
    whole = _tokens(head + problem.body, {**arguments, problem.entry: name})
    prompt, body = _split(whole, head.count("\n"))
    start = prompt.index(":\n")
    own = rf"\b{problem.entry}\b"
    called = own if re.search(r"[_\d]", problem.entry) else rf"{own}(?=\s*\()|(?<=function ){own}"
    text = re.sub(called, name, prompt[start:])
    for old, new in arguments.items():
        # An argument's name that may be a word of the text is replaced in quotation marks only.
        word = rf"(?<=[`']){old}(?=[`'])" if len(old) > 2 and "_" not in old else rf"(?<![\w']){old}(?![\w'])"
        text = re.sub(rf"`{old}`" if old in ("a", "i") else word, f"`{new}`" if old in ("a", "i") else new, text)
    return Problem(before + prompt[:start] + text, body, name)


def functional(problem: Problem) -> Problem | None:
    """The docstring's giveaway words replaced by what they mean, and the function called ``answer``."""
    function = _function(problem)
    if function is None or not ast.get_docstring(function):
        return None
    before, head = _split(problem.prompt, _line_of(function))
    start = head.index(":\n")
    lines = head[start:].split("\n")
    changed = [line if ">>>" in line or "==" in line or "➞" in line else _meant(line) for line in lines]
    if changed == lines:
        return None
    told = Problem(before + head[:start] + "\n".join(changed), problem.body, problem.entry)
    return _with_names(told, function, {})


def reformatted(problem: Problem) -> Problem | None:
    """Two spaces of indentation, single quotes around the docstring, a blank line after it; the same syntax tree."""
    function = _function(problem)
    if function is None:
        return None
    before, head = _split(problem.prompt, _line_of(function))
    if "'''" in head or "\t" in head + problem.body:
        return None
    head = head.replace('"""', "'''")
    prompt, body = _halved(head), _halved(problem.body)
    new = Problem(before + prompt + "\n", body, problem.entry)
    old_tree, new_tree = parsed(problem.prompt + problem.body), parsed(new.prompt + new.body)
    if old_tree is None or new_tree is None or _without_texts(old_tree) != _without_texts(new_tree):
        return None
    return new


def _meant(line: str) -> str:
    for word, meaning in MEANINGS:
        line = re.sub(rf"\b{word}\b", meaning, line, flags=re.IGNORECASE)
    return line


def _function(problem: Problem) -> ast.FunctionDef | None:
    tree = parsed(problem.prompt + problem.body)
    found = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == problem.entry] if tree else []
    return found[-1] if found else None


def _line_of(function: ast.FunctionDef) -> int:
    return min([function.lineno, *(d.lineno for d in function.decorator_list)]) - 1


def _split(text: str, line: int) -> tuple[str, str]:
    lines = text.split("\n")
    return "".join(f"{part}\n" for part in lines[:line]), "\n".join(lines[line:])


def _tokens(source: str, names: Mapping[str, str]) -> str:
    """Names replaced, attributes and keywords of calls left alone; everything else stays as it was."""
    lines, found = source.split("\n"), list(tokenize.generate_tokens(io.StringIO(source).readline))
    depth, edits = 0, []
    for index, token in enumerate(found):
        if token.type == tokenize.OP:
            depth += (token.string in "([{") - (token.string in ")]}")
        keyword = depth > 0 and token.start[0] > 1 and found[min(index + 1, len(found) - 1)].string == "="
        if token.type == tokenize.NAME and token.string in names and found[index - 1].string != "." and not keyword:
            edits.append(token)
    for token in reversed(edits):
        row, start = token.start
        line = lines[row - 1]
        lines[row - 1] = line[:start] + names[token.string] + line[token.end[1] :]
    return "\n".join(lines)


def _halved(text: str) -> str:
    return re.sub(r"^( +)", lambda found: " " * (len(found[1]) // 2 + len(found[1]) % 2), text, flags=re.MULTILINE)


def _without_texts(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" in node.value:
            node.value = ""
    return ast.dump(tree)
