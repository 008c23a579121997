"""Do two commits give the same ledgers, and in which processor time? The same study at both, in turns.

    python validation/same_ledgers.py 1f6b360 --pairs 10 --output results/validation/same_ledgers.json

Each commit is checked out into a folder of its own and runs the study of the command line's defaults, reduced by
``--options``. Ledgers are compared in the columns that both have, arm names mapped, bit for bit; processor seconds are
those of all processes of the command.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[1]
KEY = ["student", "arm", "distillation_seed", "seed", "dose", "benchmark", "variant", "item"]
OPTIONS = "--ladder.students [10k,34k] --doses.dose 1280 --doses.ratio 4 --workers 0"


def git(*words: str) -> str:
    """What git prints in this checkout."""
    command = ["git", "-C", str(ROOT), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def run(tree: Path, output: Path, options: list[str]) -> tuple[Path, float]:
    """The study's folder, and the processor seconds of the command."""
    command = [sys.executable, "-P", "-m", "forgetting", "simulate", "--output", str(output), *options]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "PYTHONPATH": str(tree), "HF_HUB_OFFLINE": "1"}
    subprocess.run(command, check=True, env=environment, cwd=output, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    (folder,) = [path for path in output.iterdir() if (path / "record.json").is_file()]
    return folder, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def ledger(folder: Path, names: dict[str, str]) -> pd.DataFrame:
    """The rows in one order, arms by the names that both commits know."""
    rows = pd.read_parquet(folder / "ledger.parquet")
    if "answering" in rows:
        rows = rows[(rows["answering"] == "greedy") & (rows["intervention"] == "")]
    return rows.assign(arm=rows["arm"].replace(names)).sort_values(KEY, ignore_index=True)


def differing(one: pd.DataFrame, other: pd.DataFrame) -> list[str]:
    """Columns that both have and that are not equal bit for bit."""
    if len(one) != len(other):
        return [f"rows: {len(one)} and {len(other)}"]
    shared = [name for name in one.columns if name in other.columns]
    return [n for n in shared if not all(map(_same, one[n], other[n]))]


def _same(a: object, b: object) -> bool:
    both = hasattr(a, "tolist") and hasattr(b, "tolist")
    return (a.tolist() == b.tolist()) if both else (a == b or (a != a and b != b))  # type: ignore[attr-defined]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", help="a commit")
    parser.add_argument("--after", default="HEAD", help="another commit")
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--options", default=OPTIONS, help="of forgetting simulate")
    parser.add_argument("--names", default="{}", help="JSON: arm names of the second, as the first has them")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    commits = [
        subprocess.run(
            ["git", "-C", str(ROOT), "rev-parse", c], capture_output=True, text=True, check=True
        ).stdout.strip()
        for c in (given.before, given.after)
    ]
    seconds: list[list[float]] = [[], []]
    folders = [ROOT, ROOT]
    with tempfile.TemporaryDirectory() as place:
        trees = [Path(place) / f"tree{n}" for n in (0, 1)]
        for tree, commit in zip(trees, commits, strict=True):
            git("worktree", "add", "-q", "--detach", str(tree), commit)
        try:
            for pair in range(given.pairs):
                for n in (0, 1) if pair % 2 == 0 else (1, 0):
                    output = Path(place) / f"{pair}-{n}"
                    output.mkdir()
                    folders[n], took = run(trees[n], output, given.options.split())
                    seconds[n].append(round(took, 2))
                    print(f"pair {pair + 1} {commits[n][:7]}: {took:.1f} s")
            own, names = [ledger(folders[0], {}), ledger(folders[1], json.loads(given.names))], given.names
        finally:
            for tree in trees:
                git("worktree", "remove", "--force", str(tree))
    ratios = [b / a for a, b in zip(*seconds, strict=True)]
    found = {
        "commits": commits, "options": given.options, "arm_names": json.loads(names), "rows": len(own[0]),
        "differing": differing(*own), "seconds": seconds, "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(r, 3) for r in sorted(ratios)],
    }  # fmt: skip
    print(json.dumps(found, indent=1))
    if given.output:
        given.output.write_text(json.dumps(found, indent=1) + "\n")
    sys.exit(bool(found["differing"]))


if __name__ == "__main__":
    main()
