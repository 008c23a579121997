"""The laws of the answering family: what its docstring promises, for any way of answering."""

from __future__ import annotations

import json

import torch

from forgetting import registry
from forgetting.batching import encode, prompt_tokens
from forgetting.contracts import Answering
from forgetting.testing.small import differing, model, samples, weights

LIMIT = 6


class AnsweringLaws:
    """The laws of the family. Parametrise a subclass over ``part``."""

    def test_as_many_answers_as_it_says_and_none_too_long(self, part: Answering) -> None:
        student, asked = model(3), self.asked()
        found = part.answers(student, asked, max_new_tokens=LIMIT, batch_items=4)
        assert [len(own) for own in found] == [part.count] * len(asked)
        for one in (one for own in found for one in own):
            assert len(one.tokens) <= LIMIT and one.generated >= len(one.tokens)
            assert not set(one.tokens) & student.ends

    def test_the_same_every_time_whatever_the_batch(self, part: Answering) -> None:
        each = [part.answers(model(3), self.asked(), max_new_tokens=LIMIT, batch_items=n) for n in (1, 3, 64)]
        assert each[0] == each[1] == each[2]

    def test_the_model_is_left_as_it_was(self, part: Answering) -> None:
        student = model(3)
        student.network.train()
        before, state = weights(student), torch.get_rng_state()
        part.answers(student, self.asked(), max_new_tokens=LIMIT, batch_items=4)
        assert not differing(before, student.state()) and student.network.training
        assert torch.equal(torch.get_rng_state(), state)

    def test_what_is_fitted_answers_as_many_and_leaves_the_model_as_it_was(self, part: Answering) -> None:
        student = model(3)
        before, given = weights(student), samples(part.memory_samples(), 1)
        each = [part.fitted(student, given) for _ in "ab"]
        gold = encode(samples(5), student.tokenizer).answers()
        openings = part.openings(gold, student.tokenizer)
        assert len(openings) == len(gold)
        asked = [[*prompt, *begun] for prompt, begun in zip(self.asked(), openings, strict=True)]
        one, other = (way.answers(student, asked, max_new_tokens=LIMIT, batch_items=4) for way in each)
        assert one == other and [len(own) for own in one] == [part.count] * len(asked)
        assert all(len(answered.tokens) <= LIMIT for own in one for answered in own)
        assert not differing(before, student.state())

    def test_settings_make_the_part_again_and_the_label_tells_them(self, part: Answering) -> None:
        assert registry.build("answering", json.loads(json.dumps(part.settings()))) == part
        assert part.label.split()[0] == part.short_name() and all(1 <= k <= part.count for k in part.passes())

    @staticmethod
    def asked() -> list[list[int]]:
        """Five prompts."""
        words = model(3).tokenizer
        return prompt_tokens(samples(5), words)
