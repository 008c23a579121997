"""What this machine needs for the parts of a sweep: its executor and its store in, seconds by size out.

A small sweep in the sweep's own setting gives the seconds of a sample trained on, of a look, and of everything else in
a run: of three of its own students where the store has them, else of three shipped ones. Where students are missing, a
few steps of their own distillation, of three of their sizes and into a folder that is thrown away, give those of a
sample taught, of a sample of the pool, and of an answer that the teacher writes.

Seconds are the processor's where those are fewer than the wall's: what other work on the machine takes is not the
sweep's, and ``share`` says how much of a core was left to it. Between the sizes that were measured they are
interpolated on log scales; beyond them they grow as a step does, by its parameters and what it costs whatever its size.
"""

from __future__ import annotations

import dataclasses
import heapq
import json
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from forgetting import registry
from forgetting.executors.contract import Executor
from forgetting.record.files import RunFolder
from forgetting.record.store import Store
from forgetting.spec import Doses, Ladder, Spec, Until
from forgetting.stages.folder import run_folder
from forgetting.study.fingerprints import fingerprint, student_form, teacher_form
from forgetting.study.students import Student
from forgetting.study.study import Study, construct
from forgetting.sweep.layout import Sweep
from forgetting.sweep.runs import STEP
from forgetting.sweep.sweep import run_sweep
from forgetting.sweep.sweep_spec import Search, Stop, SweepSpec, Target
from forgetting.world.vocabulary import vocabulary

SHIPPED = ("10k", "34k", "100k")
DOSE = 640
STEPS, FEW, POOL = 40, 8, 10  # steps of distillation, and batches of their pool
ASKED = {"name": "lookup", "item_count": 8}  # of students that learned nothing, whose answers would not end
PILOTS = 0.5  # of the most that a rate may take: what the sweeps of section 4.2 took

SecondsBySize = Mapping[int, float]  # parameters to seconds


@dataclass(frozen=True)
class TeachingPace:
    """Seconds of distillation: by stage of a sample taught; of one of the pool, drawn and encoded; of an answer."""

    sample: tuple[SecondsBySize, ...]
    pooled: float
    written: float


@dataclass(frozen=True)
class Pace:
    """Seconds on this machine by size: of a sample trained on, of a look, of everything else in a run."""

    sample: SecondsBySize
    look: SecondsBySize
    rest: SecondsBySize
    start: float  # workers started and warm
    views: float
    look_bytes: float
    share: float = 1.0  # of a core that a worker had
    lessons: TeachingPace | None = None

    def trained(self, student: Student, samples: float, longer: float = 1.0) -> float:
        """Seconds of fine-tuning on samples that are so many times longer than those that were measured."""
        own = student.parameters(len(vocabulary()))
        return at(self.sample, own) * samples * (STEP + own * longer) / (STEP + own)

    def looks(self, student: Student, count: float) -> float:
        """Seconds of so many looks."""
        return at(self.look, student.parameters(len(vocabulary()))) * count

    def others(self, student: Student) -> float:
        """Seconds of everything else in a run."""
        return at(self.rest, student.parameters(len(vocabulary())))

    def taught(self, study: Study, student: Student) -> float:
        """Seconds of distilling one student, of so many steps as it may take at most; the teacher has written."""
        assert self.lessons is not None
        own, items = student.parameters(len(vocabulary())), sum(len(b.items("test")) for b in study.benchmarks)
        seconds = 0.0
        for stage, sample in zip(study.stages, self.lessons.sample, strict=True):
            fit = stage.fit
            seconds += at(sample, own) * fit.samples + self.lessons.pooled * (fit.shared_pool or fit.pool)
            if fit.until.benchmark:
                asked: Any = registry.build("benchmarks", fit.until.benchmark, "until.benchmark")
                checks = fit.samples / fit.batch_size / fit.until.every
                seconds += self.looks(student, checks * len(asked.items("validation")) / max(items, 1))
        return seconds + self.looks(student, 1)  # it is measured before it is stored


