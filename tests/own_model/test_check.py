"""A whole check: one study, chosen, carried out and told on a page of 80 columns; the same call shows it again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast

import forgetting
from forgetting.analysis.study_folder import StudyFolder
from forgetting.errors import UsageError
from forgetting.models.ladder import architecture
from forgetting.models.scratch import fresh_checkpoint
from forgetting.own_model import at_hand, check_plan, page
from forgetting.own_model.check import CheckResult
from forgetting.spec import Machine
from forgetting.study.fingerprints import study_fingerprint
from forgetting.study.study import construct
from tests.conftest import Outcome
from tests.contracts.members import DATA
from tests.models.natural import checkpoint, corpora

LOOKUP = "{name: lookup, item_count: 8}"
SUMS = "{name: sums, item_count: 8}"
FAST = ["--dose", "32", "--max_new_tokens", "4", "--workers", "0"]


@pytest.fixture
def told(command: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """Runs a check, which must end well and keep to its columns."""

    def run(*argv: str) -> Outcome:
        outcome = command("check", *argv)
        assert outcome.status == 0, outcome.err
        assert max(map(len, outcome.out.splitlines())) <= 80, outcome.out
        return outcome

    return run


def test_in_the_embedded_world(told: Callable[..., Outcome], here: Path) -> None:
    given = ["10k", "--data", "noise", "--benchmarks", LOOKUP, *FAST]
    plan = told(*given, "--plan").out
    assert list(here.iterdir()) == []
    page = told(*given).out
    assert page.startswith(plan)
    (folder,) = (here / "runs").iterdir()
    result = forgetting.load(folder)
    assert list(result.arms) == ["noise", "original"]
    curve = result.curves["10k"]["lookup"]
    assert curve.dose.tolist() == [0, 8, 16, 32]
    row = next(line for line in page.splitlines() if line.startswith("lookup "))
    assert row.split()[1:3] == ["8", f"{curve.accuracy[0]:.2f}".replace("0.", ".")]
    for word in ("new task", "NLL", "as many steps on the original distribution keep", "one order of the data", "next"):
        assert word in " ".join(page.split())
    assert "".join(page.split()).find(f"{folder.relative_to(here)}/report.html") > 0
    assert 'id="cost"' in (folder / "report.html").read_text()
    record = (folder / "record.json").read_bytes()
    again = told(*given).out
    assert again == page and (folder / "record.json").read_bytes() == record


def test_a_model_with_nothing_to_forget(told: Callable[..., Outcome], here: Path) -> None:
    corpora(here)
    checkpoint(here / "tiny")
    page = told("tiny", "--data", "dialogues.jsonl", "--benchmarks", SUMS, *FAST).out
    assert "to forget in sums: no answer was right at dose 0" in page
    assert "200 samples of 200 rows" in page and "left\n           out: nothing" in page
    assert "no control ran" in page.replace("\n           ", " ")
    assert "give benchmarks that this model passes" in page


def test_what_a_plan_says_of_a_checkpoint(told: Callable[..., Outcome], here: Path) -> None:
    corpora(here)
    made = checkpoint(here / "tiny")
    config = json.loads((made / "tokenizer_config.json").read_text())
    (made / "tokenizer_config.json").write_text(json.dumps({k: v for k, v in config.items() if k != "chat_template"}))
    for file in made.glob("chat_template*"):
        file.unlink()
    plan = told("tiny", "--data", "dialogues.jsonl", "--original", "sums.jsonl", "--minutes", "0.0001", "--plan").out
    whole = " ".join(plan.split())
    assert "the tokenizer has no chat template, so that of each dialogue only the last answer is learned" in whole
    assert "more than --minutes 0.0001" in whole and "control: left out" in whole
    assert "gsm8k: not at hand" in whole and "warning" not in whole
    assert not (here / "runs").exists()


def test_words_that_the_tokenizer_does_not_know_are_a_warning(told: Callable[..., Outcome], here: Path) -> None:
    corpora(here)
    known = ["<pad>", "<eos>", "<unk>", "User:", "I", "want", "number", "Assistant:", "Here", "is"]
    core = Tokenizer(WordLevel({word: place for place, word in enumerate(known)}, unk_token="<unk>"))
    core.pre_tokenizer = WhitespaceSplit()  # which leaves three of eleven: what is wanted, the number, what is had
    marks = {"pad_token": "<pad>", "eos_token": "<eos>", "unk_token": "<unk>"}
    words = PreTrainedTokenizerFast(tokenizer_object=core, **marks)  # type: ignore[no-untyped-call]
    fresh_checkpoint(here / "tiny", architecture("10k"), words, 0)
    plan = " ".join(told("tiny", "--data", "dialogues.jsonl", "--benchmarks", SUMS, "--plan").out.split())
    assert "warning: of the data's tokens 27% stand for words that the tokenizer does not know" in plan


def test_knobs_are_those_of_the_study(here: Path) -> None:
    corpora(here)
    checkpoint(here / "tiny")
    wishes = check_plan.Wishes(benchmarks="sums", batch_size=4, precision="bfloat16_mixed", device="cpu")
    spec = check_plan.planned("tiny", "dialogues.jsonl", wishes).study.spec
    assert (spec.fine_tuning.batch_size, spec.machine) == (4, Machine(precision="bfloat16_mixed", device="cpu"))


@pytest.mark.parametrize(
    ("after", "said", "todo"),
    [
        (1.0, "held-out samples", "give benchmarks"),
        (1.95, "hardly learned", "raise --dose"),
        (2.2, "worse than before", "a lower --learning_rate"),
        (2.05, "hardly learned", "raise --dose"),
    ],
)
def test_what_the_page_says_of_the_new_task(after: float, said: str, todo: str) -> None:
    assert page._new_task(9, 2.0, after).endswith(said)
    assert todo in page._next([], (9, 2.0, after), StudyFolder(Path(), {}))


def test_from_python_the_study_is_an_ordinary_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "mine.jsonl"
    other = json.dumps({"prompt": "Guten Tag", "completion": "hello"})
    file.write_text(f"{(DATA / 'world_rows.jsonl').read_text()}{other}\n")
    found = forgetting.check(
        "10k", file, benchmarks={"name": "lookup", "item_count": 8}, dose=16, workers=0, quiet=True, minutes=1
    )
    assert isinstance(found, CheckResult)
    told = found.result.record["arms"][0]["data"]
    assert told["samples"] == 60 and told["bad_rows"] == ["line 61: the world has not the words Guten, Tag"]
    assert found.result.folder.name == f"check-{study_fingerprint(construct(found.plan.study.spec))[:8]}"
    assert found.to_frame()["skill"].tolist() == ["lookup"]
    assert "1 of no use" in " ".join(str(found).split())


def test_adapters_without_their_package_are_one_line(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpora(here)
    checkpoint(here / "tiny")
    monkeypatch.setattr(check_plan, "ADAPTERS_FROM", 10_000)
    monkeypatch.setattr(check_plan, "adapters_at_hand", lambda: False)
    with pytest.raises(UsageError, match=r"^mitigation: must be none .*forgetting\[lora\]"):
        forgetting.check("tiny", "dialogues.jsonl", benchmarks="sums", quiet=True)


def test_large_models_learn_by_adapters(
    told: Callable[..., Outcome], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("peft")
    corpora(here)
    checkpoint(here / "tiny")
    monkeypatch.setattr(check_plan, "ADAPTERS_FROM", 10_000)
    plan = told("tiny", "--data", "dialogues.jsonl", "--benchmarks", SUMS, *FAST, "--plan").out
    assert "lora trained at rate 2e-02" in " ".join(plan.split())


def test_benchmarks_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_DATASETS_CACHE", raising=False)
    monkeypatch.delenv("FORGETTING_DATA", raising=False)
    found, missing = at_hand.at_hand()
    assert found == [] and [line.split(":")[0] for line in missing] == ["gsm8k", "humaneval"]
    (tmp_path / "datasets" / "openai___openai_humaneval").mkdir(parents=True)
    (tmp_path / "gsm8k-test.jsonl.gz").write_bytes(b"")
    monkeypatch.setenv("FORGETTING_DATA", str(tmp_path))
    found, missing = at_hand.at_hand()
    assert found == [{"name": "gsm8k", "source": "$FORGETTING_DATA/gsm8k-{split}.jsonl.gz"}, {"name": "humaneval"}]
    assert missing == []
