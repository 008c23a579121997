"""The laws of the contamination family: what its docstring promises, for any source of samples."""

from __future__ import annotations

import dataclasses
import json
import random
from itertools import islice
from typing import Any, cast

import numpy as np
import pytest

from forgetting import registry
from forgetting.contracts import Contamination, Sample
from forgetting.errors import UsageError
from forgetting.seeds import generator
from forgetting.testing.small import needs_data, words

WRONG: dict[type, tuple[Any, ...]] = {
    int: ("3", 2.5, True, None, -1_000_000),
    float: ("0.5", None, float("nan"), float("inf"), -1.0, 1_000_000.0),
    str: (3, None, "", "no such choice"),
    tuple: (3, None, (), (-1.0,), ("a",)),
    dict: (3, None, (), {"a": 3}, {"no such task": "no such source"}),
}


def first(part: Contamination, number: int, seed: int = 0) -> list[Sample]:
    """The first samples of a source."""
    return list(islice(part.samples(generator(seed, "contract")), number))


class ContaminationLaws:
    """The laws of the family. Parametrise a subclass over ``part``."""

    def test_equal_generators_give_equal_samples_without_end(self, part: Contamination) -> None:
        samples = first(part, 500)
        assert len(samples) == 500
        assert samples == first(part, 500)

    def test_samples_are_a_pure_function_of_the_generators_state(self, part: Contamination) -> None:
        used = generator(1, "contract")
        next(part.samples(used))
        copy = np.random.Generator(np.random.PCG64())
        copy.bit_generator.state = used.bit_generator.state
        random.seed(5)
        np.random.seed(5)
        python, legacy = random.getstate(), cast(tuple[Any, ...], np.random.get_state(legacy=True))
        one = list(islice(part.samples(used), 50))
        assert random.getstate() == python
        assert all(
            np.array_equal(a, b)
            for a, b in zip(cast(tuple[Any, ...], np.random.get_state(legacy=True)), legacy, strict=True)
        )
        random.seed(6)
        assert one == list(islice(part.samples(copy), 50))

    def test_two_iterators_do_not_disturb_each_other(self, part: Contamination) -> None:
        one, other = (part.samples(generator(seed, "contract")) for seed in (1, 2))
        together = [(next(one), next(other)) for _ in range(20)]
        assert [a for a, _ in together] == first(part, 20, seed=1)
        assert [b for _, b in together] == first(part, 20, seed=2)

    def test_samples_are_made_of_the_tokenizers_words(self, part: Contamination) -> None:
        unknown = words().unk_token_id
        for sample in first(part, 1_000):
            for text in (sample.prompt, sample.answer):
                assert text.strip()
                if needs_data(part):
                    continue
                assert text == " ".join(text.split())
                assert unknown not in words()(text)["input_ids"], text
            assert sample.skill and sample.template and sample.depth >= 0

    def test_settings_make_the_part_again(self, part: Contamination) -> None:
        settings = part.settings()
        assert registry.build("contamination", settings) == part
        assert registry.build("contamination", json.loads(json.dumps(settings))) == part
        assert first(registry.build("contamination", settings), 20) == first(part, 20)  # type: ignore[arg-type]

    def test_a_part_is_frozen(self, part: Contamination) -> None:
        for field in dataclasses.fields(part):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(part, field.name, getattr(part, field.name))
        assert hash(part) == hash(dataclasses.replace(part))

    def test_a_setting_that_does_not_exist(self, part: Contamination) -> None:
        with pytest.raises(UsageError, match="unknown name 'no_such_setting'"):
            registry.build("contamination", {**part.settings(), "no_such_setting": 1})

    def test_bad_settings_are_told_in_one_line(self, part: Contamination) -> None:
        for field in dataclasses.fields(part):
            for value in WRONG[type(getattr(part, field.name))]:
                if needs_data(part) and isinstance(value, str) and type(field.default) is str:
                    continue  # names of data sets
                with pytest.raises(UsageError) as caught:
                    registry.build("contamination", {"name": part.short_name(), field.name: value})
                assert field.name in str(caught.value) or part.short_name() in str(caught.value)
                assert "\n" not in str(caught.value)
