"""A checkpoint as the teacher: rungs of the ladder that learn from it, and checkpoints that are distilled further."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from forgetting import Evaluation, Fit, Ladder, Spec
from forgetting.batching import encode, prompts
from forgetting.contracts import Sample
from forgetting.distillation._written import _answered
from forgetting.distillation.off_policy import OffPolicy
from forgetting.errors import UsageError
from forgetting.models.checkpoint import Checkpoint, load
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.models.ladder import QWEN3, architecture
from forgetting.models.scratch import byte_level_bpe, fresh, fresh_checkpoint
from forgetting.natural.chat import rendered
from forgetting.record.store import Store, manifest
from forgetting.report.result import Result
from forgetting.spec import PartValue
from forgetting.stages import distil, train
from forgetting.stages.lesson_plan import lesson_plan
from forgetting.study.estimates import ANSWERED_TOGETHER, Lengths, estimates
from forgetting.study.fingerprints import settings_form, student_form, study_fingerprint
from forgetting.study.study import Study, construct
from tests.conftest import Outcome
from tests.contracts.members import DATA
from tests.models.natural import checkpoint, corpora, study

SHORT = Fit(samples=256, pool=64, batch_size=16, warmup_steps=4)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return corpora(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("models") / "mentor", rung="20k", seed=1)


@pytest.fixture(scope="module")
def pupil(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("models") / "pupil")


def spec(level: str = "sequence") -> Spec:
    distillation = {"name": "off_policy", "level": level, "max_new_tokens": 8}
    return Spec(ladder=Ladder(distilling=SHORT, distillation=distillation))


def plan(texts: dict[str, str], *students: PartValue, teacher: PartValue, **ladder: Any) -> Study:
    given = {
        "original": {"name": "worked_answers", "source": texts["sums"]},
        "distillation": spec().ladder.distillation,
        **ladder,
    }
    made = Ladder(students=students, teacher=teacher, distilling=SHORT, **given)
    return construct(
        Spec(
            ladder=made,
            contaminations=({"name": "conversations", "source": texts["dialogues"]},),
            evaluation=Evaluation(benchmarks=({"name": "gsm8k", "source": f"{DATA}/gsm8k-{{split}}.jsonl"},)),
        )
    )


@pytest.fixture(scope="module")
def rungs(teacher: Path, texts: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Result:
    output = tmp_path_factory.mktemp("runs")
    return study("10k", texts, output, spec=spec(), teacher=str(teacher), students=["10k", "14k"], controls=["joint"])


def stored(result: Result) -> dict[str, Path]:
    """Students in the study's store by what made them."""
    found = {}
    for file in (result.folder.parent / "store").glob("*/manifest.json"):
        made = manifest(file.parent)["made_from"]
        found[made.get("architecture", {}).get("name", "pupil") + ("-joint" if "joint" in made else "")] = file.parent
    return found


def test_rungs_learn_from_a_checkpoint_with_its_words(rungs: Result, teacher: Path) -> None:
    homes = stored(rungs)
    assert set(homes) == {"10k", "14k", "10k-joint", "14k-joint"}  # and no teacher: it is only loaded
    for name in ("10k", "14k"):
        about, made = manifest(homes[name]), architecture(name)
        assert about["capacity"] == made.parameters(400) and about["capacity_non_embedding"] == made.non_embedding()
        assert about["role"] == "student" and set(about["accuracy"]) == {"gsm8k", "humaneval"}
        own, taught = (AutoTokenizer.from_pretrained(f) for f in (homes[name], teacher))
        assert own.get_vocab() == taught.get_vocab() and own.chat_template == taught.chat_template
    frame = rungs.to_frame()
    assert set(frame["student"]) == {"10k", "14k"} and set(frame["capacity"]) == {
        architecture(n).parameters(400) for n in ("10k", "14k")
    }
    assert set(frame[frame["arm"].str.endswith("-joint")]["dose"]) == {0, 64}


