"""What a perturbed wording costs the likelihood of the gold answer, by the rules registered for it.

    python experiments/table_1_published.py results/table_1_published-...

NLL a token of the gold answer, perturbed less original, paired by item, before and after the contamination, and the
change of that. 95%: Student's t over items. Takes the ledger; writes ``wordings.csv``.
"""

from __future__ import annotations

import sys

import pandas as pd

from forgetting import load
from forgetting.analysis.fronts import mean_interval
from forgetting.analysis.scores import PROBE

ORIGINAL = "original"


def main(folder: str) -> None:
    """Print the table and write it."""
    study = load(folder)
    if study.ledger is None:
        raise SystemExit(
            f"{folder}: has no ledger, which a committed study is without; table_1_published.yaml makes it"
        )
    rows = study.ledger[study.ledger["benchmark"] != PROBE]
    place = rows["item"].str.replace(r".*/", "", regex=True)
    rows = rows.assign(nll=rows["nll_sum"] / rows["gold_tokens"], place=place)
    last, found = int(rows["dose"].max()), []
    for benchmark, own in rows.groupby("benchmark", sort=False, observed=True):
        nll = own.pivot(index="place", columns=["variant", "dose"], values="nll")
        for variant in own["variant"].unique():
            before, after = (
                nll[variant, dose] - (0.0 if variant == ORIGINAL else nll[ORIGINAL, dose]) for dose in (0, last)
            )
            both = {"before": before, "after": after, "change": after - before}
            right = int((own[own["variant"] == variant]["verdict"] == "right").sum())
            for what, values in both.items():
                known = values.dropna().to_numpy(float)
                found.append((benchmark, variant, what, len(known), right, *mean_interval(known)))
    table = pd.DataFrame(found, columns=["benchmark", "variant", "what", "items", "right", "nll", "low", "high"])
    print(table.round(3).to_string(index=False))
    table.round(4).to_csv(study.folder / "wordings.csv", index=False)


if __name__ == "__main__":
    main(sys.argv[1])
