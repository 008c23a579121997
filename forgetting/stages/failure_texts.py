"""What classing a study's answers needs: the benchmarks that decide it, and how a run's answers are read as text."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from forgetting.analysis.failures import Texts, decides, world_texts
from forgetting.batching import texts
from forgetting.contracts import Benchmark
from forgetting.models.checkpoint import Checkpoint
from forgetting.models.loading import reader
from forgetting.study.run import Run
from forgetting.study.study import Study

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def classed(study: Study) -> list[Benchmark]:
    """The benchmarks of a study that decide how answers failed."""
    return [benchmark for benchmark in study.benchmarks if decides(benchmark)]


def reader_of(study: Study, run: Run) -> Texts:
    """How the answers of a run's student are read: by the world's words, or by the tokenizer of its checkpoint.

    A student that is no checkpoint, of a teacher that is one, has the teacher's tokenizer.
    """
    source = run.student if isinstance(run.student, Checkpoint) else study.teacher
    if not isinstance(source, Checkpoint):
        return world_texts
    tokenizer = _tokenizer(source)
    return lambda answers: texts([answer.tolist() for answer in answers], tokenizer)


@lru_cache(maxsize=8)
def _tokenizer(source: Checkpoint) -> PreTrainedTokenizerFast:
    return reader(source)[0]
