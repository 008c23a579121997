"""Specs, arguments and templates without bounds: a line that names the limit, in seconds; and streams that are gone."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from forgetting.cli import main
from forgetting.errors import UsageError
from forgetting.executors.bars import Bars
from forgetting.models.weight_files import sizes
from forgetting.natural.chat import rendered
from forgetting.record.bounded_work import time_limit
from forgetting.spec import Doses, Spec
from forgetting.study.spec_files import read_mapping
from forgetting.world.tokenizer import tokenizer
from tests.trust.conftest import ROOT, SMALL, run

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
FILES = {
    "aliases of aliases": (LAUGHS, "aliases make more than 100,000 values"),
    "an alias of itself": ("a: &a [*a]\n", "aliases make more than"),
    "a mapping in itself": ("a: &a\n  b: *a\n", "aliases make more than"),
    "a list as a name": ("? [a, b]\n: 3\n", "a setting must be a name"),
    "a mapping as a name": ("? {a: 1}\n: 3\n", "a setting must be a name"),
    "a date that is none": ("name: 2024-99-99\n", "not valid YAML"),
    "a time": ("seeds: 12:30:45\n", "a number must be decimal"),
    "a date": ("name: 2024-01-01\n", "name"),
    "a number of 10,000 digits": (f"seeds: {'9' * 10_000}\n", "at most 100 digits"),
    "a tag of numbers": ("seeds: !!int many\n", "not valid YAML"),
    "a tag of bytes": ("name: !!binary '%%'\n", "name: must be text"),
    "a tag of sets": ("name: !!set {a, b}\n", "name"),
    "a tag of pairs": ("name: !!omap [3]\n", "not valid YAML"),
    "an equals sign": ("name: =\n", "not valid YAML"),
    "nested deeply": ("a: " + "[" * 3000 + "]" * 3000, "nested too deeply"),
    "an octal number": ("seeds: 010\n", "line 1: a number must be decimal"),
    "a number with colons": ("doses:\n  dose: 1:30\n", "line 2: a number must be decimal"),
    "a number of 20,000 letters": (f"seeds: 0x{'f' * 20_000}\n", "at most 100 digits"),
    "a nul": ("name: a\0b\n", "not valid YAML"),
    "an escape": ('name: "a\\eb"\n', "name"),
    "20 million linear doses": ("doses: {dose: 20000000, spacing: linear, first: 1}\n", "at most 1,000"),
    "a ratio of nearly one": ("doses: {dose: 2000000000, ratio: 1.0000001}\n", "at most 1,000"),
    "a thousand million seeds": ("seeds: 1000000000\n", "at most 100,000 runs"),
    "a seed for every atom": (f"seeds: {10**30}\n", "at most 100,000 runs"),
    "many shifts": (f"shifts: [{', '.join(str(1 / n) for n in range(1, 400))}]\nseeds: 1000\n", "at most 100,000 runs"),
    "a million shifts": (f"shifts: [{'1.0, ' * 10**6}]\n", "MiB|values|at most"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_spec_files(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    text, rule = FILES[name]
    (tmp_path / "spec.yaml").write_text(text)
    assert main(["simulate", "--config", str(tmp_path / "spec.yaml"), "--print_config"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "Traceback" not in told and "\x1b" not in told
    assert any(word in told for word in rule.split("|")), told


def test_a_file_without_end(tmp_path: Path) -> None:
    for path in (Path("/dev/zero"), tmp_path / "pipe"):
        if path.name == "pipe":
            os.mkfifo(path)
        with pytest.raises(UsageError, match="must be a file"):
            read_mapping(path)
    with open(tmp_path / "large.yaml", "wb") as file:
        file.truncate(2**30)
    with pytest.raises(UsageError, match="larger than 4 MiB"):
        read_mapping(tmp_path / "large.yaml")


def test_an_alias_that_is_modest_is_fine(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text("shifts: &s [1.0, 0.5]\nreplays: *s\n")
    assert read_mapping(tmp_path / "spec.yaml") == {"shifts": [1.0, 0.5], "replays": [1.0, 0.5]}


def test_what_is_within_the_bounds_stays_possible() -> None:
    assert len(Doses(dose=1000, spacing="linear", first=1).values()) == 1001
    assert Spec(seeds=1000).seeds == 1000


class Tokenizer:
    """A tokenizer of which only the template is asked."""

    def __init__(self, work: Any) -> None:
        self.work = work

    def apply_chat_template(self, *_: Any, **__: Any) -> str:
        return str(self.work())


def loop() -> str:
    while True:
        pass


def fail() -> str:
    raise KeyError("messages")


def too_much() -> str:
    return "x" * 2**62


@pytest.mark.parametrize(
    ("work", "rule"), [(loop, "longer than"), (fail, "refuses the dialogue: 'messages'"), (too_much, "GiB of memory")]
)
def test_chat_templates(monkeypatch: pytest.MonkeyPatch, work: Any, rule: str) -> None:
    monkeypatch.setattr("forgetting.natural.chat.TEMPLATE_SECONDS", 0.2)
    with pytest.raises(UsageError, match=rule):
        rendered([("user", "a")], Tokenizer(work), answering=True)  # type: ignore[arg-type]


TOO_MUCH = "GiB of memory|longer than"  # whichever comes first on a machine
TEMPLATES = {
    "a text of 20 GB": ("{{ 'x' * 20000000000 }}", TOO_MUCH),
    "a text that doubles": (
        "{% set n = namespace(s='x' * 1000) %}{% for i in range(40) %}{% set n.s = n.s + n.s %}{% endfor %}{{ n.s }}",
        TOO_MUCH,
    ),
    "a width": ("{{ '%99999999999d' % 1 }}", "memory|too big|refuses"),
    "a filter's width": ("{{ 'x' | center(20000000000) }}", TOO_MUCH),
    "a format's width": ("{{ '{:>20000000000}'.format(1) }}", TOO_MUCH),
    "a replacement": ("{{ ('a' * 10000000).replace('a', 'b' * 10000) }}", TOO_MUCH),
    "an indent": ("{{ messages | tojson(indent=20000000000) }}", f"{TOO_MUCH}|refuses"),
    "lists in lists": (
        "{% set n = namespace(l=[1]) %}{% for i in range(60) %}{% set n.l = n.l + n.l %}{% endfor %}", TOO_MUCH
    ),
    "20 million characters": ("{{ 'x' * 20000000 }}", "million characters|longer than"),
    "a power": ("{{ 7 ** 10000000000 }}", TOO_MUCH),
    "squares of squares": (
        "{% set n = namespace(i=7) %}{% for i in range(60) %}{% set n.i = n.i * n.i %}{% endfor %}",
        TOO_MUCH,
    ),
    "a range": ("{% for i in range(999999999) %}x{% endfor %}", "refuses"),
    "loops in loops": (
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "longer than"
    ),
    "filler text": ("{{ lipsum(n=100000000) }}", f"{TOO_MUCH}|refuses"),
    "itself": ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "refuses"),
    "a way out": ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "refuses"),
}  # fmt: skip


@pytest.mark.parametrize("name", TEMPLATES)
def test_real_chat_templates(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    template, rule = TEMPLATES[name]
    monkeypatch.setattr("forgetting.natural.chat.TEMPLATE_SECONDS", 0.3)
    monkeypatch.setattr("forgetting.record.bounded_work.most_bytes", lambda: 2**30)
    words = tokenizer()
    words.chat_template = "{{ messages[0].content }}"
    assert rendered([("user", "a")], words, answering=True) == "a"  # what is imported for the first one takes no time
    words.chat_template = template
    limits = resource.getrlimit(resource.RLIMIT_AS)
    with pytest.raises(UsageError, match=rule):
        rendered([("user", "a")], words, answering=True)
    assert resource.getrlimit(resource.RLIMIT_AS) == limits


def test_waiting_for_others_takes_no_time() -> None:
    with time_limit(0.05, "a thing"):
        time.sleep(0.2)


def test_a_limit_is_taken_back() -> None:
    with time_limit(0.05, "a thing"):
        pass
    begin = time.process_time()
    while time.process_time() < begin + 0.1:
        pass
    with pytest.raises(UsageError, match="outer"), time_limit(0.2, "outer"):
        nested()


def nested() -> None:
    with pytest.raises(UsageError, match="inner"), time_limit(0.05, "inner"):
        loop()
    loop()


HEADERS: dict[str, bytes] = {
    "nothing": b"",
    "a length alone": (10**15).to_bytes(8, "little"),
    "no mapping": (2).to_bytes(8, "little") + b"[]",
    "no JSON": (2).to_bytes(8, "little") + b"{]",
    "a list for a tensor": (9).to_bytes(8, "little") + b'{"a":[1]}',
    "no shape": (8).to_bytes(8, "little") + b'{"a":{}}',
    "a shape of texts": (23).to_bytes(8, "little") + b'{"a":{"shape":["many"]}',
    "a shape below 0": (20).to_bytes(8, "little") + b'{"a":{"shape":[-1]}}',
    "a shape of numbers too large": (40).to_bytes(8, "little") + b'{"a":{"shape":[9999999999999999999999]}}',
    "nested deeply": (50_000).to_bytes(8, "little") + b"[" * 50_000,
    "truth for a number": (22).to_bytes(8, "little") + b'{"a":{"shape":[true]}}',
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers_of_weights(tmp_path: Path, name: str) -> None:
    (tmp_path / "model.safetensors").write_bytes(HEADERS[name])
    with pytest.raises(UsageError, match="checkpoint"):
        sizes(tmp_path)


@pytest.mark.parametrize("stream", ["closed", "full"])
def test_bars_without_a_stream(monkeypatch: pytest.MonkeyPatch, stream: str) -> None:
    file = open("/dev/full", "w", buffering=1)  # noqa: SIM115
    if stream == "closed":
        file.close()
    monkeypatch.setattr(sys, "stderr", file)
    with Bars(quiet=False) as bars, bars.stage("stage", ["a"]) as watch:
        bars.say("a line")
        watch(0, 1, 1)
    monkeypatch.undo()


def finished(program: Path, folder: Path) -> Path:
    done = run(program, folder, "simulate", *SMALL, "--workers", "0", "--quiet", "--store", "store")
    assert done.returncode == 0, done.stderr
    return next(folder.glob("runs/small-*"))


@pytest.mark.slow
def test_streams_disks_and_locales(program: Path, tmp_path: Path) -> None:
    """One study, in a process whose streams are closed, then shown in many ways."""
    begin = f'exec "{sys.executable}" "{program}" simulate {" ".join(map(repr, SMALL))} --workers 1 --store store'
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(tmp_path / "state")}
    done = subprocess.run(["bash", "-c", f"{begin} <&- >&- 2>&-"], cwd=tmp_path, env=environment, check=False)
    folder = next(tmp_path.glob("runs/small-*"))
    assert (folder / "report.html").is_file() and json.loads((folder / "record.json").read_text())["sha256"]
    assert done.returncode in (0, 2)
    shown = run(program, tmp_path, "resume", str(folder), LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert shown.returncode == 0 and "Retention" in shown.stdout and "Traceback" not in shown.stderr
    full = subprocess.run(
        ["bash", "-c", f'"{sys.executable}" "{program}" resume {folder} > /dev/full'],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert full.returncode == 2 and full.stderr.count("\n") == 1
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    for path in (folder, *before):
        path.chmod(path.stat().st_mode & ~0o222)
    again = run(program, tmp_path, "simulate", *SMALL, "--workers", "0", "--store", "store")
    assert again.returncode == 0 and "Retention" in again.stdout, again.stderr
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    for path in (folder, *before):
        path.chmod(path.stat().st_mode | 0o200)
    shutil.rmtree(folder)
