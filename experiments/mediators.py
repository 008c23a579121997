"""What may lie between how a skill was acquired and how it is lost: a study of branches in, a table of mediators out.

    python experiments/mediators.py results/table_2-...

writes ``mediators.csv`` into the folder, one row a branch and trunk: accuracy on test items of the trunk and of the
branch, and the numbers of ``evaluation.start_point`` on 300 maths items and 100 dialogues that no stream trains on. It
prints their means by branch, the paired differences from the off-policy branch with intervals by trunks, and by how
much each branch raised its trunk. The students must be in the store.
"""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path
from typing import Any, cast

import pandas as pd

from forgetting import load, registry, seeds
from forgetting.analysis.branches import AGAINST, mean_with_interval
from forgetting.contracts import Benchmark, Contamination
from forgetting.errors import require, run_script
from forgetting.evaluation.start_point import start_point
from forgetting.models.checkpoint import load as load_model
from forgetting.record.store import Store, manifest
from forgetting.spec import from_plain
from forgetting.study.fingerprints import fingerprint, student_form
from forgetting.study.study import construct
from forgetting.training.plan import is_held_out

MATHS = {"name": "maths", "items_per_depth": 100}
DIALOGUES, SEED = 100, 0


def mediators(folder: Path, store: Store) -> pd.DataFrame:
    """One row a branch and trunk."""
    study = construct(from_plain(load(folder).record["spec"]))
    benchmark = cast(Benchmark, registry.build("benchmarks", MATHS))
    source = cast(Contamination, registry.build("contamination", "dialogue"))
    offered = (s for s in source.samples(seeds.generator(SEED, "mediators")) if is_held_out(s))
    new, rows = list(islice(offered, DIALOGUES)), list[dict[str, Any]]()
    for run in study.runs():
        stages = (len(study.stages), None)
        marks = [fingerprint(student_form(study, run.student, run.distillation_seed, stages=n)) for n in stages]
        homes = [store.find(mark) for mark in marks]
        require(None not in homes, "store", "one that has the study's students", str(store.root))
        trunk, student = (load_model(cast(Path, home)) for home in homes)
        right = [manifest(cast(Path, home))["accuracy"]["maths"]["all"] for home in homes]
        about = {"branch": study.branches[run.student.name].name, "distillation_seed": run.distillation_seed}
        about |= {"trunk_accuracy": right[0], "accuracy": right[1]}
        rows.append({**about, **start_point(student, trunk, benchmark.items("test"), new)})
    return pd.DataFrame(rows)


def said(table: pd.DataFrame) -> str:
    """Means by branch, differences from the off-policy branch, and what was raised."""
    numbers = [name for name in table if name not in ("branch", "distillation_seed")]
    lines = [table.groupby("branch", sort=False)[numbers].mean().round(4).to_string()]
    base = table[table["branch"] == AGAINST].set_index("distillation_seed")
    for branch, own in table.groupby("branch", sort=False):
        rows = own.set_index("distillation_seed")
        raised = mean_with_interval((rows["accuracy"] - rows["trunk_accuracy"]).to_numpy(float))
        lines.append("{}: raises its trunk by {:+.3f} ({:+.3f} to {:+.3f})".format(branch, *raised))
        for name in numbers[2:] if branch != AGAINST else ():
            apart = mean_with_interval((rows[name] - base[name]).to_numpy(float))
            lines.append("  {}: {:+.4f} ({:+.4f} to {:+.4f})".format(name, *apart))
    return "\n".join(lines)


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--store", type=Path, help="where the students are; by default the user's cache folder")
    options = parser.parse_args()
    table = mediators(options.folder, Store(options.store))
    table.to_csv(options.folder / "mediators.csv", index=False, float_format="%.6g")
    print(said(table))


if __name__ == "__main__":
    run_script(main)