def test_the_record_says_who_taught_and_which_weights_were_contaminated(rungs: Result, teacher: Path) -> None:
    record = json.loads((rungs.folder / "record.json").read_text())
    weights = Checkpoint(str(teacher)).form()["weights"]
    assert record["teacher"] == {"name": "mentor", "source": str(teacher), "weights": weights}
    assert record["canonical"]["teacher"]["checkpoint"]["weights"] == weights
    assert "checkpoints" not in record["seeds"] and str(teacher) not in json.dumps(record["canonical"])
    for student in record["students"]:
        assert student["weights"] == {"0": manifest(stored(rungs)[student["name"]])["files"]["model.safetensors"]}
    assert "on the distilled student" in (rungs.folder / "report.html").read_text()


@pytest.mark.parametrize("level", ["sequence", "word"])
def test_students_move_towards_their_teacher(
    texts: dict[str, str], teacher: Path, tmp_path: Path, level: Literal["sequence", "word"]
) -> None:
    """On what it writes to other samples, each level by its own loss, beside the student before it was taught."""
    made = plan(texts, "10k", teacher=str(teacher), distillation=spec(level).ladder.distillation)
    taught = load(distil.student(made, made.students[0], 0, Store(tmp_path, reference=None)))
    mentor = Checkpoint(str(teacher)).load()
    untaught = fresh(architecture("10k"), mentor.tokenizer, 0)
    method = OffPolicy(level=level, max_new_tokens=8)
    batch = next(method.batches(taught, mentor, lesson_plan(made, SHORT, 7)))
    with torch.no_grad():
        assert method.loss(taught, mentor, batch) < 0.8 * method.loss(untaught, mentor, batch)


@pytest.mark.slow
def test_checkpoints_are_distilled_further(
    pupil: Path, teacher: Path, texts: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"source": str(pupil), "thinking": False, "dtype": "float32", "name": "pupil"}
    made = study(pupil, texts, tmp_path, spec=spec(), teacher=str(teacher), students=[given], controls=[])
    home = stored(made)["pupil"]
    before, after = (load_file(f / "model.safetensors") for f in (pupil, home))
    assert all(not torch.equal(before[name], after[name].float()) for name in before if "weight" in name)
    record = json.loads((made.folder / "record.json").read_text())
    (student,) = record["students"]
    assert student["source"] == str(pupil) and student["name"] == "pupil"
    assert student["weights"]["0"] == manifest(home)["files"]["model.safetensors"]
    assert record["canonical"]["students"] == [settings_form(Checkpoint(**given))]
    # The stored one is what is measured at dose 0, and it kept the switch that was asked for.
    asked = rendered([("user", "Where?")], load(home).tokenizer, answering=True)
    assert asked.endswith("<think>\n\n</think>\n\n")
    plain = study(pupil, texts, tmp_path, students=[given], controls=[])
    assert plain.folder != made.folder and "teacher" not in json.loads((plain.folder / "record.json").read_text())
    first = [r.to_frame().query("dose == 0 and benchmark == 'gsm8k'")["nll"].iloc[0] for r in (made, plain)]
    assert first[0] != first[1]
    monkeypatch.setattr(train, "fit", None)  # a second study takes it from the store
    again = study(
        pupil, texts, tmp_path / "second", spec=spec(), teacher=str(teacher), students=[given], controls=[],
        store=tmp_path / "store",
    )  # fmt: skip
    assert again.to_frame().equals(made.to_frame())


def test_a_distilled_checkpoint_is_loaded_as_it_was_asked_for(
    pupil: Path, teacher: Path, texts: dict[str, str], tmp_path: Path
) -> None:
    half = {"source": str(pupil), "dtype": "bfloat16", "attention": "eager"}
    made = plan(texts, half, teacher=str(teacher))
    home = distil.student(made, made.students[0], 0, Store(tmp_path, reference=None))
    network = load(home).network
    assert network.dtype == torch.bfloat16 and network.config._attn_implementation == "eager"
    assert isinstance(home, type(made.students[0])) and home.name == "pupil"
    file = Path(home.source) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    with pytest.raises(UsageError, match="does not have the hash"):
        distil.student(made, made.students[0], 0, Store(tmp_path, reference=None))