def at(seconds: SecondsBySize, parameters: float) -> float:
    """Seconds at a size."""
    sizes = sorted(seconds)
    inside = min(max(parameters, sizes[0]), sizes[-1])
    known = np.log([max(seconds[size], 1e-9) for size in sizes])
    found = float(np.exp(np.interp(np.log(inside), np.log(sizes), known)))
    return found * (STEP + parameters) / (STEP + inside)


def laid(seconds: Sequence[float], slots: int) -> float:
    """Wall seconds of tasks on some slots, the longest first."""
    ends = [0.0] * max(slots, 1)
    for one in sorted(seconds, reverse=True):
        heapq.heappush(ends, heapq.heappop(ends) + one)
    return max(ends)


def measure(sweep: Sweep, executor: Executor, store: Store, missing: bool) -> Pace:
    """Run the small sweep and read its seconds; of the runs of one student, the fastest had a warm worker."""
    small = small_sweep(sweep, executor.slots, store)
    doses = small.study.doses
    looks, found, walls = len(doses.values()), dict[int, list[tuple[float, ...]]](), list[float]()
    with tempfile.TemporaryDirectory() as place:
        begin = time.perf_counter()
        folder = run_sweep(small, executor=executor, output=Path(place), store=store.root, quiet=True).folder
        wall = time.perf_counter() - begin
        views = float(json.loads((folder / "record.json").read_text())["seconds"]["views"])
        figures = max(1, len(list((folder / "figures").glob("*.svg"))))
        for run in construct(small.study).runs():
            own = RunFolder(run_folder(folder, run))
            marker = json.loads(own.complete.read_text())
            seconds, stream = _own_seconds(marker), run.stream
            training, looking = seconds.pop("training"), seconds.pop("evaluation") + seconds.pop("logging")
            written = sum(p.stat().st_size for p in own.folder.rglob("*") if p.is_file())
            row = (training / stream, looking / looks, sum(seconds.values()), written / looks)
            found.setdefault(run.student.parameters(len(vocabulary())), []).append(row)
            walls.append(sum(marker["wall_seconds"].values()))
    best = {size: np.min(rows, axis=0) for size, rows in found.items()}
    sample, look, rest = ({size: float(row[i]) for size, row in best.items()} for i in range(3))
    spent = sum((row[0] * doses.dose + row[1] * looks + row[2]) for rows in found.values() for row in rows)
    share = min(1.0, spent / max(sum(walls), 1e-9))
    start = max(wall - views - laid(walls, executor.slots), 0.0) * share
    places = sum(len(own.shifts) for own in sweep.spaces)  # each has a figure of its own
    views *= share * (1 + (places - 1) / figures)
    size_of_look = float(np.mean([row[3] for row in best.values()]))
    lessons = _lessons(sweep.study, executor, store) if missing else None
    return Pace(sample, look, rest, start, views, size_of_look, share, lessons)


def small_sweep(sweep: Sweep, slots: int, store: Store) -> SweepSpec:
    """Three students in one arm of the sweep, up to a low dose; each once more than there are workers to warm up."""
    study, spec = sweep.spec.study, sweep.spec
    kept = [dose for dose in study.doses.values()[1:] if dose <= DOSE]
    doses = dataclasses.replace(study.doses, dose=kept[-1]) if kept else Doses(dose=DOSE, first=DOSE)
    one_arm = dataclasses.replace(
        study,
        ladder=Ladder(students=SHIPPED),
        contaminations=study.contaminations[:1],
        shifts=(1.0,),
        rate_multiples=(1.0,),
        rate_policies=(),
        fine_tuning=dataclasses.replace(
            study.fine_tuning, rate_policy="constant"
        ),  # whatever the rate, it costs the same
        mitigations=("none",),
        controls=(),
        doses=doses,
        seeds=slots + 1,
    )
    own = [study.ladder.students[place] for place in _places(len(study.ladder.students))]
    itself = dataclasses.replace(one_arm, ladder=dataclasses.replace(study.ladder, students=tuple(own)))
    if len(own) > 1 and all(_is_there(construct(itself), store)):
        one_arm = itself
    target = Target(skill=spec.targets[0].skill, levels=spec.targets[0].levels)
    every = len(one_arm.ladder.students) * one_arm.seeds
    return SweepSpec(one_arm, (target,), Search("grid", round_size=every, startup_runs=2), Stop(0.0, runs=every))


