"""What a student costs: processor seconds of distillation to equal skill, by how it is taught, and what it then knows.

Ways stand side by side in one run, on one thread: the whole length of the schedule, a stop at the target, and the stop
with one thing changed. The teacher writes the shared pool once, before the clock starts; its seconds stand apart.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from measuring import begin, parser, write

from forgetting.models.checkpoint import Home
from forgetting.record.store import Store, manifest
from forgetting.spec import Evaluation, Fit, Ladder, Spec, Until
from forgetting.stages import distil
from forgetting.stages.lesson import lesson
from forgetting.stages.mentor import mentor_of
from forgetting.stages.teach import teacher
from forgetting.study.study import Study, construct
from forgetting.training.fit import silent

RATE = Fit().learning_rate
TARGET = {"name": "maths", "items_per_depth": 667}
WAYS: dict[str, dict[str, Any]] = {
    "whole length": {"until": False},
    "to the target": {},
    "to the target, rate x 2": {"learning_rate": 2 * RATE},
    "to the target, rate x .5": {"learning_rate": RATE / 2},
    "to the target, rate x .25": {"learning_rate": RATE / 4},
    "whole length, rate x .5": {"until": False, "learning_rate": RATE / 2},
    "to the target, batch 32": {"batch_size": 32},
    "to the target, word level": {"level": "word"},
}


def study(rung: str, way: dict[str, Any], samples: int, shared: int) -> Study:
    """A study whose one student is taught that way."""
    given = dict(way)
    until = Until(TARGET, every=100) if given.pop("until", True) else Until()
    method = {"name": "off_policy", "level": given.pop("level", "sequence")}
    pool = min(Fit().pool, shared)
    fit = Fit(samples=samples, pool=pool, shared_pool=shared, until=until, **given)
    ladder = Ladder(students=(rung,), distillation=method, distilling=fit, fresh_students=True)
    benchmarks = ({"name": "maths", "items_per_depth": 667}, {"name": "code", "items_per_depth": 100})
    return construct(Spec(name="distillation", ladder=ladder, evaluation=Evaluation(benchmarks=benchmarks)))


def written(of: Study, store: Store, seed: int) -> float:
    """Processor seconds in which the teacher answers the pool; the answers are kept in the store."""
    mentor = mentor_of(teacher(of, store, silent), store, of.spec.machine)
    own = lesson(of, of.students[0], seed)
    model, start = own.untaught(mentor), time.process_time()
    next(iter(own.stage.method.batches(model, mentor, own.plan())))
    return time.process_time() - start


def measured(of: Study, answers: Path, seed: int) -> dict[str, Any]:
    """One student, in a store of its own: seconds, steps, why it ended, accuracies."""
    with tempfile.TemporaryDirectory() as place:
        store = Store(Path(place))
        shutil.copytree(answers, store.root / "answers")
        start = time.process_time()
        home: Home = distil.student(of, of.students[0], seed, store)
        seconds = time.process_time() - start
        made = manifest(Path(str(home)))
    until = made.get("until", {})
    return {
        "seconds": round(seconds, 1),
        "steps": until.get("steps", -(-of.stages[0].fit.samples // of.stages[0].fit.batch_size)),
        "why": until.get("why", "whole length"),
        "validation": round(until["checks"][-1][1], 3) if until else None,
        "maths": made["accuracy"]["maths"]["all"],
        "code": made["accuracy"]["code"]["all"],
    }


def main() -> None:
    """Measure, print, write."""
    options_of = parser(__doc__, "distillation")
    options_of.add_argument("--students", nargs="+", default=["width-16", "width-32", "width-64"])
    options_of.add_argument("--seeds", type=int, default=1)
    options_of.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    options_of.add_argument("--samples", type=int, default=Fit().samples, help="the cap")
    options_of.add_argument("--shared_pool", type=int, default=96_000)
    options_of.add_argument("--store", type=Path, default=None, help="where teacher and answers are kept")
    options = options_of.parse_args()
    begin(options)
    if options.tiny:
        options.students, options.samples, options.shared_pool = ["width-16"], 640, 640
    store, found = Store(options.store), dict[str, Any]()
    made = {(rung, way): study(rung, WAYS[way], options.samples, options.shared_pool)
            for rung in options.students for way in options.ways}  # fmt: skip
    pool_seconds = written(next(iter(made.values())), store, 0)
    for (rung, way), of in made.items():
        each = [measured(of, store.root / "answers", seed) for seed in range(options.seeds)]
        found.setdefault(rung, {})[way] = each
        middle = statistics.median(one["seconds"] for one in each)
        print(f"{rung} {way}: {middle:.1f} s, {each}", flush=True)
    what = "processor seconds of one student, by how it is taught; steps, why it ended, and accuracies"
    pool = {"shared_pool": options.shared_pool, "pool_seconds": round(pool_seconds, 1)}
    write(options.output, {"what": what, **pool, "students": found})


if __name__ == "__main__":
    main()
