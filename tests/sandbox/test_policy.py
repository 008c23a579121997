"""Words of ``--sandbox``: what they mean, what is refused, bubblewrap where it is installed, a container's command."""

from __future__ import annotations

import shutil

import pytest

from forgetting.cli import main
from forgetting.errors import UsageError
from forgetting.sandbox import pool
from forgetting.sandbox.limits import Outcome
from forgetting.sandbox.policy import MOUNTED, VARIABLE, Policy, policy
from forgetting.sandbox.pool import Asserts, Sandbox, Script


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("", Policy()),
        ("strict", Policy(strict=True)),
        ("bubblewrap, strict", Policy(strict=True, bubblewrap=True)),
        ("container:python:3.12-slim,strict", Policy(strict=True, image="python:3.12-slim")),
    ],
)
def test_words(words: str, meant: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    assert policy(words) == meant
    monkeypatch.setenv(VARIABLE, words)
    assert policy() == meant


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("stric", "sandbox: unknown name 'stric'; did you mean 'strict'?"),
        ("container:", "sandbox: unknown name 'container:'; did you mean 'container:IMAGE'?"),
        ("bubblewrap,container:x", "sandbox: must be bubblewrap or a container"),
    ],
)
def test_bad_words(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match=f"^{message}"):
        policy(words)
    assert main(["simulate", "--sandbox", words]) == 2
    assert capsys.readouterr().err.startswith(f"forgetting: error: {message}")


@pytest.mark.parametrize("words", ["bubblewrap", "container:python"])
def test_a_tool_that_is_missing(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match=r"^sandbox: (bubblewrap is not installed|neither podman nor docker is)"):
        Sandbox(workers=1, wanted=policy(words))


def test_strict_by_the_environment_refuses_where_a_layer_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "strict")
    monkeypatch.setattr(pool.Sandbox, "missing", lambda self: "landlock (no such kernel)")
    with pytest.raises(UsageError, match=r"^sandbox: strict, but this machine lacks landlock \(no such kernel\)$"):
        pool.layers()


def test_a_container_gets_the_package_and_no_rights() -> None:
    if not (shutil.which("docker") or shutil.which("podman")):
        pytest.skip("needs docker or podman")
    command = policy("container:python:3.12-slim").command("/somewhere")
    image = command.index("python:3.12-slim")
    assert command[image + 1 :] == ["python3", "-s", "-S", "-P", f"{MOUNTED}/forgetting/sandbox/child.py"]
    assert {"--read-only", "--rm", "--interactive"} < set(command[:image])
    assert command[command.index("--network") + 1] == "none" and command[command.index("--cap-drop") + 1] == "ALL"


def test_bubblewrap() -> None:
    if not shutil.which("bwrap"):
        pytest.skip("needs bwrap, of the package bubblewrap")
    jobs = [
        Asserts("def f(x): return x * x", "f", "assert f(3) == 9"),
        Asserts("def f(x): return x", "f", "assert f(3) == 9"),
        Asserts("def f(x):\n    open('p', 'w').write('x')\n    return 9", "f", "assert f(3) == 9"),
        Script("print(open('/etc/passwd').read() and 1)", "", "1"),
    ]
    try:
        with Sandbox(workers=1, wanted=policy("bubblewrap")) as sandbox:
            outcomes = [v.outcome for v in sandbox.run(jobs)]
    except UsageError as error:
        pytest.skip(f"bwrap does not work here: {error}")
    assert outcomes == [
        Outcome.passed,
        Outcome.wrong,
        Outcome.runtime_error,
        Outcome.runtime_error,
    ]
