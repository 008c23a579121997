"""Real dialogues, altered Python and worked answers: what is learned, in which order, and the errors."""

from __future__ import annotations

from itertools import islice

import pytest

from forgetting import registry
from forgetting.contamination.altered_python import AlteredPython
from forgetting.contamination.conversations import Conversations
from forgetting.contamination.worked_answers import WorkedAnswers
from forgetting.errors import UsageError
from forgetting.natural.syntax.python_dialects import DIALECTS
from forgetting.seeds import generator
from tests.contracts.members import DATA
from tests.real import source

BY_HAND = f"{DATA}/conversations.jsonl"


def test_ten_thousand_real_dialogues() -> None:
    part = Conversations(source=source("dialogue-sgd-10k.jsonl.gz"))
    samples = list(islice(part.samples(generator(0, "test")), 10_000))
    assert len(set(samples)) == len(samples)
    assert all(s.turns[-1][0] == "assistant" and s.turns[-1][1] == s.answer.strip() for s in samples)
    assert all(sum(len(c) for _, c in s.turns) <= 4_000 for s in samples)


def test_an_epoch_goes_through_all_before_any_comes_again() -> None:
    first = list(islice(Conversations(source=BY_HAND).samples(generator(0, "x")), 12))
    assert len(set(first[:6])) == len(set(first[6:])) == 6 and first[:6] != first[6:]


def test_a_dialogue_ends_with_its_last_assistant_turn_that_fits() -> None:
    sample = next(s for s in Conversations(source=BY_HAND).samples(generator(0, "x")) if "Oslo" in s.prompt)
    assert [role for role, _ in sample.turns] == ["user", "assistant"] * 2 and sample.given_turns == 0
    assert sample.prompt == "User: Find me a bus to Oslo.\nAssistant: One leaves at nine.\nUser: Take it.\nAssistant:"
    assert sample.answer == " Your seat is booked."
    short = Conversations(source=BY_HAND, most_characters=48, turns="last").samples(generator(0, "x"))
    sample = next(s for s in short if "Oslo" in s.prompt)
    assert sample.answer == " One leaves at nine." and sample.given_turns == 1


@pytest.mark.slow
def test_altered_python_is_head_and_body() -> None:
    for dialect in (*DIALECTS, "none"):
        part = AlteredPython(dialect=dialect, limit=400)
        for sample in islice(part.samples(generator(0, "x")), 40):
            assert sample.prompt.startswith(("fn ", "def ", "async "))
            assert sample.template == f"{dialect}-snippet"
    plain = next(AlteredPython(dialect="none", limit=50).samples(generator(0, "x")))
    compile(plain.prompt + plain.answer, "x", "exec")
    marked = next(AlteredPython(dialect="calls", form="marked", limit=50).samples(generator(0, "x")))
    assert marked.prompt.startswith("# calls\n")


def test_worked_answers_leave_out_the_validation_rows() -> None:
    from forgetting.benchmarks.gsm8k import GSM8K

    real = source("gsm8k-{split}.jsonl.gz")
    held_out = {i.prompt for s in ("validation", "test") for i in GSM8K(source=real).items(s)}  # type: ignore[arg-type]
    train = [i.prompt for i in GSM8K(source=real).items("train")]
    samples = list(islice(WorkedAnswers(source=real).samples(generator(0, "x")), len(train)))
    assert sorted(s.prompt for s in samples) == sorted(train)
    assert not held_out & {s.prompt for s in samples}


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (Conversations(source="/no/file.jsonl"), r"conversations\.source: there is no file"),
        (Conversations(source=BY_HAND, field="turns"), r"conversations\.field: must be the column of messages"),
        (Conversations(source=BY_HAND, most_characters=1), r"conversations\.source: must be a data set with dialogues"),
        (AlteredPython(source=BY_HAND), r"altered_python\.field: must be one of the columns id, messages"),
        (
            AlteredPython(source=BY_HAND, field="id"),
            r"altered_python\.source: must be a data set with Python",
        ),
        (WorkedAnswers(source=BY_HAND), r"worked_answers\.question, answer: must be columns among id, messages"),
    ],
)
def test_an_error_when_it_is_read(part: Conversations, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        next(part.samples(generator(0, "x")))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "conversations", "turns": "all"}, "unknown name 'all'"),
        ({"name": "altered_python", "dialect": "brace"}, "did you mean 'braces'"),
        ({"name": "altered_python", "form": "unmarked"}, "unknown name 'unmarked'"),
        ({"name": "worked_answers", "template": "no place"}, r"must be a text with \{question\}"),
    ],
)
def test_bad_settings(settings: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        registry.build("contamination", settings)
