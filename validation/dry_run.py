"""Does ``forgetting sweep --dry-run`` foretell what a sweep then takes? In processor seconds, whatever else is running.

Each sweep is foretold and then made as a command of its own, on one worker, so that its wall seconds on a free machine
are nearly the processor seconds of its processes, which are what is counted. Students are made anew.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from forgetting.executors import executor_of
from forgetting.record.files import write_atomically, write_json
from forgetting.record.provenance import commit, hardware, versions
from forgetting.study import spec_files
from forgetting.sweep.cost import estimate_cost
from forgetting.sweep.layout import construct_sweep
from forgetting.sweep.sweep_spec import SweepSpec

HEADLINE, QUICK = Path("sweeps/section_4_2.yaml"), Path("sweeps/quick.yaml")
TAUGHT = {
    "learning_rate": 6.0e-3,
    "samples": 9_600,
    "pool": 1_280,
    "shared_pool": 1_280,
    "until": {"benchmark": {"name": "maths", "items_per_depth": 30}, "every": 50},
}


def taught() -> dict[str, Any]:
    """Section 4.2 made small: two sizes, a student each, a twentieth of the lessons, two of its targets."""
    spec = spec_files.read_mapping(HEADLINE)
    wanted = {"contamination": "dialogue", "skill": "maths", "axis": "capacity", "dose": 320}
    ladder = {"students": ["width-16", "width-32"], "fresh_students": True, "distilling": TAUGHT}
    study = spec["study"] | {"name": "dry_run", "ladder": ladder, "seeds": 1, "contaminations": ["dialogue"]}
    study |= {
        "doses": {"dose": 320, "first": 160, "ratio": 2.0},
        "rate_multiples": [1.0],
        "rate_policies": ["constant"],
    }
    targets = [{**wanted, "shifts": [shift], "rate_policy": "constant"} for shift in (1.0, 0.5)]
    search = {"method": "grid", "round_size": 2, "startup_runs": 2}
    return {"study": study, "targets": targets, "search": search, "stop": {"runs": 2}}


def shipped() -> dict[str, Any]:
    """The quick sweep with sixteen of its runs: students are shipped, nothing is taught."""
    return spec_files.read_mapping(QUICK) | {"stop": {"width_decades": 0.0, "runs": 16}}


def headline() -> dict[str, Any]:
    """Section 4.2 with every lesson, dose and target that it has, but two sizes with a student each."""
    spec = spec_files.read_mapping(HEADLINE)
    ladder = spec["study"]["ladder"] | {"students": ["width-24", "width-32"]}
    return spec | {"study": spec["study"] | {"name": "dry_run", "ladder": ladder, "seeds": 1}}


SWEEPS = {"taught": taught, "shipped": shipped, "headline": headline}


def foretold(given: dict[str, Any], store: Path) -> tuple[float, float]:
    """Seconds on one worker, and the share of a core that it had while they were measured."""
    sweep = construct_sweep(spec_files.built_from(SweepSpec, given))
    with executor_of({"name": "processes", "workers": 1}) as executor:
        cost = estimate_cost(sweep, executor, store)
    return cost.seconds, cost.share


def made(given: dict[str, Any], store: Path, place: Path) -> tuple[float, float]:
    """Processor and wall seconds of the command, all its processes."""
    file = place / "sweep.yaml"
    file.write_text(spec_files.dump(spec_files.built_from(SweepSpec, given)))
    words = ["sweep", str(file), "--workers", "1", "--output", str(place / "out"), "--store", str(store), "--quiet"]
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-m", "forgetting", *words], check=True)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - begin
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def main() -> None:
    """Foretell, make, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sweeps", nargs="*", default=[*SWEEPS], help=f"some of {', '.join(SWEEPS)}")
    parser.add_argument("--output", type=Path, default=Path("results/validation/dry_run.json"))
    options = parser.parse_args()
    rows = []
    for name in options.sweeps:
        with tempfile.TemporaryDirectory() as place:
            store = Path(place) / "store"
            seconds, share = foretold(SWEEPS[name](), store)
            print(f"{name}: foretold {seconds:.0f} s, share {share:.2f}", flush=True)
            processor, wall = made(SWEEPS[name](), store, Path(place))
        row = {"sweep": name, "foretold": seconds, "taken": processor, "wall": wall, "share": share}
        rows.append({key: round(value, 2) if isinstance(value, float) else value for key, value in row.items()})
        print(f"{name}: taken {processor:.0f} s, foretold / taken {seconds / processor:.2f}", flush=True)
    about = {"command": " ".join(["python", *sys.argv]), "what": (__doc__ or "").splitlines()[0], "rows": rows}
    write_json(options.output, about | {"commit": commit(), "hardware": hardware(), "versions": versions()})
    lines = ["| sweep | foretold | taken | ratio | wall | share of a core |", "| --- | --- | --- | --- | --- | --- |"]
    lines += [
        f"| {r['sweep']} | {r['foretold']:.0f} s | {r['taken']:.0f} s | {r['foretold'] / r['taken']:.2f} "
        f"| {r['wall']:.0f} s | {r['share']:.2f} |"
        for r in rows
    ]
    write_atomically(options.output.with_suffix(".md"), "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
