"""GSM8K on all of its real rows, and what its steps and settings mean on hand-made ones."""

from __future__ import annotations

import re

import pytest

from forgetting.benchmarks.gsm8k import GSM8K
from forgetting.contracts import Grade
from forgetting.errors import UsageError
from tests.contracts.members import DATA
from tests.real import source

BY_HAND = f"{DATA}/gsm8k-{{split}}.jsonl"


def test_all_real_gold_answers_are_right_and_one_more_is_wrong() -> None:
    part = GSM8K(source=source("gsm8k-{split}.jsonl.gz"))
    items = part.items()
    assert len(items) == 1_319
    assert [g.verdict for g in part.grade(items, [i.answer for i in items])] == ["right"] * 1_319
    more = [
        re.sub(r"#### (.*)", lambda found: f"#### {int(found[1].replace(',', '')) + 1}", item.answer) for item in items
    ]
    grades = part.grade(items, more)
    assert {(g.verdict, g.kind) for g in grades} == {("wrong", "wrong_answer")}
    assert all(g.steps_right == g.steps_total == len(i.check) for g, i in zip(grades, items, strict=True))


def test_splits_of_the_real_data() -> None:
    part = GSM8K(source=source("gsm8k-{split}.jsonl.gz"))
    train, validation = part.items("train"), part.items("validation")
    assert len(train) + len(validation) == 7_473 and 300 < len(validation) < 450


def test_a_step_is_right_where_its_annotation_is() -> None:
    part = GSM8K(source=BY_HAND)
    item = part.items()[0]
    first, second, last = item.answer.strip().split("\n")
    assert (item.depth, item.check) == (2, (("7*5", "35"), ("35+3", "38")))
    graded = part.grade([item] * 4, [item.answer, first, f"{second}\n{last}", f"{first}\n<<35 + 3 = 38>>\n#### 37"])
    assert [(g.verdict, g.steps_right) for g in graded] == [("right", 2), ("wrong", 1), ("right", 0), ("wrong", 2)]


def test_the_prompt_holds_the_question_and_nothing_of_the_answer() -> None:
    for item in GSM8K(source=BY_HAND).items():
        assert item.prompt.startswith("Question: ") and item.prompt.endswith("\nAnswer:")
        assert "<<" not in item.prompt and item.answer.startswith(" ")


def test_annotations_may_be_left_out() -> None:
    item = GSM8K(source=BY_HAND, annotations=False).items()[0]
    assert "<<" not in item.answer and "7 * 5 = 35 apples" in item.answer


def test_worked_problems_stand_before_each_question() -> None:
    plain, part = GSM8K(source=BY_HAND), GSM8K(source=BY_HAND, shots=2)
    train = GSM8K(source=BY_HAND).items("train")
    asked = {item.prompt for item in plain.items()}
    for item, alone in zip(part.items(), plain.items(), strict=True):
        head = item.prompt.removesuffix(alone.prompt)
        assert head.count("Question: ") == 2 and head.endswith("\n\n") and item.prompt != alone.prompt
        assert not any(prompt in head for prompt in asked) and item.answer == alone.answer
        assert all(one.prompt + one.answer in head for one in train if one.prompt in head)
        assert part.grade([item], [item.answer])[0].verdict == "right"
        told = [one.failure(i, " 35 + 3 = 39", Grade("wrong"), ended=True) for one, i in ((part, item), (plain, alone))]
        assert told[0] == told[1]
    bare = GSM8K(source=BY_HAND, shots=2, annotations=False).items()[0]
    assert "<<" not in bare.prompt


def test_an_example_is_not_asked_where_one_file_holds_all() -> None:
    one = BY_HAND.format(split="test")
    whole, part = GSM8K(source=one), GSM8K(source=one, shots=2)
    assert len(part.items()) == len(whole.items()) - 2
    assert sum(part.left_out().values()) == sum(whole.left_out().values()) + 2
    with pytest.raises(UsageError, match=r"gsm8k.shots: must be from 0 to 16, got 17"):
        GSM8K(source=one, shots=17)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("/no/such/file.jsonl", "gsm8k.source: there is no file or folder '/no/such/file.jsonl'"),
        ("./no/such/folder", "gsm8k.source: there is no file or folder 'no/such/folder'"),
        ("nobody/no-such-data", "gsm8k.source: cannot load data set 'nobody/no-such-data': .*HF_HUB_OFFLINE is set"),
    ],
)
def test_a_data_set_that_is_missing(where: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UsageError, match=message):
        GSM8K(source=where).items()


def test_rows_of_another_data_set() -> None:
    with pytest.raises(UsageError, match=r"gsm8k\.source: must be rows with an answer after ####"):
        GSM8K(source=f"{DATA}/math500-gsm8k.jsonl").items()
