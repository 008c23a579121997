"""Every member of the family benchmarks is held to its laws."""

from __future__ import annotations

from forgetting.testing import BenchmarkLaws
from tests.contracts.members import every


@every("benchmarks")
class TestBenchmark(BenchmarkLaws):
    pass
