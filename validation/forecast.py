"""Do looks at the first tenth of a dose foretell retention at its end, of students and contaminations not seen before?

The past runs that ship with the package are left out in groups, a forecaster is learned from the others (its scales,
and the factors of its width as well), and the runs of the group are forecast: an eighth of the students at a time, each
size, each contamination. A row is of looks within that share of the dose. A run of which the forecast "cannot tell"
counts with its wide interval. With ``--ship`` the table of past runs is written first, from the committed studies: of
each run the looks in the first quarter of its dose, from the second one on, so that the forecast learns what it means
how much is still to come.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from forgetting import seeds
from forgetting.analysis.forecast import COVERAGE, ENDS, Forecaster, mean_of_the_size, past_runs, sizes_of
from forgetting.analysis.shipped_runs import TABLE, shipped_runs
from forgetting.analysis.study_folder import StudyFolder, open_study

ROOT = Path(__file__).parents[1]
# Committed studies; of a pattern the folders that are there.
SHIPPED = (
    "section_4_2-e1f15cb5", "replay-25c56c07", "section_4_1-6afa3498", "remedies-*", "early_looks-*",
    "remedies_syntax-*", "other_contaminations-*",
)  # fmt: skip
# Studies of former code that later ones took the place of: their rows stay as they are in the table, with their commit.
RETIRED = (
    "section_4_2-611fa0a7", "section_4_1_dialogue-ef795ec1", "section_4_1_complexity-3ce6408d",
    "section_4_1_syntax-11a08e53",
)  # fmt: skip
LONG = ("early_looks-", "other_contaminations-")  # studies whose last dose is above 10,000 samples
LAST_SHARE, MOST_ROWS = 0.25, 300  # of the dose; rows of a study and share, drawn by chance
ABOUT = {"1%": 0.015, "3%": 0.05, "6%": 0.08, "a tenth": 0.15, "a quarter": 0.3}  # shares up to so much are called so
LEFT_OUT = ("student", "size", "contamination")


def groups(past: pd.DataFrame, name: str) -> pd.Series[Any]:
    """What is left out together: an eighth of the students, sizes that follow each other within 15%, contaminations."""
    if name == "contamination":
        return past["source"]
    if name == "size":
        return sizes_of(past)
    return past["student"].map({name: place % 8 for place, name in enumerate(sorted(past["student"].unique()))})


def left_out(past: pd.DataFrame, name: str) -> pd.DataFrame:
    """Every run with its outcome, and what was forecast of it by the others of another ``name``."""
    rows, group = [], groups(past, name)
    for one in group.unique():
        own, rest = past[group == one], past[group != one]
        told = Forecaster.learned(rest).forecast(own)
        found = pd.DataFrame([vars(forecast) for forecast in told], index=own.index)
        told_of = {"early": own["early"], "outcome": own["outcome"], "group": one}
        rows.append(found.assign(**told_of, baseline=mean_of_the_size(rest, own)))
        print(name, one, len(own), flush=True)
    return pd.concat(rows)


def summary(name: str, share: str, found: pd.DataFrame) -> dict[str, Any]:
    """Coverage and width over all runs, and over those of which something is told."""
    inside = (found["low"] <= found["outcome"]) & (found["outcome"] <= found["high"])
    width, told = found["high"] - found["low"], found["told"]
    spread = float(np.diff(np.quantile(found["outcome"], ENDS))[0])
    by_group = inside.groupby(found["group"]).mean()
    return {
        "left out": name,
        "looks within": share,
        "groups": int(found["group"].nunique()),
        "runs": len(found),
        "coverage": float(inside.mean()),
        "least of a group": float(by_group.min()),
        "mean width": float(width.mean()),
        "spread of outcomes": spread,
        "width / spread": float(width.mean()) / spread,
        "mean error": float((found["value"] - found["outcome"]).abs().mean()),
        "mean error of the size's mean": float((found["baseline"] - found["outcome"]).abs().mean()),
        "cannot tell": float(1 - told.mean()),
        "coverage where told": float(inside[told].mean()) if told.any() else None,
        "mean width where told": float(width[told].mean()) if told.any() else None,
    }  # fmt: skip


def shares(study: StudyFolder) -> list[float]:
    """Where a study looks in the first quarter of its dose, from the second look on."""
    doses = np.unique(study.scores["dose"].to_numpy(float))
    return [float(share) for share in doses[2:] / doses[-1] if share <= LAST_SHARE]


def ship() -> None:
    """Write the table of the package."""
    past = shipped_runs()
    frames, rng = [past[past["study"].isin(RETIRED)]], seeds.generator(0, "shipped runs")
    for folder in [folder for name in SHIPPED for folder in sorted((ROOT / "results").glob(name))]:
        study = open_study(folder)
        commit = str(study.record["commit"]).split(",")[-1].strip()[:12]  # of a study that was gone on with, the last
        for share in shares(study):
            found = past_runs([study], share)
            found = found.iloc[np.sort(rng.permutation(len(found))[:MOST_ROWS])]
            frames.append(found.assign(early=share, study=folder.name, commit=commit))
            print(f"{folder.name}: {len(found)} runs to {share:.3g} of the dose", flush=True)
    pd.concat(frames).to_csv(TABLE, index=False, float_format="%.4g", lineterminator="\n")


def main() -> None:
    """Measure what ships, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ship", action="store_true", help="write the table of past runs of the package first")
    if parser.parse_args().ship:
        ship()
    past, rows = shipped_runs(), list[dict[str, Any]]()
    for name in LEFT_OUT:
        found = left_out(past, name)
        rows.append(summary(name, "a quarter or less", found))
        below = 0.0
        for share, most in ABOUT.items():
            own = found[(found["early"] > below) & (found["early"] <= most)]
            rows += [summary(name, share, own)] if len(own) else []
            far = own[past.loc[own.index, "study"].str.startswith(LONG)]
            rows += [summary(name, f"{share}, of 10,119 samples", far)] if len(far) else []
            below = most
    retired = past[past["study"].isin(RETIRED)].groupby("study")["commit"].first().to_dict()
    about = {"studies": past.groupby("study").size().to_dict(), "retired": retired, "interval": COVERAGE, "rows": rows}
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
    of = ", ".join(f"{study} ({count})" for study, count in about["studies"].items())
    gone = ", ".join(f"{study} ({commit})" for study, commit in about["retired"].items())
    made = f"Made by `python validation/forecast.py`, intervals of {about['interval']:.0%}; runs by study: {of}."
    made += f"\nOf these only the history has the folders of {gone}."
    return "\n".join([f"# {title}", rest, made, "", *lines]) + "\n"


if __name__ == "__main__":
    main()
