"""A teacher whose answers are kept: the same answers, written once, and never those of another question."""

from __future__ import annotations

from pathlib import Path

import pytest

from forgetting.models.huggingface import HuggingFaceModel
from forgetting.record.seals import file_hash
from forgetting.stages.mentor import Mentor
from forgetting.testing.small import model

PROMPTS = [[5, 6, 7], [9, 10], [11], [12, 13, 14, 15]]


@pytest.fixture
def homes(tmp_path: Path) -> list[Path]:
    """Two teachers."""
    for seed in (0, 1):
        model(seed).save(tmp_path / f"teacher{seed}")
    return [tmp_path / "teacher0", tmp_path / "teacher1"]


def mentor(home: Path, folder: Path) -> Mentor:
    return Mentor(HuggingFaceModel.load(home), file_hash(home / "model.safetensors"), folder)


def test_answers_are_the_models_and_are_written_once(
    homes: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = model(0).generate([PROMPTS], max_new_tokens=6)
    folder = tmp_path / "answers"
    assert mentor(homes[0], folder).generate([PROMPTS], max_new_tokens=6) == expected
    assert len(list(folder.iterdir())) == 1
    again = mentor(homes[0], folder)
    monkeypatch.setattr(HuggingFaceModel, "answers", None)
    assert again.generate([PROMPTS], max_new_tokens=6) == expected


def test_every_other_question_gets_its_own_answers(homes: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "answers"
    for home, seed, prompts, limit in (
        (homes[0], 0, PROMPTS, 6),
        (homes[0], 0, PROMPTS, 5),
        (homes[0], 0, PROMPTS[::-1], 6),
        (homes[1], 1, PROMPTS, 6),
    ):
        expected = model(seed).generate([prompts], max_new_tokens=limit)
        for _ in range(2):
            assert mentor(home, folder).generate([prompts], max_new_tokens=limit) == expected
    assert len(list(folder.iterdir())) == 4


def test_empty_answers_are_kept_too(homes: list[Path], tmp_path: Path) -> None:
    own = mentor(homes[0], tmp_path / "answers")
    first = model(0).generate([PROMPTS], max_new_tokens=1)[0]
    own.tokenizer.eos_token = own.tokenizer.convert_ids_to_tokens(first[0][0])
    assert own.generate([PROMPTS], max_new_tokens=1) == [first]  # that end is all that is written
    assert own.generate([PROMPTS], max_new_tokens=1) == [first]
