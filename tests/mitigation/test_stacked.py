"""Mitigations that stack: in a stack each replica is trained and looked at as it would be alone."""

from __future__ import annotations

import numpy as np
import torch

from forgetting import losses
from forgetting.contracts import Mitigation
from forgetting.mitigation.ema import EMA
from forgetting.mitigation.ewc import EWC
from forgetting.mitigation.fisher_mask import FisherMask
from forgetting.mitigation.l2_sp import L2SP
from forgetting.mitigation.lines import LiNeS
from forgetting.mitigation.trim import Trim
from forgetting.mitigation.wise_ft import WiSEFT
from forgetting.models.ladder import Architecture
from forgetting.models.stacked import StackedModel
from forgetting.spec import Optimiser
from forgetting.testing.small import model, pool, samples, words
from forgetting.training.fit import fit
from forgetting.training.module import FitModule
from forgetting.training.stack import EachItsOwn, stacked_batch

TWO = Architecture("tiny-two", 16, 2, 2, 4, 24, 2)
PARTS: list[Mitigation] = [
    EMA(0.9),
    EWC(100.0, prompts=4, draws=1, max_new_tokens=8),
    FisherMask(0.3, prompts=4, draws=1, max_new_tokens=8),
    L2SP(100.0),
    Trim(0.4),
    WiSEFT(0.3),
    LiNeS(0.3),
]
STEPS, SIZE = 8, 4


def test_every_replica_is_trained_and_looked_at_as_alone() -> None:
    assert all(part.stacks for part in PARTS)
    optimiser = Optimiser(batch_size=SIZE, learning_rate=4e-3, warmup_steps=0)
    pools = [pool(STEPS * SIZE, seed=number) for number in range(len(PARTS))]
    data = [[p.batch(np.arange(i, i + SIZE), SIZE) for i in range(0, STEPS * SIZE, SIZE)] for p in pools]
    alone, each = ([model(number, architecture=TWO) for number in range(len(PARTS))] for _ in "ab")
    memories = [part.prepare(m, samples(part.memory_samples(), seed=1)) for part, m in zip(PARTS, each, strict=True)]
    stack = StackedModel(each)
    replicas = tuple(map(stack.replica, range(len(PARTS))))
    module = FitModule(
        stack, lambda b: losses.cross_entropy(stack, b), optimiser, total_steps=STEPS,
        mitigation=EachItsOwn(tuple(PARTS), replicas), memory=memories,
    )  # fmt: skip
    fit(module, lambda: (stacked_batch(b, words().pad_token_id) for b in zip(*data, strict=True)))
    for number, (part, student) in enumerate(zip(PARTS, alone, strict=True)):
        memory = part.prepare(student, samples(part.memory_samples(), seed=1))
        single = FitModule(
            student, lambda b, s=student: losses.cross_entropy(s, b), optimiser, total_steps=STEPS, mitigation=part,
            memory=memory,
        )  # fmt: skip
        fit(single, lambda n=number: iter(data[n]))
        trained = {name: value.clone() for name, value in replicas[number].state().items()}
        with part.at_look(student, memory), part.at_look(replicas[number], memories[number]):
            for name, value in replicas[number].state().items():
                expected = student.state()[name]
                assert float((value - expected).norm() / expected.norm()) < 1e-3, (part, name)
            changed = any(not torch.equal(v, trained[n]) for n, v in replicas[number].state().items())
            assert changed == isinstance(part, EMA | Trim | WiSEFT | LiNeS)
        assert all(torch.equal(v, trained[n]) for n, v in replicas[number].state().items())
