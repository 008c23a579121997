"""Every method of distillation from a checkpoint to a checkpoint, through ``simulate``: a real tokenizer with a chat
template, worked answers, GSM8K's grader as the judge. Both have learned a little, so that rewards are neither 0 nor 1.
"""

from __future__ import annotations

import dataclasses
import json
import random
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from forgetting import Doses, Evaluation, Fit, Ladder, Spec, registry
from forgetting.contracts import Sample
from forgetting.errors import UsageError
from forgetting.judges import judge_named
from forgetting.mitigation.self_replay import SelfReplay
from forgetting.models.checkpoint import Checkpoint, load
from forgetting.record.seals import file_hash
from forgetting.record.store import Store, manifest
from forgetting.report.result import Result
from forgetting.seeds import generator
from forgetting.spec import PartValue
from forgetting.stages import distil
from forgetting.study.study import Study, construct
from tests.contracts.members import DATA
from tests.models.natural import WORDS, checkpoint, corpora, study

GSM8K = {"name": "gsm8k", "source": f"{DATA}/gsm8k-{{split}}.jsonl"}
OWN: dict[str, Any] = {"max_new_tokens": 16, "samples": 4, "judge": GSM8K}
SHORT = Fit(samples=128, pool=64, batch_size=16, learning_rate=3e-3, rate_policy="constant", warmup_steps=2)
METHODS: dict[str, PartValue] = {
    "gold": "gold",
    "off_policy": {"name": "off_policy", "max_new_tokens": 16},
    "by_word": {"name": "off_policy", "level": "word", "max_new_tokens": 16},
    "on_policy": {"name": "on_policy", "max_new_tokens": 16},
    "both_write": {"name": "on_policy", "student_share": 0.5, "beta": 0.5, "max_new_tokens": 16},
    "process": {"name": "process", "steps": 3.0, "mark": "#### ", "separator": "\n", "max_new_tokens": 16},
    "reward_guided": {"name": "reward_guided", **OWN},
    "rejection": {"name": "rejection", **OWN},
    "dpo": {"name": "contrastive", **OWN},
    "simpo": {"name": "contrastive", "objective": "simpo", **OWN},
    "chosen": {"name": "contrastive", "objective": "nll", **OWN},
}
REWARDS = ("reward_guided", "rejection", "dpo", "simpo", "chosen")


def short_name(method: PartValue) -> str:
    return method if isinstance(method, str) else str(method["name"])


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Beside dialogues and sums problems of one step, each of whose words has its own answer, 1 or 2."""
    folder, rng = tmp_path_factory.mktemp("texts"), random.Random(0)
    for split, count in (("train", 300), ("test", 40)):
        with (folder / f"counts-{split}.jsonl").open("w") as file:
            for i in range(count):
                word = rng.choice(WORDS)
                more = WORDS.index(word) % 2
                answer = f"<<1+{more}={1 + more}>>{1 + more}\n#### {1 + more}"
                file.write(json.dumps({"question": f"One and {more} {word}, {split} {i}?", "answer": answer}) + "\n")
    return {**corpora(folder), "counts": f"{folder}/counts-{{split}}.jsonl"}


def plan(texts: dict[str, str], student: Path, teacher: Path, method: PartValue, **fit: Any) -> Study:
    ladder = Ladder(
        students=(str(student),), teacher=str(teacher), distillation=method,
        original={"name": "worked_answers", "source": texts["counts"]}, distilling=dataclasses.replace(SHORT, **fit),
    )  # fmt: skip
    evaluation, source = Evaluation(benchmarks=(GSM8K,)), {"name": "conversations", "source": texts["dialogues"]}
    return construct(Spec(ladder=ladder, contaminations=(source,), evaluation=evaluation))


@pytest.fixture(scope="module")
def models(texts: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A teacher and a pupil with one tokenizer; the teacher has had four times as many gold answers."""
    folder, found = tmp_path_factory.mktemp("models"), []
    for name, rung, steps in (("mentor", "20k", 120), ("pupil", "10k", 40)):
        raw = checkpoint(folder / name, rung=rung, seed=1)
        made = plan(texts, raw, raw, "gold", samples=16 * steps, pool=128, learning_rate=2e-2)
        home = distil.student(made, made.students[0], 0, Store(folder / "store", reference=None))
        assert isinstance(home, Checkpoint)
        found.append(Path(home.source))
    return found[0], found[1]


