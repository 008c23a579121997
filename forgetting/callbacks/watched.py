"""A fine-tuning that somebody else carries out, measured: its model at chosen steps in, the folder of a study out.

The dose axis is samples seen. Random generators are left as they were at every look, and so is the model, so that the
training goes on as if nobody had looked.
"""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from forgetting.callbacks.watching import Watching
from forgetting.errors import UsageError
from forgetting.evaluation.evaluator import Evaluator
from forgetting.evaluation.recorder import Recorder
from forgetting.models.checkpoint import Checkpoint
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.models.loading import prepared
from forgetting.record.files import RunFolder, write_atomically
from forgetting.record.provenance import commit, hardware, versions
from forgetting.record.run_files import read_marker, read_part
from forgetting.record.seals import file_hash, write_sealed
from forgetting.record.signing import SIGNATURE, signature
from forgetting.stages.study_record import left_out
from forgetting.study.fingerprints import fingerprint
from forgetting.training.stopwatch import Stopwatch


class WatchedTraining:
    """One fine-tuning under way."""

    def __init__(self, watching: Watching, network: Any, tokenizer: Any, seed: int) -> None:
        self.watching, self.begin, self.watch = watching, time.perf_counter(), Stopwatch()
        own = getattr(tokenizer, "tokenizer", tokenizer)  # of a processor
        source = str(getattr(network.config, "_name_or_path", "") or watching.name)
        if own is None:
            raise UsageError("callback: the trainer has no tokenizer; give processing_class to it")
        rows = len(network.get_input_embeddings().weight)
        words = prepared(Checkpoint(source), copy.deepcopy(own), rows)
        with own_forward(network):
            self.model, base = HuggingFaceModel(network, words), HuggingFaceModel(copy.deepcopy(network), words)
        probe = watching.samples()
        self.probe_name = watching.probe.short_name() if watching.probe else "none"
        self.evaluator = Evaluator(base, watching.benchmarks, probe, self.probe_name, watching.evaluation)
        self.student, self.source, self.seed = Checkpoint(source).name, source, seed
        self.run = RunFolder(watching.output / "runs" / f"{self.student}-{watching.arm}-d0-s{seed}")
        about = {"student": self.student, "arm": watching.arm, "distillation_seed": 0, "seed": seed}
        columns = {**about, "capacity": self.model.capacity}
        self.recorder = Recorder(self.run, columns, watching.benchmarks, self.watch, self.probe_name)
        self.recorder.start_at(0)
        self.last = -1

    def look(self, seen: int, tokens: int = 0) -> None:
        """Measure the model as it is, after so many samples (and tokens, where the trainer counts them)."""
        if seen <= self.last:
            return
        self.last = seen
        with unchanged(), own_forward(self.model.network), self.watch("evaluation"):
            student = self.evaluator.base if seen == 0 else self.model
            rows = self.evaluator.measure(student, perturbed=False, earlier=self.recorder.answers)
            self.recorder.add(rows, {"dose": seen, "dose_tokens": tokens, "stream_samples": seen})

    def finish(self) -> None:
        """Write the record of the whole fine-tuning, and the views of it."""
        from forgetting.report.first_views import write_first_views  # with matplotlib, which views need

        with unchanged():
            form = {"student": self.source, "arm": self.watching.arm, "seed": self.seed, "doses": self.run.doses()}
            form["benchmarks"] = [[b.form(), b.version] for b in self.watching.benchmarks]
            mark = fingerprint(form)
            self.recorder.finish(mark)
            marker, folder = read_marker(self.run, mark), self.watching.output
            ledger = pa.concat_tables(read_part(self.run, dose)[0] for dose in self.run.doses())
            buffer = pa.BufferOutputStream()
            pq.write_table(ledger, buffer, compression="zstd")
            write_atomically(folder / "ledger.parquet", buffer.getvalue().to_pybytes())
            write_atomically(folder / "scores.jsonl", self.run.scores.read_bytes())
            seconds = {f"runs: {name}": value for name, value in marker["wall_seconds"].items()}
            record = {**self._record(form, mark), "seconds": {**seconds, "study": time.perf_counter() - self.begin}}
            record["files"] = {name: file_hash(folder / name) for name in ("ledger.parquet", "scores.jsonl")}
            write_sealed(folder / "record.json", record)
            write_first_views(folder, self.begin)

    def _record(self, form: dict[str, Any], mark: str) -> dict[str, Any]:
        watching, capacity = self.watching, self.model.capacity
        arm = {"name": watching.arm, "contamination": {"name": self.probe_name if watching.probe else watching.arm}}
        settings = {"shift": 1.0, "rate_multiple": 1.0, "rate_policy": "of the trainer", "mitigation": {"name": "none"}}
        sizes = {"capacity": capacity, "capacity_non_embedding": self.model.capacity_non_embedding}
        return {
            "name": watching.name,
            "fingerprint": mark,
            "watched": form,
            SIGNATURE: signature([form, mark]),
            "arms": [{**arm, **settings, "doses": self.run.doses(), "not_reached": []}],
            "students": [{"name": self.student, **sizes, "source": self.source}],
            "seeds": {"distillation": [0], "contamination": [self.seed], "shared_students": True, "checkpoints": True},
            "benchmarks": {
                b.short_name(): {"version": b.version, "chance": b.chance, "skill": b.skill}
                for b in watching.benchmarks
            },
            **({"left_out": counts} if (counts := left_out(watching.benchmarks)) else {}),
            "commit": commit() or "unknown",
            "versions": versions(),
            "hardware": hardware(),
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }


@contextmanager
def own_forward(network: Any) -> Iterator[None]:
    """Inside, every module computes as its class does.

    Trainers put a ``forward`` of their own into a model: TRL a fused loss, accelerate a cast to bfloat16. A copy of
    such a model would compute with the weights of the one it was copied from, and scores would depend on the trainer.
    What spreads a model over devices stays.
    """
    patched = [
        m for m in network.modules() if "forward" in vars(m) and not hasattr(m, "_hf_hook")
    ]  # of several devices
    replaced = [(module, vars(module).pop("forward")) for module in patched]
    try:
        yield
    finally:
        for module, forward in replaced:
            module.forward = forward


@contextmanager
def unchanged() -> Iterator[None]:
    """Whatever is drawn inside, Python's, numpy's and torch's generators are afterwards as they were."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
