"""Does dialogue make students hang on keywords, and undo what descriptions taught? By the rule registered for it.

    python experiments/keywords_dialogue.py results/keywords_dialogue-...

It takes the ledger, for who is followed in conflicts. Intervals: 95%, Student's t over students, paired by seed.
"""

from __future__ import annotations

import sys

import pandas as pd

from forgetting import load
from forgetting.analysis.fronts import mean_interval
from forgetting.analysis.keyword_dependence import CONFLICTS

RUN = ["arm", "student", "distillation_seed", "dose"]


def measures(folder: str) -> pd.DataFrame:
    """Of each student and look: dependence, that beyond another wording, the keyword's part of conflicts."""
    result = load(folder)
    scores = result.scores
    own = scores[(scores["benchmark"] == "described") & scores["depth"].isna()]
    table = own.pivot_table(index=RUN, columns="variant", values="accuracy", observed=True)
    found = pd.DataFrame({"keyword": table["original"], "description": table["functional"]})
    found["dependence"] = (table["original"] - table["functional"]) / table["original"]
    found["beyond"] = found["dependence"] - (table["original"] - table["rephrased"]) / table["original"]
    assert result.ledger is not None
    asked = result.ledger[result.ledger["variant"].isin(CONFLICTS)]
    follows = asked.assign(k=asked["verdict"].eq("right"), d=asked["kind"].eq("description"))
    shares = follows.groupby([*RUN, "variant"], observed=True)[["k", "d"]].mean().groupby(RUN, observed=True).mean()
    return found.assign(won=shares["k"] / (shares["k"] + shares["d"]))


def told(values: pd.Series) -> str:
    """A mean with its interval."""
    mean, low, high = mean_interval(values.to_numpy(float))
    return f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"


def main(folder: str) -> None:
    """Print what the rule asks."""
    table = measures(folder)
    arms = list(table.index.unique("arm"))
    plain, more, covered = (next(a for a in arms if word in a) for word in ("dialogue-shift", ".more", ".covered"))
    print(table.groupby(["student", "arm", "dose"]).mean().round(3).to_string())
    for student in table.index.unique("student"):

        def at(arm: str, dose: int, name: str, of: str = student) -> pd.Series:
            return table.loc[(arm, of)].xs(dose, level="dose")[name]

        for name in ("beyond", "dependence", "won", "keyword", "description"):
            print(f"\n{student}, {name}")
            print(f"  dialogue alone, 1,280 less 0 {told(at(plain, 1280, name) - at(plain, 0, name))}")
            print(f"  dialogue alone, 3,840 less 0 {told(at(plain, 3840, name) - at(plain, 0, name))}")
            print(f"  more of the same, 2,560 less 0 {told(at(more, 2560, name) - at(more, 0, name))}")
            print(f"  then dialogue, 3,840 less 2,560 {told(at(more, 3840, name) - at(more, 2560, name))}")
            apart = [at(covered, dose, name) - at(more, dose, name) for dose in (2560, 3840)]
            share = apart[1].mean() / apart[0].mean()
            print(f"  covered less not, at 2,560 {told(apart[0])}, at 3,840 {told(apart[1])}, left {share:.2f}")


if __name__ == "__main__":
    main(sys.argv[1])
