"""A closed mini-Python: a one-function program and its tests in, an outcome out; never an exception, never ``exec``.

A program is parsed to Python's syntax tree (``ast.parse`` compiles and runs nothing), checked against a closed list of
node types, and evaluated by the small interpreter below. Everything is bounded: source, nesting, steps, numbers and
lists. What Python has and the list has not (attributes, imports, lambdas, powers, strings, ...) is a syntax error here.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any

from forgetting.world.vocabulary import NEWLINE

MAX_SOURCE, MAX_NESTING, MAX_STEPS, MAX_LENGTH, MAX_INTEGER = 2000, 24, 5000, 1000, 10**30

Tests = tuple[tuple[Any, Any], ...]


class Execution(StrEnum):
    """What became of a program; the text is the class of the error."""

    passed = ""
    wrong = "wrong_output"
    syntax_error = "syntax_error"
    runtime_error = "runtime_error"
    step_limit = "step_limit"


class _Stop(Exception):
    """Evaluation ends with an outcome."""

    def __init__(self, outcome: Execution) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class _Return(Exception):
    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


_NODES = frozenset(
    {
        *(ast.Module, ast.FunctionDef, ast.arguments, ast.arg, ast.Return, ast.Assign, ast.If),
        *(ast.BinOp, ast.UnaryOp, ast.Compare, ast.Call, ast.ListComp, ast.comprehension, ast.IfExp),
        *(ast.List, ast.Subscript, ast.Slice, ast.Name, ast.Constant, ast.Load, ast.Store),
        *(ast.Add, ast.Sub, ast.Mult, ast.Mod, ast.FloorDiv, ast.USub),
        *(ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE),
    }
)
_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Mod: lambda a, b: a % b,
    ast.FloorDiv: lambda a, b: a // b,
}
_COMPARE: dict[type, Callable[[Any, Any], bool]] = {
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
}
_FUNCTIONS: dict[str, Callable[[list[Any]], Any]] = {"sum": sum, "max": max, "min": min, "len": len, "sorted": sorted}


def detokenise(text: str) -> str:
    """Python source of a program in words: ``<nl>`` ends a line, and every line but the first is indented once."""
    lines = [" ".join(line.split()) for line in text.split(NEWLINE)]
    return "\n    ".join(lines)


def parse(source: str) -> ast.FunctionDef | None:
    """The one function of a program, or None where the text is not of the subset."""
    if len(source) > MAX_SOURCE or not source.isascii() or _bracket_depth(source) > MAX_NESTING:
        return None
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if len(tree.body) != 1 or not isinstance(tree.body[0], ast.FunctionDef) or not _is_allowed(tree):
        return None
    return tree.body[0]


def _bracket_depth(source: str) -> int:
    depth = deepest = 0
    for letter in source:
        depth += (letter in "([{") - (letter in ")]}")
        deepest = max(deepest, depth)
    return deepest


def _is_allowed(tree: ast.AST) -> bool:
    waiting: list[tuple[ast.AST, int]] = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        if type(node) not in _NODES or depth > MAX_NESTING or not _has_allowed_form(node):
            return False
        waiting.extend((child, depth + 1) for child in ast.iter_child_nodes(node))
    return True


def _has_allowed_form(node: ast.AST) -> bool:
    match node:
        case ast.FunctionDef():
            a = node.args
            extra = (*a.posonlyargs, *a.kwonlyargs, *a.defaults, *a.kw_defaults, *node.decorator_list)
            plain = not extra and not a.vararg and not a.kwarg and node.returns is None
            return plain and len(a.args) == 1 and a.args[0].annotation is None
        case ast.Assign():
            return len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)
        case ast.Call():
            return isinstance(node.func, ast.Name) and len(node.args) == 1 and not node.keywords
        case ast.Constant():
            return type(node.value) is int and node.value <= MAX_INTEGER
        case ast.ListComp():
            return len(node.generators) == 1
        case ast.comprehension():
            return isinstance(node.target, ast.Name) and not node.is_async
        case ast.Subscript():
            return isinstance(node.ctx, ast.Load)
        case ast.List():
            return isinstance(node.ctx, ast.Load)
        case ast.Compare():
            return len(node.ops) == 1
    return True


class _Run:
    """One evaluation: the variables and the steps that are left."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {}
        self.left = MAX_STEPS

    def block(self, statements: Sequence[ast.stmt]) -> None:
        for statement in statements:
            if isinstance(statement, ast.Return):
                raise _Return(self.value(statement.value) if statement.value else None)
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                self.names[statement.targets[0].id] = self.value(statement.value)
            elif isinstance(statement, ast.If):
                self.block(statement.body if self.value(statement.test) else statement.orelse)
            else:
                raise _Stop(Execution.syntax_error)

    def value(self, node: ast.expr) -> Any:
        self.left -= 1
        if self.left < 0:
            raise _Stop(Execution.step_limit)
        match node:
            case ast.Constant():
                return node.value
            case ast.Name():
                if node.id not in self.names:
                    raise _Stop(Execution.runtime_error)
                return self.names[node.id]
            case ast.BinOp():
                return self.binary(type(node.op), self.value(node.left), self.value(node.right))
            case ast.UnaryOp():
                return -self.value(node.operand)
            case ast.Compare():
                return _COMPARE[type(node.ops[0])](self.value(node.left), self.value(node.comparators[0]))
            case ast.IfExp():
                return self.value(node.body if self.value(node.test) else node.orelse)
            case ast.List():
                return [self.element(element) for element in node.elts]
            case ast.ListComp():
                return self.comprehension(node)
            case ast.Call():
                return self.call(node)
            case ast.Subscript():
                return self.value(node.value)[self.index(node.slice)]
        raise _Stop(Execution.syntax_error)

    def element(self, node: ast.expr) -> Any:
        """What may stand in a list: numbers only, so that no list holds itself twice over and comparing stays cheap."""
        value = self.value(node)
        if not isinstance(value, int):
            raise _Stop(Execution.runtime_error)
        return value

    def binary(self, operator: type, left: Any, right: Any) -> Any:
        lists = isinstance(left, list) + isinstance(right, list)
        if lists and not (lists == 2 and operator is ast.Add and len(left) + len(right) <= MAX_LENGTH):
            raise _Stop(Execution.runtime_error)
        result = _BINARY[operator](left, right)
        if not lists and abs(result) > MAX_INTEGER:
            raise _Stop(Execution.runtime_error)
        return result

    def comprehension(self, node: ast.ListComp) -> list[Any]:
        generator = node.generators[0]
        assert isinstance(generator.target, ast.Name)
        name, source = generator.target.id, self.value(generator.iter)
        before, missing = self.names.get(name), name not in self.names
        if not isinstance(source, list):
            raise _Stop(Execution.runtime_error)
        found = []
        for element in source:
            self.names[name] = element
            if all(self.value(test) for test in generator.ifs):
                found.append(self.element(node.elt))
        if missing:
            self.names.pop(name, None)
        else:
            self.names[name] = before
        return found

    def call(self, node: ast.Call) -> Any:
        assert isinstance(node.func, ast.Name)
        function, argument = _FUNCTIONS.get(node.func.id), self.value(node.args[0])
        if function is None or node.func.id in self.names or not isinstance(argument, list):
            raise _Stop(Execution.runtime_error)
        self.left -= len(argument)
        return function(argument)

    def index(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Slice):
            return slice(*(self.value(part) if part else None for part in (node.lower, node.upper, node.step)))
        return self.value(node)