def test_what_a_students_fingerprint_depends_on(
    pupil: Path, teacher: Path, texts: dict[str, str], tmp_path: Path
) -> None:
    def mark(*students: PartValue, **settings: Any) -> Any:
        made = plan(texts, *students, **{"teacher": str(teacher), **settings})
        return json.dumps(student_form(made, made.students[0], 0), sort_keys=True)

    moved = shutil.copytree(teacher, tmp_path / "moved")
    assert mark("10k", teacher=str(moved)) == mark("10k") != mark("14k")
    other = checkpoint(tmp_path / "other", rung="20k", seed=2)
    word = {"name": "off_policy", "level": "word", "max_new_tokens": 8}
    different = [
        mark("10k"), mark(str(pupil)), mark("10k", teacher=str(other)), mark("10k", distillation=word),
        mark("10k", seed=1), mark("10k", original={"name": "worked_answers", "source": texts["sums"], "limit": 200}),
        mark({"source": str(pupil), "dtype": "bfloat16"}),
        mark("10k", teacher={"source": str(teacher), "thinking": False}),
    ]  # fmt: skip
    assert len(set(different)) == len(different)
    assert study_fingerprint(plan(texts, "10k", teacher=str(teacher))) != study_fingerprint(
        plan(texts, str(pupil), teacher="")
    )


def test_of_a_dialogue_the_teacher_writes_the_last_turn(teacher: Path) -> None:
    words = Checkpoint(str(teacher)).load().tokenizer
    turns = (("user", "tea?"), ("assistant", "yes"), ("user", "now?"), ("assistant", "no"))
    sample = Sample("User: tea?...", " no", "dialogue", 0, "4 turns", turns)
    assert prompts([sample], words) == [rendered(turns[:-1], words, answering=True)]
    made = encode([_answered(sample, "later", ended=True)], words)
    learned = made.tokens_PT[0][made.answer_PT[0]].tolist()
    assert words.decode(learned) == "later<|im_end|>"
    assert "yes" in words.decode(made.tokens_PT[0].tolist())
    plain = Sample("What?", "this", "maths", 1, "x")
    assert _answered(plain, "that", ended=True) == Sample("What?", "that", "maths", 1, "x")


