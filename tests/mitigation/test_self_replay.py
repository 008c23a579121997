"""Self-replay: what the student writes is its own, the same each time, and ends where it has nothing more to say."""

from __future__ import annotations

import dataclasses
from itertools import islice
from typing import Any, cast

import pytest
import torch

from forgetting import registry
from forgetting.batching import prompts, texts, tokens, without_end
from forgetting.contracts import Contamination, Sample, Sampling
from forgetting.errors import UsageError
from forgetting.judges import judge_named
from forgetting.mitigation.self_replay import CHUNK, SelfReplay
from forgetting.models.checkpoint import load
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.record.store import REFERENCE, manifest
from forgetting.seeds import generator
from forgetting.spec import Spec
from forgetting.study.study import construct
from forgetting.testing.small import model, samples
from forgetting.training.plan import mixed
from forgetting.world.correctness import is_right

PARITY = "tests.distillation.parity.Parity"
ORIGINAL = cast(Contamination, registry.build("contamination", "original"))
TEMPLATE = (
    "{% for m in messages %}def {{ m.content }} <eos> {% endfor %}{% if add_generation_prompt %}return {% endif %}"
)


def written(part: SelfReplay, count: int, student: HuggingFaceModel | None = None, seed: int = 0) -> list[Sample]:
    student = student or model(0)
    memory = part.prepare(student, samples(part.memory_samples(), seed=1))
    return list(islice(part.samples(student, memory, ORIGINAL, generator(seed, "test")), count))


def ending(word: int) -> HuggingFaceModel:
    """A student that always writes the same word."""
    student = model(0)
    with torch.no_grad():
        embedding = student.network.get_input_embeddings().weight
        embedding.zero_()
        embedding[:, 0] = 1.0
        embedding[word, 0] = 100.0
        student.network.model.norm.weight.fill_(1.0)
        for block in student.network.model.layers:
            block.self_attn.o_proj.weight.zero_()
            block.mlp.down_proj.weight.zero_()
    return student


def test_answers_to_given_prompts_are_those_that_the_student_draws() -> None:
    student, part = model(0), SelfReplay(prompts="given", deduplicate=False, pool=7, max_new_tokens=9)
    memory, rng = samples(7, seed=1), generator(0, "test")
    found = list(islice(part.samples(student, memory, ORIGINAL, rng), CHUNK))
    rng = generator(0, "test")
    seed = int(rng.integers(2**31))
    drawn = [memory[i] for i in rng.integers(7, size=CHUNK)]
    asked = tokens(prompts(drawn, student.tokenizer), student.tokenizer)
    answers = student.generate([asked], max_new_tokens=9, sampling=Sampling(seed=seed, step=2))[0]
    assert [s.prompt for s in found] == [s.prompt for s in drawn]
    assert [s.answer for s in found] == texts(without_end(answers, student.ends), student.tokenizer)
    assert [s.ended for s in found] == [row[-1] in student.ends for row in answers]


def test_begun_prompts_begin_as_original_ones_and_are_no_longer_than_they() -> None:
    originals = samples(256, seed=1)
    firsts = {s.prompt.split()[0] for s in originals}
    longest = {first: max(len(s.prompt.split()) for s in originals if s.prompt.split()[0] == first) for first in firsts}
    found = written(SelfReplay(), 150)
    assert {s.prompt.split()[0] for s in found} <= firsts
    assert all(len(s.prompt.split()) <= longest[s.prompt.split()[0]] for s in found)
    assert len({s.prompt.split()[0] for s in found}) > 5
    assert not {s.prompt for s in found} & {s.prompt for s in originals}  # the rest is the student's


def test_the_same_each_time_and_others_by_another_seed() -> None:
    assert written(SelfReplay(), 100) == written(SelfReplay(), 100)
    assert written(SelfReplay(), 100) != written(SelfReplay(), 100, seed=1)


def test_no_written_prompt_comes_twice_unless_it_may() -> None:
    found = written(SelfReplay(pool=3, max_new_tokens=2), 200)
    assert len(found) == 200 == len({s.prompt for s in found})
    again = written(SelfReplay(pool=3, max_new_tokens=2, deduplicate=False), 200)
    assert len({s.prompt for s in again}) < 200


def test_a_student_that_says_one_thing_ends_and_the_stream_says_so() -> None:
    student = ending(model(0).tokenizer.eos_token_id)
    part = SelfReplay(0.5, pool=2)
    firsts = {s.prompt.split()[0] for s in samples(2, seed=1)}
    found = written(part, 100, student)
    assert {s.prompt for s in found} == firsts and len(found) == len(firsts)
    assert {s.answer for s in found} == {""} and all(s.ended for s in found)
    with pytest.raises(UsageError, match=f"ended after {len(firsts)} of the 50 that the stream takes"):
        mixed(
            cast(Contamination, registry.build("contamination", "noise")), ORIGINAL, share=part.mix(1.0), doses=[0, 50],
            batch_size=10, seed=0, samples=lambda rng: part.samples(student, samples(2, seed=1), ORIGINAL, rng),
        )  # fmt: skip


def test_the_filter_leaves_out_answers_that_were_cut() -> None:
    student = ending(tokens(["answer"], model(0).tokenizer)[0][0])
    assert len(written(SelfReplay(prompts="given", pool=3, max_new_tokens=2), 9, student)) == 9
    assert written(SelfReplay(prompts="given", filter="ended", pool=3, max_new_tokens=2), 9, student) == []