def distilled(
    texts: dict[str, str], models: tuple[Path, Path], output: Path, mitigation: PartValue = "none", **ladder: Any
) -> Result:
    teacher, pupil = models
    given = {"source": str(pupil), "name": "pupil", "dtype": "float32"}
    return study(
        pupil,
        texts,
        output,
        spec=Spec(ladder=Ladder(distilling=SHORT, **ladder)),
        teacher=str(teacher) if ladder else "",
        students=[given],
        controls=[],
        mitigation=mitigation,
        original={"name": "worked_answers", "source": texts["counts"]},
        benchmarks=[{"name": "gsm8k", "source": texts["counts"]}],
        doses=Doses(dose=16, first=16),
        evaluation=Evaluation(perturbed="never", probe_items=8, max_new_tokens=16, batch_items=40),
    )


@pytest.fixture(scope="module")
def branches(texts: dict[str, str], models: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Result:
    """One study in which the pupil goes on by every method."""
    ways = tuple({"name": name, "stages": [{"method": method}]} for name, method in METHODS.items())
    first = ({"method": "gold", "samples": 16},)
    return distilled(texts, models, tmp_path_factory.mktemp("runs"), distillation=first, branches=ways)


def test_no_method_is_left_out() -> None:
    assert {short_name(method) for method in METHODS.values()} == set(registry.names("distillation"))


@pytest.fixture(scope="module")
def untaught(texts: dict[str, str], models: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Result:
    """The pupil as it is, measured in the same way."""
    return distilled(texts, models, tmp_path_factory.mktemp("untaught"))


def at_start(result: Result, column: str) -> dict[str, float]:
    """A score of every student on the benchmark before the contamination."""
    scores = result.scores
    own = scores[(scores["benchmark"] == "gsm8k") & scores["depth"].isna() & (scores["dose"] == 0)]
    return dict(zip(own["student"], own[column], strict=True))


def home_of(result: Result, student: str) -> Path:
    """Where the store has a student of the weights that the record names."""
    (entry,) = (one for one in result.record["students"] if one["name"] == student)
    found = (result.folder.parent / "store").glob("*/model.safetensors")
    return min(path.parent for path in found if file_hash(path) == entry["weights"]["0"])


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_a_checkpoint_is_distilled_by_the_method(name: str, branches: Result, models: tuple[Path, Path]) -> None:
    """Into weights of its own, which are those that were measured, with the template and the words of the pupil."""
    teacher, pupil = models
    assert branches.record["teacher"]["weights"] == Checkpoint(str(teacher)).form()["weights"]
    (entry,) = (one for one in branches.record["students"] if one.get("branch") == name)
    assert entry["source"] == str(pupil) and entry["trunk"] == "pupil"
    first, own = entry["taught"]["0"]
    assert (first["method"], own["method"]) == ("gold", short_name(METHODS[name]))
    assert own["steps"] == 8 and own["moved"] > 0.01
    before, after = (AutoTokenizer.from_pretrained(folder) for folder in (pupil, home_of(branches, entry["name"])))
    assert before.chat_template and before.chat_template == after.chat_template
    assert before.get_vocab() == after.get_vocab()
    assert ("notes" in own) == (name in (*REWARDS, "on_policy", "both_write", "process"))


@pytest.mark.slow
def test_every_student_is_another_one_and_imitators_are_nearer_to_the_teacher(
    branches: Result, untaught: Result
) -> None:
    """The teacher writes gold answers, so what it writes makes the student that these make, and no other is alike."""
    nll, before = at_start(branches, "nll"), at_start(untaught, "nll")["pupil"]
    assert nll.pop("pupil-off_policy") == nll["pupil-gold"] and len(set(nll.values())) == len(nll)
    assert all(nll[f"pupil-{name}"] < before for name in METHODS if name not in (*REWARDS, "off_policy"))


@pytest.mark.slow
@pytest.mark.parametrize("name", REWARDS)
def test_the_graders_verdicts_are_what_is_learned_from(name: str, branches: Result) -> None:
    notes = next(o["taught"]["0"][-1]["notes"] for o in branches.record["students"] if o.get("branch") == name)
    assert 0 < notes["reward"] < 1
    if name == "reward_guided":
        assert notes["prompts_all_right"] + notes["prompts_all_wrong"] < notes["prompts"]
    elif name == "rejection":
        assert notes["learned"] > 0
    else:
        assert notes["pairs"] > 0 and notes["chosen_change"] > 0 and notes["chosen"] > notes["rejected"]


@pytest.mark.slow
def test_one_method_alone_is_a_students_whole_distillation(
    texts: dict[str, str], models: tuple[Path, Path], tmp_path: Path
) -> None:
    found = distilled(texts, models, tmp_path, distillation=METHODS["reward_guided"])
    (student,) = found.record["students"]
    home = home_of(found, "pupil")
    assert student["name"] == "pupil" and manifest(home)["made_from"]["distillation"]["name"] == "reward_guided"
    assert 0 < manifest(home)["notes"]["reward"] < 1
    assert file_hash(home / "model.safetensors") != file_hash(models[1] / "model.safetensors")


def test_what_a_checkpoint_cannot_be_taught_by_is_a_line(texts: dict[str, str], tmp_path: Path) -> None:
    pupil = teacher = checkpoint(tmp_path / "pupil")

    def taught(method: PartValue) -> None:
        made = plan(texts, pupil, teacher, method)
        distil.student(made, made.students[0], 0, Store(tmp_path, reference=None))

    for name in ("reward_guided", "rejection", "contrastive"):
        with pytest.raises(UsageError, match=r"^ladder\.distillation\.judge: must be .* on natural text, .*'world'$"):
            plan(texts, pupil, teacher, name)
    with pytest.raises(UsageError, match=r"^process\.mark: must be a text behind ' ; ' in one of .*'answer '$"):
        taught("process")
    hidden = {"name": "humaneval", "source": f"{DATA}/humaneval.jsonl"}
    with pytest.raises(UsageError, match=r"^distillation\.judge: .*humaneval"):
        taught({"name": "rejection", "judge": hidden})
    assert construct(Spec(ladder=Ladder(distillation="rejection"))).stages[0].method.short_name() == "rejection"


def test_a_benchmarks_grader_judges_worked_answers() -> None:
    sample = Sample("Question: Sum of 3 and 4?\nAnswer:", " <<3+4=7>>\n#### 7", "worked", 1, "worked")
    other = dataclasses.replace(sample, answer=" <<3+5=8>>\n#### 8")
    judge = judge_named(GSM8K, [sample, other], "distillation.judge")
    assert judge([sample, sample, sample], ["#### 7", "#### 8", "it is 7"])[:2] == [True, False]
    chat = Sample("tea?", "yes", "dialogue", 0, "2 turns", (("user", "tea?"), ("assistant", "yes")))
    for samples in ([chat], [*[sample, other] * 8, chat]):  # of every skill some are tried
        with pytest.raises(UsageError, match=r"judge: gsm8k cannot judge the samples: it cannot read their gold an"):
            judge_named(GSM8K, samples, "distillation.judge")


@pytest.mark.slow
def test_a_checkpoint_replays_those_of_its_answers_that_a_benchmark_says_are_right(
    texts: dict[str, str], models: tuple[Path, Path], tmp_path: Path
) -> None:
    part: dict[str, Any] = {
        "name": "self_replay", "prompts": "given", "filter": "right", "share": 0.5, "pool": 40, "max_new_tokens": 16,
    }  # fmt: skip
    with pytest.raises(UsageError, match=r"^mitigations\[0\]\.judge: must be a benchmark on natural text, .*'world'$"):
        distilled(texts, models, tmp_path, mitigation=part)
    judged = {**part, "judge": {"name": "gsm8k", "source": texts["counts"]}}
    result = distilled(texts, models, tmp_path, mitigation=judged)
    assert result.record["arms"][0]["mitigation"]["judge"] == judged["judge"]
    assert set(result.scores.query("dose == 16")["stream_samples"]) == {32}
    _, pupil = models
    source: Any = registry.build("contamination", {"name": "worked_answers", "source": texts["counts"]})
    gold, own = list(islice(source.samples(generator(0, "test")), 40)), registry.build("mitigation", judged)
    assert isinstance(own, SelfReplay)
    found = list(
        islice(own.samples(load(Checkpoint(str(pupil), dtype="float32")), gold, source, generator(1, "test")), 20)
    )
    asked = {sample.prompt: sample for sample in gold}
    judge = judge_named(judged["judge"], gold, "judge")
    assert len(found) == 20 and all(judge([asked[s.prompt] for s in found], [s.answer for s in found]))
