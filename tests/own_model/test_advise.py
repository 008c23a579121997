"""``forgetting advise``: the gate, rounds end to end, files that other trainers take, and a line for each mistake."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from forgetting import Ladder, Optimiser, Spec
from forgetting.errors import UsageError
from forgetting.mitigation.kl_to_base import KLToBase
from forgetting.models.checkpoint import load
from forgetting.natural.corpora import _hub_answers
from forgetting.own_model.advice import Advice
from forgetting.own_model.advise import PilotRounds, advise
from forgetting.own_model.allowance import Allowance
from forgetting.own_model.gauge import pace
from forgetting.own_model.given import default_rate, keep_of, parameters_of
from forgetting.own_model.plans import KL_ROWS, planned
from forgetting.record.store import Store
from forgetting.study.spec_files import load_spec
from tests.conftest import Outcome
from tests.contracts.members import DATA
from tests.models.natural import checkpoint, corpora

GSM8K = {"name": "gsm8k", "source": f"{DATA}/gsm8k-{{split}}.jsonl", "limit": 4}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("34k", "data: must be what the model is to be tuned on"),
        ("--data dialogue", "model: must be given"),
        ("35k --data dialogue", "there is no folder '35k', a hub name has a slash (owner/name)"),
        ("35k --data dialogue", "and no capacity has that name; did you mean '34k'?"),
        ("./nowhere --data dialogue", "there is no folder './nowhere'"),
        (
            "34k --data dialoge",
            "data: there is no file or folder 'dialoge', and no source of that name; did you mean 'dialogue'?",
        ),
        ("34k --data mine.jsonl", "there is no file or folder 'mine.jsonl'"),
        ("34k --data original", "data: must be other than the original data"),
        ("34k --data dialogue --keep maths", "keep: must be skills with the retention that is wanted"),
        ("34k --data dialogue --keep maths:1.5", "above 0 and at most 1"),
        ("34k --data dialogue --keep maths:.9,maths:.8", "keep: must be free of repeats"),
        ("34k --data dialogue --keep math:.9", "keep: unknown name 'math'; did you mean 'maths'?"),
        ("34k --data dialogue --benchmarks [code]", "keep: unknown name 'maths'; known: code"),
        ("34k --data dialogue --benchmarks gsm8k", "'gsm8k' is natural text"),
        ("34k --data dialogue --original dialoge", "did you mean 'dialogue'?"),
        ("34k --data dialogue --budget 2days", "budget: must be a multiple of the planned run"),
        ("34k --data dialogue --rate 0", "rate: must be above 0"),
        ("34k --data dialogue --rate fast", "rate: must be a number, got 'fast'"),
        ("34k --data dialogue --dose 0", "dose: must be a whole number, at least 1"),
        ("34k --data dialogue --dose many", "dose: must be a whole number, got 'many'"),
        ("34k --data dialogue --config none.yaml", "none.yaml: cannot be read"),
        ("34k --data dialogue --workers x", "workers: must be auto or a whole number"),
        ("34k --data dialogue --dta x", "--dta: unknown argument; did you mean '--data'?"),
        ("10k --data dialogue --budget .001 --workers 0 --quiet", "budget: must be enough for"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    options: str, said: str, here: Path, command: Callable[..., Outcome]
) -> None:
    outcome = command("advise", *options.split())
    assert outcome.status == 2 and said in outcome.err and outcome.err.count("\n") == 1
    assert not list(here.iterdir())


def test_what_is_to_be_kept() -> None:
    wanted = {"maths": 0.95, "code": 1.0}
    assert keep_of("maths:.95, code:1") == keep_of(["maths:.95", "code:1"]) == keep_of(wanted) == wanted
    assert planned("10k", "dialogue", None).keep == {"maths": 0.95}
    with pytest.raises(UsageError, match="keep"):
        keep_of({})


def test_where_there_is_nothing_to_forget_nothing_is_trained(here: Path, command: Callable[..., Outcome]) -> None:
    checkpoint(here / "mine")
    data = corpora(here)["dialogues"]
    left = sorted(path.name for path in here.iterdir())
    asked = json.dumps(GSM8K)
    outcome = command("advise", "./mine", "--data", data, "--benchmarks", asked, "--workers", "0", "--quiet")
    assert outcome.status == 0, outcome.err
    assert "maths at dose 0: 0.00 right of 4" in outcome.out and "nothing to forget" in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 80
    assert sorted(path.name for path in here.iterdir()) == left


def test_a_run_that_ends_in_its_warm_up_is_said_to(here: Path) -> None:
    short = Spec(fine_tuning=Optimiser(batch_size=16, warmup_steps=5))
    for spec, dose, said in ((Spec(), 640, True), (Spec(), 641, False), (short, 80, True), (short, 81, False)):
        found = Advice("m", "d", {}, {}, planned=dose, spec=spec)._warming()
        assert any("lies in its warm-up" in line for line in found) == said


def test_benchmarks_are_read_where_their_data_lie(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = corpora(here)["dialogues"]
    checkpoint(here / "mine")
    monkeypatch.setenv("FORGETTING_DATA", str(here / "data"))
    (here / "data").mkdir()
    (here / "data" / "gsm8k-test.jsonl.gz").write_bytes(b"")
    (asked,) = planned("./mine", data, {"maths": 0.9}).spec.evaluation.benchmarks
    assert asked == {"name": "gsm8k", "limit": 100, "source": "$FORGETTING_DATA/gsm8k-{split}.jsonl.gz"}


@pytest.mark.parametrize("offline", ["1", ""])
def test_what_is_to_be_kept_and_cannot_be_measured_is_said_at_once(
    offline: str, here: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., Outcome]
) -> None:
    data = corpora(here)["dialogues"]
    checkpoint(here / "mine")
    monkeypatch.setenv("HF_HOME", str(here / "none"))
    monkeypatch.setenv("HF_HUB_OFFLINE", offline)
    monkeypatch.delenv("FORGETTING_DATA", raising=False)
    monkeypatch.setattr("huggingface_hub.get_session", lambda: Unreachable)
    monkeypatch.setattr("datasets.load_dataset", lambda *_, **__: pytest.fail("the hub was asked"))
    _hub_answers.cache_clear()
    for skill, name, file in (("maths", "gsm8k", "gsm8k-test.jsonl.gz"), ("code", "humaneval", "HumanEval.jsonl.gz")):
        outcome = command("advise", "./mine", "--data", data, "--keep", f"{skill}:.95")
        assert outcome.status == 2 and len(outcome.err.splitlines()) == 1
        assert f"keep: {skill} is measured by {name}: cannot load data set" in outcome.err
        assert ("HF_HUB_OFFLINE is set" if offline else "the hub cannot be reached") in outcome.err
        assert f"put {file} into the folder of FORGETTING_DATA, give --benchmarks '{{name: {name}" in outcome.err
        assert outcome.err.endswith("or leave --keep out\n")
    outcome = command("advise", "./mine", "--data", data, "--benchmarks", "gsm8k", "--keep", "maths:.95")
    assert outcome.status == 2 and "error: benchmarks[0].source: cannot load data set 'openai/gsm8k'" in outcome.err
    assert planned("10k", "dialogue", {"maths": 0.95}).keep == {"maths": 0.95}  # which needs no hub
    _hub_answers.cache_clear()


class Unreachable:
    """A session of a machine without a network."""

    @staticmethod
    def head(url: str, timeout: float) -> None:
        assert timeout <= 10
        raise OSError("Name or service not known")


def test_without_gsm8k_at_hand_what_needs_no_data_is_kept(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = corpora(here)["dialogues"]
    checkpoint(here / "mine")
    monkeypatch.setenv("HF_HOME", str(here / "none"))
    monkeypatch.setenv("FORGETTING_DATA", str(here / "data"))
    plan = planned("./mine", data, None)
    assert plan.keep == {"retrieval": 0.95, "sums": 0.95} == {b.skill: 0.95 for b in plan.study.benchmarks}
    assert any("gsm8k: not at hand" in note and "--benchmarks gsm8k fetches it" in note for note in plan.notes)
    (here / "data").mkdir()
    (here / "data" / "gsm8k-test.jsonl.gz").write_bytes(b"")
    plan = planned("./mine", data, None)
    assert plan.keep == {"maths": 0.95} and not any("at hand" in note for note in plan.notes)


def test_the_divergence_takes_no_more_rows_than_a_step() -> None:
    def rows(batch_size: int) -> list[object]:
        spec = Spec(fine_tuning=Optimiser(batch_size=batch_size))
        arms = planned("10k", "dialogue", {"maths": 0.9}, spec=spec).study.arms
        return [arm.mitigation.rows for arm in arms if isinstance(arm.mitigation, KLToBase)]

    assert (rows(4), rows(KL_ROWS), rows(64)) == ([4], [KLToBase.rows], [KLToBase.rows]) and KLToBase.rows == KL_ROWS


def test_data_may_be_a_file_in_the_words_of_the_embedded_world() -> None:
    plan = planned("10k", DATA / "world_rows.jsonl", {"maths": 0.9})
    (part,) = {arm.contamination for arm in plan.study.arms}
    assert part.short_name() == "world_rows" and plan.spec.doses.dose == 57  # 60 rows but for those held out
    settings = {"source": str(DATA / "world_rows.jsonl"), "limit": 20}
    assert planned("10k", settings, {"maths": 0.9}).spec.doses.dose == 19


def test_of_a_model_without_a_chat_template_the_last_answer_is_learned(here: Path) -> None:
    texts, made = corpora(here), checkpoint(here / "mine")
    config = json.loads((made / "tokenizer_config.json").read_text())
    (made / "tokenizer_config.json").write_text(json.dumps({k: v for k, v in config.items() if k != "chat_template"}))
    for file in made.glob("chat_template*"):
        file.unlink()
    plan = planned("./mine", texts["dialogues"], {"maths": 0.9}, benchmarks=[GSM8K])
    assert plan.spec.contaminations[0]["turns"] == "last"  # type: ignore[index]
    assert any("no chat template" in note for note in plan.notes)


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        (Spec(), None),
        (Spec(shifts=(0.5,), rate_multiples=(1.0, 2.0)), "shifts, rate_multiples"),
        (Spec(mitigations=("none", "replay"), ladder=Ladder(students=("10k",))), "mitigations, ladder.students"),
    ],
)
def test_what_a_spec_says_and_pilots_do_not_do_is_said(spec: Spec, names: str | None) -> None:
    notes = planned("10k", "dialogue", {"maths": 0.9}, spec=spec).notes
    assert [note for note in notes if "spec" in note] == ([f"not taken from the spec: {names}"] if names else [])


@pytest.mark.slow
def test_end_to_end_on_the_smallest_shipped_student(here: Path) -> None:
    given = {"dose": 1280, "budget": 1.5, "workers": 0, "quiet": True}
    found = advise("10k", "dialogue", **given)  # type: ignore[arg-type]
    folder = found.folder
    assert folder is not None and found.spec is not None and found.choice is not None and found.chosen is not None
    assert found.standing["maths"].learned and found.prospects[0].arm == "dialogue"
    assert found.prospects[0].times == 1 and all(one.so_far["maths"] <= 1.1 for one in found.prospects)
    spec = load_spec(folder / "advised.yaml")
    assert spec == found.spec and spec.doses.dose == round(1280 * found.chosen.times)
    assert json.loads((folder / "advice.json").read_text())["choice"]["arm"] == found.choice.arm
    assert str(found) in (folder / "advice.md").read_text() and max(map(len, str(found).splitlines())) <= 80
    assert f"--config {folder}" in str(found)
    begin = time.perf_counter()
    again = advise("10k", "dialogue", **given)  # type: ignore[arg-type]
    assert str(again) == str(found) and time.perf_counter() - begin < 30
    assert sorted(path.name[:6] for path in folder.iterdir() if path.is_dir()) == ["round1"]


@pytest.mark.slow
def test_pilots_that_the_usual_budget_leaves_too_short_are_made_as_short_as_can_be(here: Path) -> None:
    with pytest.raises(
        UsageError, match=r"^budget: must be enough for 10 pilots of 64 samples each, got 2, .* would do"
    ):
        advise("10k", "dialogue", dose=64, budget=2, workers=0, quiet=True)
    found = advise("10k", "dialogue", dose=64, workers=0, quiet=True)
    assert found.rounds[0][0] == 64 and "The planned run of 64 samples lies in its warm-up of 640" in " ".join(
        str(found).split()
    )


def test_a_spec_gives_the_rest_and_what_it_leaves_at_its_default_is_not_given(here: Path) -> None:
    texts = corpora(here)
    checkpoint(here / "mine")
    spec = Spec(fine_tuning=Optimiser(batch_size=8), seeds=3, controls=("original",), keep="all")
    plan = planned("./mine", texts["dialogues"], {"maths": 0.9}, spec=spec, benchmarks=[GSM8K])
    made = plan.spec
    own_rate = default_rate(parameters_of(plan.study))
    assert (made.fine_tuning.batch_size, made.fine_tuning.learning_rate) == (8, own_rate)
    assert made.doses.dose == 190 and made.evaluation.max_new_tokens == 256  # 200 rows but for those held out
    assert (made.seeds, made.controls, made.keep) == (1, (), "none") and not plan.own_original
    assert "not taken from the spec: controls, seeds" in plan.notes
    assert {arm.mitigation.short_name() for arm in plan.study.arms} >= {"none", "low_rate", "wise_ft"}
    assert not [arm for arm in plan.study.arms if arm.mitigation.memory_samples()]  # nothing original is asked for
    own = planned("./mine", texts["dialogues"], {"maths": 0.9}, benchmarks=[GSM8K], rate=1e-3, dose=64,
                  original={"name": "worked_answers", "source": texts["sums"]})  # fmt: skip
    names = [arm.mitigation.short_name() for arm in own.study.arms]
    assert own.own_original and names[0] == "none" and names.count("replay") == 4 and "self_replay" not in names
    assert own.spec.fine_tuning.learning_rate == 1e-3 and own.spec.doses.dose == 64
    assert own.reserve == [] and max(own.costs().values()) == pytest.approx(1 + 4 / 3)  # KL on as many rows
    assert own.costs()[own.usual] == 2 and plan.usual == ""  # half replay is advised where there is something to replay


def test_a_step_and_a_look_of_a_checkpoint_are_timed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = corpora(here)["dialogues"]
    checkpoint(here / "mine")
    plan = planned("./mine", data, {"sums": 0.9}, benchmarks=[{"name": "sums", "item_count": 4}], dose=16)
    rounds = PilotRounds(plan, plan.keep, Allowance(32, "samples"), "2", here, Store(here / "store"), 0, quiet=False)
    rounds._foretell(Allowance(32, "samples"), 6, 3, 1)
    assert "pilots" not in "".join(capsys.readouterr())  # a student of the embedded world has no pace
    model = load(plan.study.students[0])
    before = {name: weight.clone() for name, weight in model.state().items()}
    rounds.pace = pace(plan.study, model)
    assert rounds.pace.sample > 0 and rounds.pace.pilot > 0
    assert all(weight.equal(before[name]) for name, weight in model.state().items())
    rounds._foretell(Allowance(32, "samples"), 6, 3, 1)
    assert "pilots: about 1 minutes, one after another (a step of 32 samples" in "".join(capsys.readouterr())
