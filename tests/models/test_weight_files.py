"""Checkpoints as students of a spec: what names one, its size, the hash of its weights, and the errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig, AutoModelForCausalLM

from forgetting.errors import UsageError
from forgetting.models.checkpoint import Checkpoint, from_value, looks_like_one
from forgetting.models.ladder import QWEN3, architecture
from forgetting.models.scratch import byte_level_bpe, fresh_checkpoint
from forgetting.spec import Evaluation, Ladder, Spec
from forgetting.study import spec_files
from forgetting.study.fingerprints import study_fingerprint
from forgetting.study.study import construct
from tests.conftest import Outcome
from tests.contracts.members import DATA

NATURAL: dict[str, Any] = {
    "contaminations": ("conversations",),
    "evaluation": Evaluation(benchmarks=({"name": "gsm8k", "source": f"{DATA}/gsm8k-{{split}}.jsonl"},)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = byte_level_bpe(["one and two"], 300)
    return fresh_checkpoint(tmp_path_factory.mktemp("models") / "tiny", architecture("10k"), tokenizer, 0)


def study_of(*students: Any, **settings: Any) -> Any:
    ladder = Ladder(students=students, original=settings.pop("original", "worked_answers"))
    return construct(Spec(ladder=ladder, **{**NATURAL, **settings}))


def test_published_sizes_are_those_of_the_model_cards() -> None:
    cards = {"0.6B": 0.44, "1.7B": 1.4, "4B": 3.6, "8B": 6.95, "14B": 13.2, "32B": 31.2}
    for size, billions in cards.items():
        assert QWEN3[f"Qwen/Qwen3-{size}"].non_embedding() / 1e9 == pytest.approx(billions, rel=0.011)
    assert QWEN3["Qwen/Qwen3-0.6B"].parameters() == 596_049_920
    assert QWEN3["Qwen/Qwen3-8B"].parameters() == 8_190_735_360


def test_sizes_are_read_without_loading_weights(folder: Path) -> None:
    made = Checkpoint(str(folder))
    network = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
    assert made.parameters() == sum(p.numel() for p in network.parameters())
    assert made.non_embedding() == architecture("10k").non_embedding()
    assert Checkpoint("Qwen/Qwen3-4B@main").capacity() == QWEN3["Qwen/Qwen3-4B"].parameters()
    assert Checkpoint("nobody/nothing").capacity() is None


def test_the_fingerprint_is_of_the_weights_and_not_of_the_path(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    first = study_fingerprint(study_of(str(folder)))
    assert study_fingerprint(study_of(str(copy))) == first
    assert study_fingerprint(study_of({"source": str(copy), "name": "other", "local": True})) == first
    assert study_fingerprint(study_of({"source": str(copy), "dtype": "bfloat16"})) != first
    assert study_fingerprint(study_of(str(copy), original={"name": "worked_answers", "limit": 9})) != first
    other = fresh_checkpoint(tmp_path / "other", architecture("10k"), byte_level_bpe(["one and two"], 300), 1)
    assert study_fingerprint(study_of(str(other))) != first
    (copy / "tokenizer_config.json").write_text(
        json.dumps({**json.loads((copy / "tokenizer_config.json").read_text()), "x": 1})
    )
    assert study_fingerprint(study_of(str(copy))) != first


def test_environment_variables_and_names(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORGETTING_MODELS", str(folder.parent))
    made = from_value("$FORGETTING_MODELS/tiny", "x")
    assert made.name == "tiny" and made.folder() == folder
    assert from_value({"source": "Qwen/Qwen3-8B@main", "name": "8b"}, "x").name == "8b"
    monkeypatch.delenv("FORGETTING_MODELS")
    assert study_of("$FORGETTING_MODELS/tiny").students == (made,)
    with pytest.raises(UsageError, match="needs the environment variable FORGETTING_MODELS"):
        made.folder()


@pytest.mark.parametrize("value", ["10k", "1m", "width-16"])
def test_names_of_the_ladder_are_no_checkpoints(value: str) -> None:
    assert not looks_like_one(value)


def test_a_file_holds_what_python_holds(folder: Path) -> None:
    student = {"source": str(folder), "thinking": False}
    spec = Spec(ladder=Ladder(students=(student,), original="worked_answers"), **NATURAL)
    assert spec_files.spec_from(spec_files.to_mapping(spec)) == spec
    assert construct(spec).students == (Checkpoint(str(folder), thinking=False),)


MISTAKES: dict[str, tuple[Callable[[str], Any], str]] = {
    "both languages": (lambda f: study_of("10k", f), "names of the ladder or checkpoints, not both"),
    "original of the world": (lambda f: study_of(f, original="original"), "ladder.original: 'original' is of the emb"),
    "contamination of the world": (
        lambda f: study_of(f, contaminations=("dialogue",)),
        "contaminations[0]: 'dialogue' is of the embedded world, and the checkpoint 'tiny' reads natural text; give "
        "one of altered_python, conversations, mixture, worked_answers",
    ),
    "benchmark of the world": (
        lambda f: study_of(f, evaluation=Evaluation(benchmarks=("maths",))),
        "evaluation.benchmarks[0]: 'maths' is of the embedded world",
    ),
    "natural benchmark": (
        lambda f: construct(Spec(evaluation=Evaluation(benchmarks=("maths", "gsm8k")))),
        "evaluation.benchmarks[1]: 'gsm8k' is natural text, and the student '10k' reads the embedded world alone",
    ),
    "natural contamination": (lambda f: construct(Spec(contaminations=("conversations",))), "is natural text"),
    "fresh": (
        lambda f: construct(Spec(ladder=Ladder(students=(f,), fresh_students=True), **NATURAL)),
        "ladder.fresh_students: must be false for checkpoints",
    ),
    "joint": (lambda f: study_of(f, controls=("joint",)), "controls: must be free of joint for checkpoints"),
    "same name": (lambda f: study_of(f, {"source": f, "thinking": False}), "of different names"),
    "unknown setting": (lambda f: study_of({"source": f, "dtpe": "x"}), "did you mean 'dtype'"),
    "wrong type": (lambda f: study_of({"source": f, "local": 3}), "ladder.students[0].local: must be true or false"),
    "no source": (lambda f: study_of({"name": "x"}), "a mapping with a source"),
    "descending": (lambda f: study_of("Qwen/Qwen3-8B", "Qwen/Qwen3-4B"), "in ascending order of capacity"),
    "no folder": (lambda f: study_fingerprint(study_of("./nothing")), "checkpoint: there is no folder './nothing'"),
    "not here": (
        lambda f: study_fingerprint(study_of({"source": "nobody/x", "local": True})),
        "'nobody/x' is not on this",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_one_line(folder: Path, name: str) -> None:
    make, message = MISTAKES[name]
    with pytest.raises(UsageError) as caught:
        make(str(folder))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_mistakes_through_the_command_line(folder: Path, command: Callable[..., Outcome]) -> None:
    (folder.parent / "pickled").mkdir()
    (folder.parent / "pickled" / "config.json").write_text("{}")
    (folder.parent / "pickled" / "pytorch_model.bin").write_bytes(b"x")
    given = ["--ladder.original", "worked_answers", "--contaminations", "[conversations]"]
    given += ["--evaluation.benchmarks", f"[{{name: gsm8k, source: '{DATA}/gsm8k-{{split}}.jsonl'}}]"]
    for student, message in (
        (str(folder.parent / "pickled"), "has pickled weights only, which could run code; save it as safetensors"),
        ("nobody/nothing", "'nobody/nothing' is not on this machine, and only local files are allowed"),
        (str(folder.parent), "has no config.json, so it is no checkpoint"),
    ):
        outcome = command("simulate", "--ladder.students", f"[{student}]", *given)
        assert outcome.status == 2 and outcome.err.count("\n") == 1, outcome.err
        assert message in outcome.err
