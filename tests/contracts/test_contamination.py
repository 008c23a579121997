"""The laws of the contamination family, for every part of ``members.parts``."""

from __future__ import annotations

import dataclasses
import json
import random
from itertools import islice
from typing import Any

import numpy as np
import pytest

from forgetting import registry
from forgetting.contracts import Contamination, Sample
from forgetting.errors import UsageError
from forgetting.seeds import generator
from tests.contracts.members import every, needs_data, outsiders, parts
from tests.contracts.small import words

# By the type of a setting's default: values of another type, and values that no source of samples can have.
WRONG: dict[type, tuple[Any, ...]] = {
    int: ("3", 2.5, True, None, -1_000_000),
    float: ("0.5", None, float("nan"), float("inf"), -1.0, 1_000_000.0),
    str: (3, None, "", "no such choice"),
    tuple: (3, None, (), (-1.0,), ("a",)),
}
OWN = [part for part in parts("contamination") if part.short_name() not in outsiders("contamination")]


def first(part: Contamination, number: int, seed: int = 0) -> list[Sample]:
    return list(islice(part.samples(generator(seed, "contract")), number))


@every("contamination")
def test_equal_generators_give_equal_samples_without_end(part: Contamination) -> None:
    samples = first(part, 2_000)
    assert len(samples) == 2_000
    assert samples == first(part, 2_000)


@every("contamination")
def test_samples_are_a_pure_function_of_the_generators_state(part: Contamination) -> None:
    used = generator(1, "contract")
    next(part.samples(used))
    copy = np.random.Generator(np.random.PCG64())
    copy.bit_generator.state = used.bit_generator.state
    random.seed(5)
    np.random.seed(5)
    python, legacy = random.getstate(), np.random.get_state(legacy=True)
    one = list(islice(part.samples(used), 50))
    assert random.getstate() == python
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(legacy=True), legacy, strict=True))
    random.seed(6)
    assert one == list(islice(part.samples(copy), 50))


@every("contamination")
def test_two_iterators_do_not_disturb_each_other(part: Contamination) -> None:
    one, other = (part.samples(generator(seed, "contract")) for seed in (1, 2))
    together = [(next(one), next(other)) for _ in range(20)]
    assert [a for a, _ in together] == first(part, 20, seed=1)
    assert [b for _, b in together] == first(part, 20, seed=2)


@every("contamination")
def test_samples_are_made_of_the_tokenizers_words(part: Contamination) -> None:
    unknown = words().unk_token_id
    for sample in first(part, 1_000):
        for text in (sample.prompt, sample.answer):
            assert text.strip()
            if needs_data(part):
                continue
            assert text == " ".join(text.split())
            assert unknown not in words()(text)["input_ids"], text
        assert sample.skill and sample.template and sample.depth >= 0


@every("contamination")
def test_settings_make_the_part_again(part: Contamination) -> None:
    settings = part.settings()
    assert registry.build("contamination", settings) == part
    assert registry.build("contamination", json.loads(json.dumps(settings))) == part
    assert first(registry.build("contamination", settings), 20) == first(part, 20)  # type: ignore[arg-type]


@every("contamination")
def test_a_part_is_frozen(part: Contamination) -> None:
    for field in dataclasses.fields(part):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(part, field.name, getattr(part, field.name))
    assert hash(part) == hash(dataclasses.replace(part))


@every("contamination")
def test_a_setting_that_does_not_exist(part: Contamination) -> None:
    with pytest.raises(UsageError, match="unknown name 'no_such_setting'"):
        registry.build("contamination", {**part.settings(), "no_such_setting": 1})


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        (part.short_name(), field.name, value)
        for part in {p.short_name(): p for p in OWN}.values()
        for field in dataclasses.fields(part)
        for value in WRONG[type(getattr(part, field.name))]
        if not (needs_data(part) and isinstance(value, str) and type(field.default) is str)  # names of data sets
    ],
)
def test_bad_settings(name: str, field: str, value: Any) -> None:
    with pytest.raises(UsageError) as caught:
        registry.build("contamination", {"name": name, field: value})
    assert field in str(caught.value) or name in str(caught.value)
    assert "\n" not in str(caught.value)
