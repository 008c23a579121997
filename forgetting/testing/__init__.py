"""The laws of every family as classes of tests, for parts of this package and of any other.

In a test file of your own, with pytest and hypothesis installed::

    import pytest
    from forgetting.testing import MitigationLaws
    from my_package import Shrink

    @pytest.mark.parametrize("part", [Shrink(), Shrink(strength=3.0)], ids=str)
    class TestShrink(MitigationLaws): ...

A model is given as ``make``, a function from a seed to a small ``Model`` with its own tokenizer.
"""

from forgetting.testing.answering_laws import AnsweringLaws
from forgetting.testing.benchmark_laws import BenchmarkLaws
from forgetting.testing.contamination_laws import ContaminationLaws
from forgetting.testing.distillation_laws import DistillationLaws
from forgetting.testing.intervention_laws import InterventionLaws
from forgetting.testing.mitigation_laws import MitigationLaws
from forgetting.testing.model_laws import ModelLaws

__all__ = [
    "AnsweringLaws",
    "BenchmarkLaws",
    "ContaminationLaws",
    "DistillationLaws",
    "InterventionLaws",
    "MitigationLaws",
    "ModelLaws",
]
