"""Rules that no test of behaviour holds: layers, cycles, torch, unsafe calls, the README, docstrings."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import forgetting
from forgetting.record.schema import LEDGER_COLUMNS, ScoreRow

PACKAGE = Path(forgetting.__file__).parent
ROOT = PACKAGE.parent

# Imports go to the same layer or to a lower one; docs/architecture.md shows this table.
LAYERS = {
    0: "spec seeds errors",
    1: "contracts registry judges batching losses world natural sandbox record",
    2: "models distillation contamination benchmarks mitigation answering intervention analysis",
    3: "study",
    4: "training evaluation",
    5: "stages",
    6: "simulate resume executors sweep claims report own_model callbacks",
    7: "cli __main__ testing",
}
LAYER = {name: layer for layer, names in LAYERS.items() for name in names.split()}
FAMILIES = set("models distillation contamination benchmarks mitigation answering intervention".split())
# Files of these folders are named after a part or a command, and may share their name with what that is about.
MEMBERS = {*FAMILIES - {"models"}, "claims", "world", "cli"}
# Areas, or single modules, whose imports at import time bring no torch, however far they are followed.
TORCH_FREE = """
spec seeds errors contracts registry judges world record analysis study natural.corpora natural.grading natural.twins
natural.syntax sandbox contamination benchmarks mitigation distillation models.ladder models.weight_files
models.checkpoint evaluation.events simulate resume
executors sweep claims report own_model cli
""".split()
MOST_IMPORTS, MOST_LINES = 15, 300
LONG: dict[str, str] = {
    "forgetting.contracts": "the one page that somebody with a part of his own reads",
    "forgetting.spec": "the settings of a study, a class for each group",
    "forgetting.sandbox.child": "runs in an interpreter of its own, where it can import next to nothing of the package",
    "forgetting.natural.lm_eval_tasks": "everything that touches lm-eval, whose interface moves, is in one place",
    "forgetting.report.result": "the API of a study: a method for each question, of a few lines each",
    "forgetting.world.dialects": "one grammar",
    "forgetting.natural.syntax.python_dialects": "one grammar",
}
# The one file that executes text as Python: a script for an interpreter of its own, which nothing imports.
RUNS_PROGRAMS = "forgetting.sandbox.child"
HEAVY = {"torch", "lightning", "pytorch_lightning"}


@cache
def modules() -> dict[str, Path]:
    """Dotted names of the package's modules."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = ["forgetting", *path.relative_to(PACKAGE).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(modules()[name].read_text())


