"""What a process keeps from one run to the next: what it knows of the base measured last, and processes that write.

Both are slow to make: every base is read and answers once, and another process starts for minutes.
"""

from __future__ import annotations

from pathlib import Path

from forgetting.contracts import Contamination, Model
from forgetting.evaluation.backend_evaluator import WrittenElsewhere
from forgetting.evaluation.evaluator import Evaluator
from forgetting.evaluation.probe import probe, task_probes
from forgetting.models.backend import BackedModel, vllm_command
from forgetting.models.checkpoint import Home, load
from forgetting.record.files import RunFolder
from forgetting.spec import Backend
from forgetting.study.study import Study

EXCHANGE = "exchange"  # the folder of a run in which another process finds the weights to answer with


class Bench:
    """Where runs are measured. Whoever carries several runs out hands one to all of them, and stops it in the end."""

    def __init__(self) -> None:
        self._known: tuple[str, Evaluator] | None = None  # of the base that was measured last
        self._writers: dict[tuple[str, ...], BackedModel] = {}  # one process for all runs with its settings

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def evaluator(self, study: Study, home: Home, contamination: Contamination, run: RunFolder) -> Evaluator:
        """That of the run before, if it was of the same base, benchmarks and settings; with this run's probe."""
        base = str(home.resolve()) if isinstance(home, Path) else home.form()
        backend = study.spec.machine.backend
        of = repr([base, [[b.form(), b.version] for b in study.benchmarks], study.spec.evaluation, backend])
        if self._known is None or self._known[0] != of:
            self._known = None  # the base before leaves the memory before the next one comes
            self._known = of, self._made(study, load(home), run)
        found = self._known[1]
        if isinstance(found, WrittenElsewhere):
            found.writer.follow(found.base, run.folder / EXCHANGE)
        tasks = task_probes(study, contamination)
        return found.with_probe(probe(study, contamination), contamination.short_name(), tasks)

    def stop(self) -> None:
        """End the processes that write answers, and forget the base."""
        for one in self._writers.values():
            one.stop()
        self._writers.clear()
        self._known = None

    def _made(self, study: Study, base: Model, run: RunFolder) -> Evaluator:
        backend = study.spec.machine.backend
        if not backend.command:
            return Evaluator(base, study.benchmarks, [], "", study.spec.evaluation)
        writer = self._writer(backend, base, run.folder / EXCHANGE)
        return WrittenElsewhere(base, study.benchmarks, [], "", study.spec.evaluation, writer)

    def _writer(self, backend: Backend, model: Model, folder: Path) -> BackedModel:
        """The backend's process, started if need be, for a student of its own; its noise is to be measured anew."""
        command = vllm_command(
            *backend.command,
            dtype=backend.dtype,
            max_length=backend.max_length,
            memory_share=backend.memory_share,
            gpus=backend.gpus,
        )
        if tuple(command) not in self._writers:
            made = BackedModel(model, command, folder, noise_prompts=backend.noise_prompts, quiet=True)
            self._writers[tuple(command)] = made
        found = self._writers[tuple(command)].follow(model, folder)
        found.noise = None
        return found
