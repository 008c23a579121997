"""Two measurements compared: checkpoints, studies, runs of studies, or sample logs of lm-eval in; a comparison out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from forgetting import registry
from forgetting.analysis.pairing import Comparison, Paired, answers_of, compare_studies, paired
from forgetting.analysis.sample_logs import log_files, read_log
from forgetting.analysis.study_folder import StudyFolder, open_study
from forgetting.contracts import Benchmark
from forgetting.errors import UsageError, checked, require
from forgetting.models import checkpoint
from forgetting.record.schema import RUN_KEY
from forgetting.spec import Device, Evaluation, Machine, PartValue
from forgetting.study.run import RunKey

KINDS = "two checkpoints, two studies (or runs of them, STUDY/runs/KEY), or two sample logs of lm-eval"


def compare(
    first: str | Path,
    second: str | Path,
    *,
    benchmarks: PartValue | Sequence[PartValue] = (),
    arm: str | None = None,
    other_arm: str | None = None,
    dose: int | None = None,
    max_new_tokens: int = 256,
    dtype: str = "float32",
    device: Device = "auto",
) -> Comparison:
    """What the second measurement lost and gained against the first, item by item.

    Args:
        first: a checkpoint (folder or hub name), a study's folder, a run's folder in it, or a sample log of lm-eval
            (a file, or a folder with ``samples_*.jsonl``)
        second: another one of the same kind
        benchmarks: what checkpoints are asked, by name or with settings; one or several
        arm: of studies: the arm of the first one
        other_arm: and that of the second one, by default the same
        dose: of studies: where they are compared, by default at the last dose that both measured
        max_new_tokens: of checkpoints: the longest answer, in tokens
        dtype: and how their weights are held
        device: and where they are asked: ``auto`` (on a GPU where there is one), ``cpu``, ``gpu``

    Raises:
        UsageError: they are not of one kind, or share no item; one line says which
    """
    paths: list[str] = [os.fspath(checked(one, str | os.PathLike, "compare")) for one in (first, second)]
    kinds = [_kind(path) for path in paths]
    for path, kind in zip(paths, kinds, strict=True):
        here = kind != "checkpoint" or Path(path).expanduser().is_dir()
        if not here and (kinds[0] != kinds[1] or not benchmarks):
            hint = "a checkpoint of the hub needs --benchmarks that it is asked; a run is STUDY/runs/KEY"
            raise UsageError(f"compare: there is no file or folder {path!r}; {hint}")
    got = f"a {kinds[0]} ({paths[0]!r}) and a {kinds[1]} ({paths[1]!r})"
    if kinds[0] != kinds[1]:
        raise UsageError(f"compare: must be {KINDS}, got {got}")
    if kinds[0] == "study":
        one, two = (_study(Path(path)) for path in paths)
        return compare_studies(one, two, arm=arm, other_arm=other_arm, dose=dose)
    if kinds[0] == "sample log":
        return _logs(*paths)
    several = benchmarks if isinstance(benchmarks, list | tuple) else (cast(PartValue, benchmarks),)
    how = Evaluation(max_new_tokens=max_new_tokens)
    return _checkpoints(paths, several, how, dtype, Machine(device=device))


def _kind(path: str) -> str:
    place = Path(path).expanduser()
    if place.is_dir():
        if (place / "record.json").exists() or (place / "runs").is_dir() or _is_run(place):
            return "study"
        return "sample log" if log_files(place) and not (place / "config.json").is_file() else "checkpoint"
    if place.is_file():
        return "sample log"
    lost = path.startswith((".", "/", "~")) or place.suffix in (".jsonl", ".gz") or not checkpoint.looks_like_one(path)
    if lost or (path.count("/") > 1 and not path.startswith("$") and place.suffix != ".gguf"):
        raise UsageError(f"compare: must be {KINDS}, got {path!r}, and there is no such file or folder")
    return "checkpoint"


def _is_run(place: Path) -> bool:
    return place.resolve().parent.name == "runs" and (place.resolve().parents[1] / "record.json").is_file()


def _study(place: Path) -> StudyFolder:
    """A study, or of a run's folder the study of that run alone."""
    if not _is_run(place):
        return open_study(place)
    whole, name = open_study(place.resolve().parents[1]), place.resolve().name
    if whole.ledger is None:
        raise UsageError(f"{whole.folder}: has no ledger.parquet, so that its items are not known")
    rows = whole.ledger
    own = rows[[str(RunKey(*key)) == name for key in rows[list(RUN_KEY)].itertuples(index=False, name=None)]]
    return StudyFolder(place, whole.record, own)


def _logs(first: str, second: str) -> Comparison:
    ours, theirs = (log_files(Path(path).expanduser()) for path in (first, second))
    if len(ours) == len(theirs) == 1:
        tasks = [(*ours, *theirs)]
    else:
        tasks = [(task, task) for task in ours if task in theirs]
    rows = list[Paired]()
    for one, two in tasks:
        logs = read_log(ours[one]), read_log(theirs[two])
        for key in [key for key in logs[0] if key in logs[1]]:
            found = paired(" ".join([one if one == two else f"{one} and {two}", *key]), logs[0][key], logs[1][key])
            rows += [found] if found else []
    if not rows:
        what = "a task, filter, metric and document"
        raise UsageError(f"compare: must be sample logs that share {what}, got {first!r} and {second!r}")
    return Comparison(first, second, tuple(rows))


def _checkpoints(
    sources: Sequence[str], benchmarks: Sequence[PartValue], evaluation: Evaluation, dtype: str, machine: Machine
) -> Comparison:
    """Both asked everything, one after the other, by the evaluator of every study."""
    built: tuple[Benchmark, ...] = registry.build_all("benchmarks", [b for b in benchmarks if b], "benchmarks")
    require(bool(built), "benchmarks", "one or more that checkpoints are asked, such as gsm8k", [])
    for one in built:
        require(one.language == "natural", "benchmarks", "of natural text for checkpoints", one.short_name())
    students = [checkpoint.from_value({"source": source, "dtype": dtype}, "compare") for source in sources]
    for student in students:
        student.folder()

    from forgetting.evaluation.evaluator import Evaluator
    from forgetting.training.devices import check_there
    from forgetting.training.fit import place

    check_there(machine)

    frames: list[Any] = []
    for student in students:
        model = student.load()
        place(model.network, machine)
        rows = Evaluator(model, built, [], "", evaluation).measure(model, perturbed=False)
        frames.append(rows.assign(distillation_seed=0, seed=0))
        del model
    found = [
        paired(name, *(answers_of(frame[frame["benchmark"] == name]) for frame in frames))
        for name in (b.short_name() for b in built)
    ]
    return Comparison(sources[0], sources[1], tuple(one for one in found if one is not None))