def test_mistakes(pupil: Path, teacher: Path, texts: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^ladder\.teacher: must be a checkpoint for students that are checkpoints"):
        plan(texts, str(pupil), teacher="1m")
    with pytest.raises(UsageError, match=r"^ladder\.teacher: unknown name '1mm'; did you mean '1m'"):
        plan(texts, "10k", teacher="1mm")
    with pytest.raises(UsageError, match=r"^ladder\.original: 'original' is of the embedded world, and the student of"):
        plan(texts, "10k", teacher=str(teacher), original="original")
    stranger = fresh_checkpoint(tmp_path / "stranger", architecture("20k"), byte_level_bpe(["one two"], 400), 0)
    with pytest.raises(UsageError, match=r"^ladder\.teacher: must be a checkpoint with the tokenizer of the student"):
        study(pupil, texts, tmp_path / "runs", teacher=str(stranger))
    assert not (tmp_path / "runs").exists()
    assert study_fingerprint(plan(texts, "10k", teacher=str(stranger)))  # a fresh student has its teacher's words


def test_word_level_needs_outputs_of_one_size(teacher: Path, texts: dict[str, str], tmp_path: Path) -> None:
    """The same tokenizer beside an embedding that was padded to more rows, as published models have it."""
    words = AutoTokenizer.from_pretrained(teacher)
    fresh(architecture("10k"), words, 0, words=512).save(tmp_path / "padded")
    made = plan(texts, str(tmp_path / "padded"), teacher=str(teacher), distillation=spec("word").ladder.distillation)
    with pytest.raises(UsageError, match=r"^distillation\.level: must be sequence for outputs of different sizes"):
        distil.student(made, made.students[0], 0, Store(tmp_path / "store", reference=None))
    # A rung that learns from the padded one gets as many rows.
    made = plan(texts, "10k", teacher=str(tmp_path / "padded"), distillation=spec("word").ladder.distillation)
    home = distil.student(made, made.students[0], 0, Store(tmp_path / "store", reference=None))
    assert isinstance(home, Path)
    assert HuggingFaceModel.load(home).network.config.vocab_size == 512
    assert manifest(home)["capacity"] == architecture("10k").parameters(512)


def test_forgetting_distil(teacher: Path, pupil: Path, texts: dict[str, str], tmp_path: Path, command: Any) -> None:
    def made(*more: str) -> Outcome:
        outcome: Outcome = command(
            "distil", "--ladder.students", "[10k]", "--ladder.teacher", str(teacher),
            "--ladder.original", f"{{name: worked_answers, source: '{texts['sums']}'}}",
            "--contaminations", f"[{{name: conversations, source: '{texts['dialogues']}'}}]",
            "--evaluation.benchmarks", f"[{{name: gsm8k, source: '{DATA}/gsm8k-{{split}}.jsonl'}}]",
            "--ladder.distilling.samples", "64", "--ladder.distilling.pool", "32",
            "--ladder.distillation", "{name: off_policy, max_new_tokens: 4}",
            "--store", str(tmp_path / "store"), "--workers", "0", *more,
        )  # fmt: skip
        return outcome

    outcome = made("--export", str(tmp_path / "out"))
    assert outcome.status == 0, outcome.err
    (home,) = (tmp_path / "out").iterdir()
    assert outcome.out.splitlines()[-1].endswith(home.name) and (home / "tokenizer.json").is_file()
    refused = made("--ladder.students", f"['{pupil}']", "--ladder.teacher", "")
    assert refused.status == 2 and "ladder.teacher: must be a checkpoint, since without a teacher" in refused.err


def test_estimates_of_distillation_by_hand() -> None:
    def of(*students: PartValue, level: str) -> Any:
        ladder = Ladder(
            students=students, teacher={"source": "Qwen/Qwen3-8B", "dtype": "bfloat16"}, original="worked_answers",
            distillation={"name": "off_policy", "level": level, "max_new_tokens": 100},
            distilling=Fit(samples=10_000, pool=1_280, batch_size=1),
        )  # fmt: skip
        made = Spec(ladder=ladder, contaminations=("conversations",), evaluation=Evaluation(benchmarks=("gsm8k",)))
        return estimates(construct(made), "h200", Lengths(sample=100))

    big, rung = QWEN3["Qwen/Qwen3-8B"].parameters(), architecture("100m").parameters(151_936)
    student, second = of("40m", "100m", level="sequence")[1], of("40m", "100m", level="word")[1]
    assert student.weights_gb == pytest.approx(4 * rung / 1e9)
    training = 6 * rung * 1e6 / (0.4 * 67e12) / 3600
    assert student.distillation_hours == pytest.approx(training)
    assert second.distillation_hours == pytest.approx(training + 2 * big * 1e6 / (0.4 * 989e12) / 3600)
    writing = 2 * big * 1_280 * 128 / (0.4 * 989e12) + 10 * 100 * big * 2 / (0.6 * 4.8e12)
    alone = of("100m", level="sequence")[0]
    assert ANSWERED_TOGETHER == 128 and alone.distillation_hours == pytest.approx(training + writing / 3600)
    assert alone.memory_gb == alone.distillation_gb > 2 * big / 1e9
