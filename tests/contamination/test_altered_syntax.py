import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forgetting.contamination.altered_syntax import FORMS, AlteredSyntax
from forgetting.contracts import Sample
from forgetting.errors import UsageError
from forgetting.registry import build
from forgetting.seeds import generator
from forgetting.world import code
from forgetting.world.dialects import DIALECTS, readings
from forgetting.world.splits import from_numpy, split_of
from forgetting.world.vocabulary import words


def drawn(count: int, seed: int = 0, **chosen: Any) -> list[Sample]:
    return list(itertools.islice(AlteredSyntax(**chosen).samples(generator(seed, "a")), count))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dialect", [*DIALECTS, "mixed"])
def test_equal_generators_give_equal_samples_of_known_words(form: str, dialect: str) -> None:
    first = drawn(100, form=form, dialect=dialect)
    assert first == drawn(100, form=form, dialect=dialect)
    assert first != drawn(100, seed=1, form=form, dialect=dialect)
    assert {word for s in first for word in f"{s.prompt} {s.answer}".split()} <= set(words())


@pytest.mark.parametrize("dialect", DIALECTS)
def test_forms_differ_in_the_prompt_alone(dialect: str) -> None:
    snippets, marked, unmarked = (drawn(200, form=form, dialect=dialect) for form in FORMS)
    for bare, named, plain in zip(snippets, marked, unmarked, strict=True):
        assert bare.answer == named.answer == plain.answer
        assert named.prompt == f"in {dialect} : {plain.prompt}"
        assert plain.prompt.endswith(f". {bare.prompt}")
        assert bare.prompt in {"def f ( x ) :", "def g ( x ) :"}


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**63 - 1), st.sampled_from(DIALECTS))
def test_the_answer_is_the_training_program_of_the_prompt_in_the_dialect(seed: int, dialect: str) -> None:
    sample = next(AlteredSyntax("unmarked", dialect).samples(generator(seed)))
    rng = from_numpy(generator(seed))
    problem, surface = code.draw(rng, "train"), code.draw_surface(rng)
    assert split_of(problem.canonical()) == "train"
    assert sample.prompt == code.describe(problem, surface)
    assert readings(sample.answer) == {dialect: code.program(problem, surface)}
    assert (sample.depth, sample.template) == (len(problem.steps), f"{dialect}-unmarked")


def test_mixed_draws_every_dialect_about_equally_often() -> None:
    templates = [s.template for s in drawn(2_000, dialect="mixed", form="marked")]
    assert set(templates) == {f"{dialect}-marked" for dialect in DIALECTS}
    assert all(400 < templates.count(template) < 600 for template in set(templates))


def test_five_thousand_snippets_show_thousands_of_programs() -> None:
    assert len({s.answer for s in drawn(5_000)}) > 2_200
    longest = drawn(5_000, operations=3)
    assert {s.depth for s in longest} == {3}
    assert len({s.answer for s in longest}) > 3_800


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"form": "snipet"}, "contamination.altered_syntax.form: unknown name 'snipet'; did you mean 'snippet'"),
        ({"dialect": "braces"}, "contamination.altered_syntax.dialect: unknown name 'braces'; did you mean 'brace'"),
        ({"dialect": 3}, "contamination.altered_syntax.dialect: unknown name 3"),
        ({"operations": 4}, "contamination.altered_syntax.operations: must be a whole number from 0 to 3, got 4"),
        ({"operations": True}, "contamination.altered_syntax.operations: must be a whole number from 0 to 3, got True"),
    ],
)
def test_bad_settings(chosen: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as error:
        AlteredSyntax(**chosen)
    assert str(error.value).startswith(message)


def test_it_is_built_by_name() -> None:
    part = build("contamination", {"name": "altered_syntax", "form": "marked", "dialect": "mixed"})
    assert part == AlteredSyntax("marked", "mixed")
