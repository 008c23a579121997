"""Runs on a worker that keeps the memory that steps free, against one whose C library gives it back at once.

One worker process of either kind carries out the same runs, in turns; what it imports is there before the clock starts.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from measuring import in_turns, parser, ratio, spread, study_spec, timed, write

from forgetting.executors import processes
from forgetting.executors.processes import WorkerProcess
from forgetting.executors.tasks import common_of, run_task
from forgetting.record.store import Store
from forgetting.spec import Doses
from forgetting.study.study import construct


def faults(worker: WorkerProcess) -> int:
    """Page faults of a worker so far that no disk was needed for (the tenth field of its ``stat``)."""
    text = Path(f"/proc/{worker.process.pid}/stat").read_text()
    return int(text.rpartition(")")[2].split()[7])


def peak_mib(worker: WorkerProcess) -> float:
    """The most memory that a worker has held so far."""
    lines = Path(f"/proc/{worker.process.pid}/status").read_text().splitlines()
    return round(int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024, 1)


def main() -> None:
    """Measure, print, write."""
    options_of = parser(__doc__, "memory", pairs=7)
    options_of.add_argument("--student", default="34k", help="a rung of the ladder")
    options = options_of.parse_args()
    doses, per_depth = (Doses(dose=32, first=32), 2) if options.tiny else (Doses(dose=10_240, first=160), 50)
    spec = study_spec("memory", options.student, doses, per_depth)
    study, store = construct(spec), Store()
    every, common = study.runs(), common_of(study, store)
    kept, processes.KEEPING_MEMORY = processes.KEEPING_MEMORY, {}
    given_back = WorkerProcess()
    processes.KEEPING_MEMORY = kept
    workers = {"kept": WorkerProcess(), "given_back": given_back}
    counts: dict[str, list[int]] = {name: [] for name in workers}

    def runs(name: str) -> float:
        with tempfile.TemporaryDirectory() as folder:
            before = faults(workers[name])

            def work() -> None:
                for one in every:
                    task = run_task((one.key,), (Path(folder) / str(one),))
                    workers[name].run(task.to_plain(common), lambda done, total: None)

            seconds = timed(work)
            counts[name].append((faults(workers[name]) - before) // len(every))
        return seconds

    sides = {"kept": lambda: runs("kept"), "given_back": lambda: runs("given_back")}
    try:
        in_turns(sides, 1)
        for each in counts.values():
            each.clear()
        seconds = in_turns(sides, options.pairs)
        peaks = {name: peak_mib(worker) for name, worker in workers.items()}
    finally:
        for worker in workers.values():
            worker.stop()
            worker.log.close()
    result = {
        "what": "wall seconds of a run in a worker that gives freed memory back, over one that keeps it",
        "student": options.student,
        "times_faster": ratio(seconds, "given_back", "kept"),
        "seconds_per_run": {name: spread([s / len(every) for s in each]) for name, each in seconds.items()},
        "page_faults_per_run": {name: spread(each) for name, each in counts.items()},
        "peak_mib": peaks,
    }
    write(options.output, result)
    times = result["times_faster"]
    print(f"{times['median']:.3f} times ({times['lowest']:.3f} to {times['highest']:.3f})")
    for name, each in counts.items():
        print(f"{name}: {spread(each)['median']:,.0f} page faults a run, at most {peaks[name]:,.0f} MiB")


if __name__ == "__main__":
    main()