def evaluate(function: ast.FunctionDef, argument: Any) -> tuple[Execution, Any]:
    """The value that a parsed function returns for one argument (None where it did not get so far)."""
    run = _Run()
    run.names[function.args.args[0].arg] = list(argument) if isinstance(argument, (list, tuple)) else argument
    try:
        run.block(function.body)
    except _Return as returned:
        return Execution.passed, returned.value
    except _Stop as stop:
        return stop.outcome, None
    except (ArithmeticError, LookupError, TypeError, ValueError, RecursionError, MemoryError):
        return Execution.runtime_error, None
    return Execution.passed, None


def is_same(found: Any, wanted: Any) -> bool:
    """Equality of exact types: an int or a list (in tests: a tuple) of ints; ``True`` is not ``1``."""
    if isinstance(wanted, (list, tuple)):
        return type(found) is list and len(found) == len(wanted) and all(map(is_same, found, wanted))
    return type(found) is int and type(wanted) is int and found == wanted


@lru_cache(maxsize=65536)
def run_tests(program: str, tests: Tests) -> Execution:
    """The outcome of a program in words, header and body, on (argument, wanted) pairs; the first failure decides."""
    function = parse(detokenise(program))
    if function is None:
        return Execution.syntax_error
    for argument, wanted in tests:
        outcome, found = evaluate(function, argument)
        if outcome is not Execution.passed:
            return outcome
        if not is_same(found, wanted):
            return Execution.wrong
    return Execution.passed
