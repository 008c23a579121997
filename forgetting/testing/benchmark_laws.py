"""The laws of the benchmarks family: what its docstring promises, for any benchmark."""

from __future__ import annotations

import json
import math
from functools import cache
from itertools import islice
from typing import cast, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forgetting import registry
from forgetting.contracts import Benchmark, Contamination, Failure, Grade, Item, Verdict
from forgetting.errors import UsageError
from forgetting.seeds import generator
from forgetting.testing.small import needs_data, words
from forgetting.world.failures import CLASSES
from forgetting.world.splits import SPLITS

TRAINING_SAMPLES = 4_000
SURFACE = (
    *("rephrased", "renamed", "nameless", "reordered", "distractor", "functional", "reformatted"),
    *("both", "twice", "own_aside", "other_aside", "conflict", "conflict_turned", "crossed"),
)


def everything(part: Benchmark) -> list[Item]:
    """All items of all splits and variants."""
    return [item for split in SPLITS for variant in part.variants for item in part.items(split, variant)]


@cache
def training_prompts() -> frozenset[str]:
    """What students train on."""
    source = cast(Contamination, registry.build("contamination", "original"))
    return frozenset(s.prompt for s in islice(source.samples(generator(0, "contract")), TRAINING_SAMPLES))


def keeps_the_problem(variant: str) -> bool:
    """Whether a variant is a new surface: a device, several of them (``renamed-distractor``), other words."""
    return variant.startswith("words_") or set(variant.split("-")) <= set(SURFACE)


class BenchmarkLaws:
    """The laws of the family. Parametrise a subclass over ``part``."""

    def test_the_oracle_is_right_about_everything(self, part: Benchmark) -> None:
        for split in SPLITS:
            for variant in part.variants:
                items = part.items(split, variant)
                for grade in part.grade(items, [item.answer for item in items]):
                    assert (grade.verdict, grade.kind) == ("right", "")
                    assert grade.steps_right == grade.steps_total

    def test_gold_answers_do_not_fail_and_others_do_in_a_class_of_the_tree(self, part: Benchmark) -> None:
        for item in part.items()[:20]:
            assert part.failure(item, item.answer, Grade("right"), ended=True) == Failure()
            for text in ("", "what ?", item.answer[: len(item.answer) // 2]):
                assert part.failure(item, text, Grade("wrong"), ended=True).name in CLASSES
            assert part.failure(item, item.prompt, Grade("unparsed"), ended=False).name in CLASSES

    def test_a_random_guesser_is_right_as_often_as_chance_says(self, part: Benchmark) -> None:
        """It knows the form of an answer: one of the item's choices where there are any, else another item's answer."""
        items, rng = part.items(), generator(0, "guesser")
        choices = {i.check: sorted({j.answer for j in items if j.check == i.check or not part.chance}) for i in items}
        tries, right = 0, 0
        for _ in range(-(-2_000 // len(items))):
            options = [[c for c in choices[i.check] if part.chance or c != i.answer] for i in items]
            grades = part.grade(items, [str(rng.choice(o)) for o in options])
            tries += len(items)
            right += sum(g.verdict == "right" for g in grades)
        error = math.sqrt(max(part.chance * (1 - part.chance), 0.01) / tries)
        by_luck = 0 if part.chance else 0.05  # two problems may have one answer
        assert part.chance - 4 * error <= right / tries <= part.chance + by_luck + 4 * error

    def test_items_are_always_the_same_ones(self, part: Benchmark) -> None:
        again = type(part)(**{k: v for k, v in part.settings().items() if k != "name"})
        for split in SPLITS:
            assert part.items(split) == part.items(split) == again.items(split)
        part.items().clear()
        assert part.items()

    def test_ids_are_unique_over_all_variants(self, part: Benchmark) -> None:
        for split in SPLITS:
            ids = [item.id for variant in part.variants for item in part.items(split, variant)]
            assert len(set(ids)) == len(ids)

    def test_items_say_what_they_are_in_the_tokenizers_words(self, part: Benchmark) -> None:
        unknown = words().unk_token_id
        for split in SPLITS:
            for variant in part.variants:
                for item in part.items(split, variant):
                    assert (item.variant, item.skill) == (variant, part.skill)
                    assert item.depth >= 1 and item.template and item.problem
                    for text in (item.prompt, item.answer):
                        assert text.strip()
                        if needs_data(part):
                            continue
                        assert text == " ".join(text.split())
                        assert unknown not in words().backend_tokenizer.encode(text).ids

    def test_variants_are_twins_of_the_original(self, part: Benchmark) -> None:
        """A variant's item has its original's place, depth and coverage; a new surface keeps the problem itself."""
        for split in SPLITS:
            originals = {item.id.replace("/original/", "/*/"): item for item in part.items(split)}
            for variant in part.variants[1:]:
                for item in part.items(split, variant):
                    twin = originals[item.id.replace(f"/{variant}/", "/*/")]
                    assert (item.depth, item.coverage) == (twin.depth, twin.coverage)
                    assert item.prompt != twin.prompt
                    assert (item.problem == twin.problem) == keeps_the_problem(variant)

    def test_splits_share_no_problem(self, part: Benchmark) -> None:
        problems = [{item.problem for v in part.variants for item in part.items(split, v)} for split in SPLITS]
        assert not problems[0] & problems[1] and not problems[0] & problems[2] and not problems[1] & problems[2]

    def test_no_test_item_is_in_training(self, part: Benchmark) -> None:
        held_out = {i.prompt for split in ("validation", "test") for v in part.variants for i in part.items(split, v)}
        assert not held_out & training_prompts()

    @settings(max_examples=25, deadline=None)
    @given(data=st.data())
    def test_no_answer_upsets_the_grader(self, part: Benchmark, data: st.DataObject) -> None:
        items = part.items("test", data.draw(st.sampled_from(part.variants)))
        if not items:
            return
        item = data.draw(st.sampled_from(items))
        gold = item.answer.split()
        scrambled = st.lists(
            st.sampled_from([*gold, *item.prompt.split(), "def", "return", "(", ")", ":", "<nl>", "answer", "="])
        )
        cut = data.draw(st.integers(0, len(gold)))
        answer = data.draw(st.one_of(st.text(), scrambled.map(" ".join), st.just(" ".join(gold[:cut]))))
        (grade,) = part.grade([item], [answer])
        assert grade.verdict in get_args(Verdict)
        assert 0 <= grade.steps_right <= grade.steps_total
        assert (grade.kind == "") == (grade.verdict == "right")
        assert part.grade([item, item], [item.answer, answer])[1] == grade

    def test_an_answer_for_every_item(self, part: Benchmark) -> None:
        with pytest.raises(ValueError, match=r"shorter|longer"):
            part.grade(part.items(), ["0"])

    def test_settings_make_the_part_again(self, part: Benchmark) -> None:
        assert registry.build("benchmarks", json.loads(json.dumps(part.settings()))) == part
        assert part.version >= 1 and 0 <= part.chance < 1 and part.variants[0] == "original"

    def test_unknown_splits_variants_and_settings(self, part: Benchmark) -> None:
        with pytest.raises(UsageError, match="did you mean 'original'"):
            part.items("test", "orginal")
        with pytest.raises(UsageError, match="did you mean 'test'"):
            part.items("tset")  # type: ignore[arg-type]
        for name, value in part.settings().items():
            if isinstance(value, int):
                with pytest.raises(UsageError, match=name):
                    registry.build("benchmarks", {**part.settings(), name: -1})