@pytest.fixture(scope="module")
def taught() -> HuggingFaceModel:
    """The shipped student of ten thousand parameters, which is right in some answers and wrong in others."""
    home = next(f for f in REFERENCE.iterdir() if f.is_dir() and manifest(f)["capacity"] == 9952)
    return load(home)


@pytest.mark.parametrize("judge", ["world", PARITY])
def test_of_answers_to_given_prompts_those_that_are_right_are_replayed(judge: str, taught: HuggingFaceModel) -> None:
    gold = {sample.prompt: sample for sample in samples(40, seed=1)}
    of_all = SelfReplay(prompts="given", pool=40)
    drawn = written(of_all, 4 * CHUNK, taught)
    asked = [gold[sample.prompt] for sample in drawn]
    right = judge_named(judge, [*gold.values()], "judge")(asked, [sample.answer for sample in drawn])
    expected = [sample for sample, passes in zip(drawn, right, strict=True) if passes and sample.ended]
    part = dataclasses.replace(of_all, filter="right", judge=judge)
    assert written(part, len(expected), taught) == expected
    assert 0.1 * len(drawn) < len(expected) < len([s for s in drawn if s.ended])
    assert len(written(part, 4 * CHUNK, taught)) == 4 * CHUNK  # it draws on for as many as are asked for


def test_the_world_judges_each_skill_by_its_own_grader(taught: HuggingFaceModel) -> None:
    gold = {sample.prompt: sample for sample in samples(60, seed=1)}
    found = written(SelfReplay(prompts="given", filter="right", pool=60), 300, taught)
    assert all(is_right(gold[sample.prompt], sample.answer) and sample.ended for sample in found)
    assert {gold[s.prompt].skill for s in found} >= {"maths", "code"}
    assert any(gold[s.prompt].answer != s.answer for s in found)  # another way to the same number is right as well


def test_a_student_that_is_never_right_is_an_error() -> None:
    student, part = model(0), SelfReplay(0.5, prompts="given", filter="right", pool=9, max_new_tokens=2)
    with pytest.raises(UsageError, match=r"^mitigations: `samples` ended after 0 of the 50 that the stream takes$"):
        mixed(
            cast(Contamination, registry.build("contamination", "noise")), ORIGINAL, share=part.mix(1.0), doses=[0, 50],
            batch_size=10, seed=0, samples=lambda rng: part.samples(student, samples(9, seed=1), ORIGINAL, rng),
        )  # fmt: skip


def test_a_judge_is_looked_at_while_a_study_is_put_together() -> None:
    def planned(**settings: Any) -> None:
        construct(Spec(mitigations=({"name": "self_replay", "prompts": "given", **settings},)))

    with pytest.raises(UsageError, match=r"^mitigations\[0\]\.judge: unknown name 'mathz'; did you mean 'maths'"):
        planned(filter="right", judge="mathz")
    planned(filter="right")
    own = SelfReplay(prompts="given", filter="right")
    with pytest.raises(UsageError, match=r"^self_replay\.judge: must be a benchmark on natural text, .*'world'$"):
        own.check("natural")
    SelfReplay(prompts="given").check("natural")  # which judges nothing


def test_a_chat_template_is_start_enough() -> None:
    student = model(0)
    with pytest.raises(
        UsageError, match=r"^self_replay\.prompts: must be begun or given where the tokenizer has neither"
    ):
        written(SelfReplay(prompts="written"), 1, student)
    student.tokenizer.chat_template = TEMPLATE
    part = SelfReplay(prompts="written", max_new_tokens=6)
    assert part.memory_samples() == 0
    found = written(part, 80, student)
    assert len(found) == 80 and len({s.prompt for s in found}) > 40
    head = tokens(["def"], student.tokenizer)[0]
    seed = int(generator(0, "test").integers(2**31))
    first = student.generate([[head] * CHUNK], max_new_tokens=6, sampling=Sampling(seed=seed, step=1))[0]
    expected = [t for t in texts(without_end(first, student.ends), student.tokenizer) if t.strip()]
    assert [s.prompt for s in found[:20]] == expected[:20]


def test_share_0_leaves_the_original_distribution() -> None:
    part = SelfReplay(0.0)
    found = islice(part.samples(model(0), [], ORIGINAL, generator(2, "test")), 20)
    assert list(found) == list(islice(ORIGINAL.samples(generator(2, "test")), 20))
    assert part.mix(0.4) == 0.4 and SelfReplay(0.25).mix(0.4) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"share": 1.0}, "self_replay.share: must be from 0 to below 1, got 1.0"),
        ({"prompts": "own"}, "self_replay.prompts: must be begun, written or given, got 'own'"),
        ({"filter": "grader"}, "self_replay.filter: must be none, ended or right, got 'grader'"),
        (
            {"filter": "right"},
            "self_replay.filter: must be none or ended where prompts are not given ones, .* 'right'$",
        ),
        (
            {"prompts": "written", "filter": "right"},
            "self_replay.filter: must be none or ended where prompts .* 'right'$",
        ),
        ({"pool": 0}, "self_replay.pool: must be 1 or more, got 0"),
        ({"temperature": 0.0}, "sampling.temperature: must be above 0"),
    ],
)
def test_errors(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}"):
        SelfReplay(**given)