def _places(count: int) -> list[int]:
    """The first, one in the middle and the last of so many."""
    return sorted({0, count // 2, count - 1})


def _is_there(study: Study, store: Store) -> list[bool]:
    """Of each run whether the store has its student."""
    return [
        store.find(fingerprint(student_form(study, run.student, run.distillation_seed))) is not None
        for run in study.runs()
    ]


def _own_seconds(marker: Mapping[str, Any]) -> dict[str, float]:
    """By stage what it took of a core: the processor's seconds, or the wall's where several threads worked at once."""
    return {stage: min(wall, marker["processor_seconds"][stage]) for stage, wall in marker["wall_seconds"].items()}


def _lessons(study: Study, executor: Executor, store: Store) -> TeachingPace | None:
    """A few steps of distillation; None where the teacher is missing too, which would have to be trained first."""
    from forgetting.executors.tasks import StudentTask, common_of
    from forgetting.stages.lesson import lesson
    from forgetting.stages.lesson_plan import lesson_plan

    home = store.find(fingerprint(teacher_form(study)))
    if home is None:
        return None
    students = [study.students[place] for place in _places(len(study.students))]
    with tempfile.TemporaryDirectory() as place, executor:
        own = Store(Path(place))
        shutil.copytree(home, own.root / home.name)

        def taught(student: Student, seed: int, steps: int) -> list[float]:
            """Seconds of each stage of so many steps."""
            small = construct(_cut(study.spec, steps))
            task = StudentTask(student.name, seed).to_plain(common_of(small, own))
            executor.submit(task, lambda *_: None).result()
            stages = range(1, len(small.stages) + 1)
            homes = [own.find(lesson(small, student, seed, None, stage).mark) for stage in stages]
            return [_own_seconds(json.loads((h / "manifest.json").read_text()))["training"] for h in homes if h]

        first = taught(students[0], 0, FEW)  # the teacher writes, and a worker gets warm
        few = taught(students[0], 1, FEW)
        many = [taught(student, 2, STEPS) for student in students]
    fit = _cut(study.spec, STEPS).ladder.distilling
    begin = time.process_time()
    lesson_plan(study, fit, 0)
    drawn = (time.process_time() - begin) / fit.pool
    step = max(many[0][0] - few[0], 0.0) / (STEPS - FEW)
    fixed = max(few[0] - FEW * step, 0.0)
    sizes = [student.parameters(len(vocabulary())) for student in students]
    sample = tuple(
        {
            size: max(own[stage] - fixed, 0.0) / STEPS / each.fit.batch_size
            for size, own in zip(sizes, many, strict=True)
        }
        for stage, each in enumerate(study.stages)
    )
    return TeachingPace(sample, drawn + fixed / fit.pool, max(first[0] - few[0], 0.0) / fit.pool)


def _cut(spec: Spec, steps: int) -> Spec:
    """A study whose students are taught for so many steps, in every stage, from one small pool, and never asked."""
    ladder, fit = spec.ladder, spec.ladder.distilling
    samples, pool = steps * fit.batch_size, POOL * fit.batch_size
    distillation = ladder.distillation
    if isinstance(distillation, tuple):
        distillation = tuple(
            {name: value for name, value in given.items() if name != "until"}
            | {"samples": steps * own.batch_size, "pool": pool, "shared_pool": pool}
            for given, own in zip(distillation, (stage.fit for stage in ladder.stages()), strict=True)
        )
    cut = dataclasses.replace(fit, samples=samples, until=Until(), pool=pool, shared_pool=pool)
    evaluation = spec.evaluation
    if construct(spec).language == "world":
        evaluation = dataclasses.replace(evaluation, benchmarks=(ASKED,), answering=(), answering_benchmarks=())
    taught = dataclasses.replace(ladder, distilling=cut, distillation=distillation, fresh_students=True)
    return dataclasses.replace(spec, ladder=taught, seeds=3, evaluation=evaluation)
