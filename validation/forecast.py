"""Do looks at the first tenth of a dose foretell retention at its end, of students and contaminations not seen before?

Each group of committed runs is left out in turn, a forecaster learned from the others (its scales, and the factors of
its width as well), and the runs of the group are forecast. In the committed study one student stands for each size, so
that a student left out is a size left out. A run of which the forecast "cannot tell" counts with its wide interval.
``--ship`` writes what the package ships, and what `forgetting advise` learns from: runs of four studies, of some
at two shares of their dose, so that the forecast learns what it means how much is still to come; the last rows are of
these.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from forgetting.analysis.forecast import COVERAGE, EARLY, FEWEST_SOURCES, Forecaster, mean_of_the_size, past_runs
from forgetting.analysis.shipped_runs import TABLE, shipped_runs
from forgetting.analysis.study_folder import open_study

ROOT = Path(__file__).parents[1]
STUDIES = ("section_4_2-611fa0a7",)
SHIPPED = {
    "section_4_2-611fa0a7": (1 / 4, 1 / 8),
    "section_4_1_dialogue-ef795ec1": (1 / 4, 1 / 8, 1 / 16),
    "section_4_1_complexity-3ce6408d": (1 / 4, 1 / 8, 1 / 16),
    "section_4_1_syntax-11a08e53": (1 / 4, 1 / 8),
}
ENDS = ((1 - COVERAGE) / 2, (1 + COVERAGE) / 2)
# What is left out, and the past contaminations from which something is told of another.
LEFT_OUT = {
    "student (a size each)": ("student", FEWEST_SOURCES),
    "contamination": ("source", FEWEST_SOURCES),
    "contamination, told from any two": ("source", 2),
}


def left_out(past: pd.DataFrame, name: str, fewest_sources: int) -> pd.DataFrame:
    """Every run with its outcome, and what was forecast of it by the others of another ``name``."""
    rows = []
    for _, own in past.groupby(name, sort=False):
        rest = past[past[name] != own[name].iloc[0]]
        told = Forecaster.learned(rest).forecast(own, fewest_sources)
        found = pd.DataFrame([vars(one) for one in told], index=own.index)
        rows.append(
            found.assign(
                early=own.get("early"), outcome=own["outcome"], group=own[name], baseline=mean_of_the_size(rest, own)
            )
        )
    return pd.concat(rows)


def summary(name: str, found: pd.DataFrame) -> dict[str, Any]:
    """Coverage and width over all runs, and over those of which something is told."""
    inside = (found["low"] <= found["outcome"]) & (found["outcome"] <= found["high"])
    width, told = found["high"] - found["low"], found["told"]
    by_group = inside.groupby(found["group"]).mean()
    return {
        "left out": name,
        "groups": int(found["group"].nunique()),
        "runs": len(found),
        "coverage": float(inside.mean()),
        "least of a group": float(by_group.min()),
        "mean width": float(width.mean()),
        "spread of outcomes": float(np.diff(np.quantile(found["outcome"], ENDS))[0]),
        "mean error": float((found["value"] - found["outcome"]).abs().mean()),
        "mean error of the size's mean": float((found["baseline"] - found["outcome"]).abs().mean()),
        "cannot tell": float(1 - told.mean()),
        "coverage where told": float(inside[told].mean()) if told.any() else None,
        "mean width where told": float(width[told].mean()) if told.any() else None,
    }  # fmt: skip


def ship() -> None:
    """Write the table of the package."""
    frames = []
    for name, shares in SHIPPED.items():
        study = open_study(ROOT / "results" / name)
        frames += [past_runs([study], early).assign(early=early) for early in shares]
    pd.concat(frames).to_csv(TABLE, index=False, float_format="%.4g", lineterminator="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("studies", nargs="*", help="folders of studies; left out: section 4.2")
    parser.add_argument("--early", type=float, default=EARLY, help="share of the dose within which looks are taken")
    parser.add_argument("--ship", action="store_true", help="write the table of past runs of the package first")
    given = parser.parse_args()
    if given.ship:
        ship()
    folders = [Path(one) for one in given.studies] or [ROOT / "results" / name for name in STUDIES]
    past = past_runs([open_study(folder) for folder in folders], given.early)
    rows = [summary(name, left_out(past, *how)) for name, how in LEFT_OUT.items()]
    shipped = left_out(shipped_runs(), "student", FEWEST_SOURCES)
    rows.append(summary("student, shipped runs", shipped))
    rows += [summary(f"… looks within {e:g} of the dose", own) for e, own in shipped.groupby("early")]
    about = {"studies": [folder.name for folder in folders], "early": given.early, "interval": COVERAGE, "rows": rows}
    target = ROOT / "results" / "validation"
    (target / "forecast.json").write_text(json.dumps(about, indent=1) + "\n")
    target.joinpath("forecast.md").write_text(page(about))
    print(page(about))


def page(about: dict[str, Any]) -> str:
    """The result as a page: one row for what was left out."""
    names, title, rest = list(about["rows"][0]), *(__doc__ or "").split("\n", 1)
    cells = [[f"{v:.2f}" if isinstance(v, float) else "–" if v is None else str(v) for v in row.values()]
             for row in about["rows"]]  # fmt: skip
    lines = ["| " + " | ".join(line) + " |" for line in (names, ["---"] * len(names), *cells)]
    made = (
        f"Made by `python validation/forecast.py` from {', '.join(about['studies'])}, looks within {about['early']:g}"
    )
    return (
        "\n".join([f"# {title}", rest, f"{made} of the dose; intervals of {about['interval']:.0%}.", "", *lines]) + "\n"
    )


if __name__ == "__main__":
    main()
