"""Packaging: what is declared is what is used, the tested versions satisfy it, nothing is installed twice."""

from __future__ import annotations

import ast
import configparser
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
# Installed for their effect, or named to bound what other packages bring.
INDIRECT = {"datasets", "optuna", "pytorch-lightning", "statsmodels", "tensorboard", "tokenizers"}


@pytest.fixture(scope="module")
def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def requirements(text: str) -> dict[str, Requirement]:
    """Requirements by name, from lines."""
    found = [Requirement(line) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return {canonicalize_name(r.name): r for r in found}


def declared(setup: configparser.ConfigParser) -> dict[str, Requirement]:
    return requirements(setup["options"]["install_requires"])


def test_the_malicious_releases_are_out_of_reach(setup: configparser.ConfigParser) -> None:
    for name in ("lightning", "pytorch-lightning"):
        allowed = declared(setup)[name].specifier
        assert not any(allowed.contains(bad) for bad in ("2.6.2", "2.6.3", "2.6.5", "2.7"))
        assert allowed.contains("2.6.6")


def test_the_tested_versions_satisfy_every_declaration(setup: configparser.ConfigParser) -> None:
    pins = requirements((ROOT / "constraints.txt").read_text())
    for pin in pins.values():
        assert re.fullmatch(r"==[\w.]+", str(pin.specifier)), f"{pin}: a tested version, without a local part"
        assert pin.url is None
    extras = setup["options.extras_require"]
    for requirement in (declared(setup) | requirements(extras["test"]) | requirements(extras["dev"])).values():
        if requirement.name == "forgetting":
            continue
        pin = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(str(pin.specifier).removeprefix("==")), f"{requirement} and {pin}"


@pytest.mark.parametrize("version", ["2.11.0", "2.12.0", "2.13.0", "2.13.1"])
def test_torch_versions(version: str, setup: configparser.ConfigParser) -> None:
    assert declared(setup)["torch"].specifier.contains(version)
    assert not declared(setup)["torch"].specifier.contains("2.14.0")


def test_every_import_is_declared_and_every_declaration_used(setup: configparser.ConfigParser) -> None:
    roots: set[str] = set()
    for path in (ROOT / "forgetting").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                roots |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                roots.add(node.module.split(".")[0])
    owners, extras = packages_distributions(), setup["options.extras_require"]
    optional = {name for text in extras.values() for name in requirements(text)}
    used = set()
    for root in roots - set(sys.stdlib_module_names) - {"forgetting"}:
        candidates = {canonicalize_name(d) for d in owners.get(root, [root])}
        assert candidates & (set(declared(setup)) | optional), f"{root} is imported and not declared"
        used |= candidates
    assert not set(declared(setup)) - used - INDIRECT


def test_pyproject_names_only_the_build_backend() -> None:
    assert set(tomllib.loads((ROOT / "pyproject.toml").read_text())) == {"build-system"}


def test_no_type_checks_are_waived_for_the_package(setup: configparser.ConfigParser) -> None:
    assert setup["mypy"]["strict"] == "true"
    waived = [name for section in setup.sections() if section.startswith("mypy-") for name in section[5:].split(",")]
    assert not [name for name in waived if name.startswith("forgetting")]


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_a_second_make_installs_nothing(tmp_path: Path) -> None:
    for name in ("Makefile", "setup.cfg", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)

    def plan(target: str) -> str:
        return subprocess.run(
            ["make", "--dry-run", target], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout

    first = plan("simulate")
    assert (
        first.index("-m venv")
        < first.index('"torch==')
        < first.index("--editable")
        < first.index("forgetting simulate")
    )
    assert "[dev]" not in first
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name in ("bin/python", ".installed", ".dev"):
        (tmp_path / ".venv" / name).touch()
    for target in ("simulate", "test", "slow", "lint", "types"):
        assert "pip install" not in plan(target)
        assert "-m venv" not in plan(target)
    later = (tmp_path / ".venv" / ".dev").stat().st_mtime + 10
    os.utime(tmp_path / "constraints.txt", (later, later))
    assert "pip install" in plan("simulate")


def test_no_file_names_a_machine_or_an_index() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    texts = {".py", ".cfg", ".toml", ".md", ".txt", ".yaml", "", ".jinja"}
    machine = re.compile(r"(?<![\w.])/(?:root|opt|home|work|Users)/\w|index-url|file:///|pypi\.org/simple")
    for name in tracked:
        path = ROOT / name
        if path.suffix in texts and path.is_file() and path != Path(__file__):
            assert not machine.search(path.read_text(errors="ignore")), name


@pytest.mark.slow
def test_the_wheel_holds_code_types_templates_and_reference(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "forgetting", tmp_path / "forgetting", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", "w", "."],
        cwd=tmp_path,
        check=True,
    )
    (wheel,) = (tmp_path / "w").glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
        metadata = file.read(next(n for n in names if n.endswith("/METADATA"))).decode()
        scripts = file.read(next(n for n in names if n.endswith("/entry_points.txt"))).decode()
    expected = {
        str(p.relative_to(ROOT))
        for p in (ROOT / "forgetting").rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }
    assert expected <= names
    assert "forgetting = forgetting.cli:main" in scripts
    assert Version(re.search(r"^Version: (.*)$", metadata, re.MULTILINE)[1])  # type: ignore[index]