def statements(node: ast.AST, *, run_time: bool, inner: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """Import statements; ``run_time`` leaves out TYPE_CHECKING blocks, ``inner`` looks into functions as well."""
    for child in ast.iter_child_nodes(node):
        body = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        annotations = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif not (body and not inner) and not (annotations and run_time):
            yield from statements(child, run_time=run_time, inner=inner)


def imported(name: str, *, run_time: bool, inner: bool) -> set[str]:
    """Full names of what a module imports: ``package.module`` or ``package.module.thing``."""
    names = set()
    for statement in statements(tree(name), run_time=run_time, inner=inner):
        if isinstance(statement, ast.Import):
            names |= {alias.name for alias in statement.names}
        else:
            assert statement.level == 0, f"{name}: relative import"
            names |= {f"{statement.module}.{alias.name}" for alias in statement.names}
    return names


@cache
def own(name: str, **which: bool) -> frozenset[str]:
    """The package's modules among a module's imports."""
    found = set[str]()
    for full in imported(name, **which):
        if full.split(".")[0] == "forgetting":
            found.add(full if full in modules() else full.rpartition(".")[0])
    return frozenset(found - {name})


def area(name: str) -> str:
    """``forgetting.world.maths`` is in ``world``; the root package is in no area."""
    return name.split(".")[1] if "." in name else ""


def test_every_module_has_a_layer() -> None:
    assert {area(name) for name in modules()} - {""} == set(LAYER)


def layers_table() -> str:
    rows = [f"| {layer} | {', '.join(f'`{name}`' for name in names.split())} |" for layer, names in LAYERS.items()]
    return "\n".join(["| layer | modules |", "| --- | --- |", *reversed(rows)])


def test_the_document_shows_these_layers() -> None:
    """After a change: python -m tests.test_architecture."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    assert text.partition("<!-- LAYERS -->\n")[2].partition("\n<!-- /LAYERS -->")[0] == layers_table()


def test_imports_go_downward() -> None:
    below = [(n, other) for n in modules() if area(n) for other in own(n, run_time=False, inner=True) if area(other)]
    assert [f"{n} imports {o}, which lies above it" for n, o in below if LAYER[area(o)] > LAYER[area(n)]] == []
    parts = [(n, other) for n, other in below if {area(n), area(other)} <= FAMILIES]
    assert [f"{n} imports {o}, a part of another family" for n, o in parts if area(n) != area(o)] == []


def test_one_name_one_thing() -> None:
    """No public class or type name twice, and no file name twice but for members of families and commands."""
    classes: dict[str, list[str]] = {}
    files: dict[str, list[str]] = {}
    for name, path in modules().items():
        own_names = {n.name for n in tree(name).body if isinstance(n, ast.ClassDef)}
        own_names |= {ast.unparse(n.targets[0]) for n in tree(name).body if isinstance(n, ast.Assign)}
        for found in own_names:
            if re.fullmatch(r"[A-Z]\w*[a-z]\w*", found):
                classes.setdefault(found, []).append(name)
        if path.stem != "__init__" and area(name) not in MEMBERS:
            files.setdefault(path.stem, []).append(name)
    assert not {k: v for k, v in (classes | files).items() if len(v) > 1}


def test_few_things_are_imported_and_files_are_short() -> None:
    """Own modules that a file imports when it is imported, and lines; a longer file says why beside its name here."""
    imports = {name: len(own(name, run_time=True, inner=False)) for name in modules()}
    assert not {name: count for name, count in imports.items() if count > MOST_IMPORTS}
    lines = {name: len(path.read_text().splitlines()) for name, path in modules().items()}
    assert {name for name, count in lines.items() if count > MOST_LINES} <= set(LONG)


def test_no_import_cycles() -> None:
    """Among imports that run when a module is imported."""
    graph = {name: own(name, run_time=True, inner=False) for name in modules()}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name not in done:
            for other in graph[name]:
                visit(other, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def torch_free() -> list[str]:
    return [n for n in modules() if any(f"{n}.".startswith(f"forgetting.{free}.") for free in TORCH_FREE)]


def test_modules_without_torch() -> None:
    """Nor what they import, however far that is followed."""
    reached, todo = set(), torch_free()
    while todo:
        one = todo.pop()
        heavy = {full for full in imported(one, run_time=True, inner=False) if full.split(".")[0] in HEAVY}
        assert not heavy, f"{one}, or what imports it, is not free of torch"
        reached.add(one)
        todo += own(one, run_time=True, inner=False) - reached


def test_importing_them_all_brings_no_torch() -> None:
    views = [name for name in torch_free() if area(name) in ("analysis", "report")]
    code = f"import importlib, sys\nfor n in {views}: importlib.import_module(n)\n"
    code += "assert not {'transformers', 'tensorflow', 'matplotlib.pyplot'} & {*sys.modules}\n"
    code += f"for n in {torch_free()}: importlib.import_module(n)\n"
    code += f"print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"


def test_nothing_that_is_loaded_can_run_code() -> None:
    for name in modules():
        check_calls(name)


def check_calls(name: str) -> None:
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            roots = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            bad = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
            assert not bad & {r.split(".")[0] for r in roots}, f"{name}, line {node.lineno}"
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        given = {k.arg: ast.unparse(k.value) for k in node.keywords}
        runs_code = {"exec", "eval", "compile", "__import__", "os.system", "os.popen"}
        allowed = {"exec", "compile"} if name == RUNS_PROGRAMS else set()
        where = f"{name}, line {node.lineno}"
        assert called not in runs_code - allowed, where
        assert given.get("shell") != "True", where
        assert given.get("trust_remote_code") != "True", where
        assert given.get("allow_pickle") != "True", where
        if called.endswith("torch.load"):
            assert given.get("weights_only") == "True", where
        if called in {"yaml.load", "yaml.unsafe_load"}:
            assert given.get("Loader", "").endswith("Loader"), where


def test_nothing_imports_the_file_that_runs_programs() -> None:
    assert not [n for n in modules() if RUNS_PROGRAMS in own(n, run_time=False, inner=True)]


def readme_tree() -> set[str]:
    """The folders of the README's file tree, as paths."""
    block = re.search(r"<!-- TREE -->\n```[a-z]*\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block
    paths, stack = set(), []
    for line in block[1].splitlines():
        entry = re.match(r"( *)([\w.-]+)/", line)
        if entry:
            stack = [*stack[: len(entry[1]) // 2], entry[2]]
            paths.add("/".join(stack))
    return paths


def test_the_readme_tree_is_complete() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        capture_output=True, text=True, check=True, cwd=ROOT,
    ).stdout.splitlines()  # fmt: skip
    files = [Path(line) for line in tracked]
    top = {path.parts[0] for path in files if len(path.parts) > 1}
    inside = {f"forgetting/{path.parts[1]}" for path in files if len(path.parts) > 2 and path.parts[0] == "forgetting"}
    assert readme_tree() == top | inside


def test_every_experiment_has_a_row_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    for path in (ROOT / "experiments").glob("*.yaml"):
        assert f"(experiments/{path.name})" in text


def test_the_readme_calls_what_there_is() -> None:
    from forgetting import simulate

    example = re.search(r"```python\n(from forgetting .*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert example
    for node in ast.walk(ast.parse(example[1])):
        if isinstance(node, ast.ImportFrom) and node.module == "forgetting":
            assert {alias.name for alias in node.names} <= set(forgetting.__all__)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "simulate":
            inspect.signature(simulate).bind(*node.args, **{str(k.arg): k.value for k in node.keywords})


def test_the_record_is_documented() -> None:
    text = (ROOT / "docs" / "record.md").read_text()
    for name in (*LEDGER_COLUMNS, *(f.name for f in dataclasses.fields(ScoreRow))):
        assert f"`{name}`" in text, name


def test_public_things_have_docstrings() -> None:
    """Modules, classes, functions, and methods that override nothing of a family's contract."""
    for name in modules():
        check_docstrings(name)


def check_docstrings(name: str) -> None:
    assert ast.get_docstring(tree(name)), f"{name} says not what goes in and what comes out"
    inherited = {"samples", "batches", "loss", "items", "grade", "prepare", "mix", "penalty", "after_step", "batch"}
    inherited |= {"pull", "rate", "at_look", "kept", "memory_samples", "answers"}
    inherited |= {"problem", "item", "keep", "own_test_split"}  # of benchmarks._text.TextBenchmark
    for node in ast.walk(tree(name)):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef) or node.name.startswith("_"):
            continue
        law = area(name) == "testing" and node.name.startswith("test_") if isinstance(node, ast.FunctionDef) else False
        if ast.get_docstring(node):
            continue
        if isinstance(node, ast.FunctionDef) and (node.name in inherited or law or _is_nested(name, node)):
            continue
        raise AssertionError(f"{name}: {node.name}, line {node.lineno}, has no docstring")


def _is_nested(name: str, node: ast.FunctionDef) -> bool:
    """A function inside a function, or a method of a private class, of Lightning's or of torch's."""
    for parent in ast.walk(tree(name)):
        inside = any(child is node for child in ast.iter_child_nodes(parent))
        if inside and isinstance(parent, ast.FunctionDef):
            return True
        if inside and isinstance(parent, ast.ClassDef):
            bases = {ast.unparse(b).split(".")[-1].split("[")[0] for b in parent.bases}
            return parent.name.startswith("_") or bool(bases & {"Callback", "LightningModule", "LightningDataModule"})
    return False


if __name__ == "__main__":
    page = ROOT / "docs" / "architecture.md"
    before, _, rest = page.read_text().partition("<!-- LAYERS -->\n")
    page.write_text(
        f"{before}<!-- LAYERS -->\n{layers_table()}\n<!-- /LAYERS -->{rest.partition('<!-- /LAYERS -->')[2]}"
    )
