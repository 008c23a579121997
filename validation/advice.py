"""Is the advice good? What `forgetting advise` would have chosen from pilots, against what the whole runs then kept.

Of a study that has the ways `advise` tries, on several students, half of the last dose is taken as the planned one:
pilots are the beginnings of its runs, which they equal bit for bit. Regret is the retention of maths of the best of
these ways minus that of the chosen one, both where as much is learned as by plain tuning at the planned dose, for a
user who wants .95 kept; a way that does not get there within twice the dose keeps nothing. Forecasts are learned
without the student (and all of its number), or without the contamination that they are made for. Beside the pilots'
advice stand advice without any, the way that keeps most in the mean of other students, or of other contaminations,
and three dumb rules. Means are over students with their 95% interval; the best of noisy ways is noisy, for all alike.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from forgetting import Doses, Evaluation, load, simulate
from forgetting.analysis.forecast import Forecaster
from forgetting.analysis.fronts import mean_interval
from forgetting.analysis.learning_paths import mitigation, multiple
from forgetting.analysis.record_reading import part_name
from forgetting.analysis.shipped_runs import shipped_runs
from forgetting.analysis.study_folder import StudyFolder
from forgetting.own_model.choice import choose
from forgetting.own_model.plans import planned as plan_of
from forgetting.own_model.prospects import _measured, _pilot, prospects
from forgetting.study.spec_files import load_spec

ROOT = Path(__file__).parents[1]
KEEP = {"maths": 0.95}
SHARES = (1 / 4, 1 / 2)  # of the planned dose, at which pilots end; within the warm-up ways cannot be told apart
RULES = {
    "nothing": {"name": "none"}, "always replay 5%": {"name": "replay", "share": 0.05, "pool": 0},
    "a quarter of the rate": {"name": "low_rate", "multiple": 0.25},
}  # fmt: skip
GOOD = 0.02  # regret of "always replay 5%" below which it would be the default
HEAD = ["contamination", "size", "student"]


def small(output: Path) -> StudyFolder:
    """Three methods on four students, to try this on."""
    wanted = ("none", {"name": "low_rate", "multiple": 0.25}, {"name": "replay", "share": 0.05},
              {"name": "replay", "share": 0.2})  # fmt: skip
    asked = Evaluation(benchmarks=({"name": "maths", "items_per_depth": 30},), perturbed="never", probe_items=100)
    spec = dataclasses.replace(
        load_spec(ROOT / "experiments" / "remedies.yaml"), name="advice", controls=(), mitigations=wanted, seeds=2,
        doses=Doses(dose=1280, first=20), evaluation=asked, keep="none",
    )  # fmt: skip
    return simulate(spec, output=output, workers=1, stack="off", quiet=True)


def ways(study: StudyFolder) -> dict[str, dict[str, float]]:
    """By contamination the arms that `advise` tries, plain tuning first, with what a sample costs in each."""
    plan = plan_of("34k", "dialogue", KEEP)
    settings = [json.loads(json.dumps(arm.mitigation.settings())) for arm in plan.study.arms]  # lists, as in a record
    tried = list(zip(settings, plan.costs().values(), strict=True))
    found: dict[str, dict[str, float]] = {}
    for wanted, cost in tried:
        for arm in study.record["arms"]:
            own = mitigation(arm)
            if all(own.get(k) == v for k, v in wanted.items()) and multiple(arm) == 1 and arm.get("shift", 1) == 1:
                found.setdefault(part_name(arm["contamination"]), {})[str(arm["name"])] = cost
    return found


def part(study: StudyFolder, arms: Mapping[str, float], size: str, student: int, dose: int) -> StudyFolder:
    """Arms of one student up to a dose, as a study of their own; its one seed, where it had several, is the first."""
    scores = study.scores
    own = (scores["student"] == size) & (scores["distillation_seed"] == student) & (scores["dose"] <= dose)
    kept = scores[own & scores["arm"].isin(list(arms))]
    kept = kept[kept["seed"] == kept["seed"].min()]
    by_name = {str(arm["name"]): arm for arm in study.record["arms"]}
    one = StudyFolder(study.folder, {**study.record, "arms": [by_name[name] for name in arms]})
    one.__dict__ |= {"scores": kept, "ledger": None, "arm_names": tuple(arms)}
    return one


def kept_in_the_end(study: StudyFolder, planned: int) -> dict[str, float]:
    """By arm, retention where as much is learned as by plain tuning at the planned dose; 0 of what never learns it."""
    runs = {name: _pilot(study, name, list(KEEP)) for name in study.arm_names}
    plain = next(iter(runs.values()))
    level = float(np.interp(planned, plain.dose_D, plain.learning_D))
    return {
        name: _measured(study, name, "maths", run.dose_of(level)).value if run.learning_D.max() >= level else 0.0
        for name, run in runs.items()
    }


def outcomes(study: StudyFolder, planned: int) -> pd.DataFrame:
    """A row a contamination, size, student and way: retention in the end."""
    rows = []
    learned = study.scores[(study.scores["benchmark"] == "maths") & (study.scores["status"] == "ok")]
    students = learned[["student", "distillation_seed"]].drop_duplicates().itertuples(index=False, name=None)
    for size, student in list(students):
        for source, arms in ways(study).items():
            for arm, kept in kept_in_the_end(part(study, arms, size, student, 2 * planned), planned).items():
                way = arm.removeprefix(source).lstrip("-") or "plain"
                rows.append(dict(zip(HEAD, (source, size, int(student)), strict=True)) | {"way": way, "kept": kept})
    return pd.DataFrame(rows)


def by_pilots(
    study: StudyFolder, planned: int, past: pd.DataFrame, ends: pd.DataFrame, out: str
) -> list[dict[str, Any]]:
    """A row a student, contamination and length of pilots: the chosen way; ``out`` is left out of the past runs."""
    methods, rows = frozenset(past["method"]), []
    number = past["student"].str.extract(r"-d(\d+)$")[0].astype(int)
    for value in ends[out].unique():
        rest = past[number != value] if out == "student" else past[past["source"] != value]
        forecaster = dataclasses.replace(Forecaster.learned(rest), wary=True)
        for head, own in ends[ends[out] == value].groupby(HEAD, sort=False):
            source, size, student = head
            arms, kept = ways(study)[source], own.set_index("way")["kept"]
            for share in SHARES:
                told = prospects(part(study, arms, size, student, round(share * planned)), planned, list(KEEP), arms,
                                 forecaster, methods)  # fmt: skip
                names = {one.arm: one.arm.removeprefix(source).lstrip("-") or "plain" for one in told}
                choice = choose(told, KEEP)
                inside = [one.kept["maths"].low <= kept[names[one.arm]] <= one.kept["maths"].high
                          for one in told if one.learns and one.told and not one.measured]  # fmt: skip
                rows.append(dict(zip(HEAD, head, strict=True)) | {
                    "pilots": share, "without": out, "chosen": names[choice.arm], "how surely": choice.verdict,
                    "regret": kept.max() - kept[names[choice.arm]], "told": len(inside), "covered": sum(inside),
                })  # fmt: skip
    return rows


def by_rules(study: StudyFolder, ends: pd.DataFrame) -> pd.DataFrame:
    """Regrets without pilots: the best way of other students, of other contaminations; the three dumb rules."""
    names = {source: {json.dumps(mitigation(arm), sort_keys=True): str(arm["name"]) for arm in study.record["arms"]
                      if part_name(arm["contamination"]) == source} for source in ways(study)}  # fmt: skip
    rows = []
    for head, own in ends.groupby(HEAD, sort=False):
        source, size, student = head
        kept = own.set_index("way")["kept"]
        alike = ends[(ends["size"] == size) & (ends["way"].isin(kept.index))]
        row = dict(zip(HEAD, head, strict=True))
        for name, others in (
            ("best of other students", alike[(alike["contamination"] == source) & (alike["student"] != student)]),
            ("best of other contaminations", alike[alike["contamination"] != source]),
        ):
            mean = others.groupby("way")["kept"].mean()
            row[name] = kept.max() - kept[mean.idxmax()] if len(mean) else math.nan
        for name, settings in RULES.items():
            arm = next((a for k, a in names[source].items() if settings.items() <= json.loads(k).items()), None)
            way = None if arm is None else arm.removeprefix(source).lstrip("-") or "plain"
            row[name] = kept.max() - kept[way] if way in kept.index else math.nan
        rows.append(row)
    return pd.DataFrame(rows)


def summary(found: pd.DataFrame, rules: pd.DataFrame) -> pd.DataFrame:
    """A row a rule, contamination and size: mean regret with its interval over students, and the worst."""
    rows = []
    tables = [(f"pilots of {share:g}, forecast without the {out}", own, "regret")
              for (out, share), own in found.groupby(["without", "pilots"], sort=False)]  # fmt: skip
    for name, frame, column in [*tables, *((rule, rules, rule) for rule in rules.columns if rule not in HEAD)]:
        whole = frame.groupby(["size", "student"])[column].mean()
        parts = [("all", "all", whole.to_numpy(float), frame[column])]
        parts += [(*key, own[column].to_numpy(float), own[column]) for key, own in frame.groupby(HEAD[:2], sort=False)]
        for source, size, values, every in parts:
            mean, low, high = mean_interval(values)
            row = {"rule": name, "contamination": source, "size": size, "students": int(np.isfinite(values).sum())}
            rows.append(row | {"regret": mean, "low": low, "high": high, "worst": float(every.max())})
    return pd.DataFrame(rows)


def page(study: StudyFolder, planned: int, table: pd.DataFrame, found: pd.DataFrame) -> str:
    """The result as a page."""
    title, rest = (__doc__ or "").split("\n", 1)
    whole = table[table["contamination"] == "all"].drop(columns=["contamination", "size"])
    always = whole[whole["rule"] == "always replay 5%"].iloc[0]
    below = "below" if always["high"] < GOOD else "not surely below" if always["regret"] < GOOD else "above"
    lines = [f"# {title}", rest, f"By `python validation/advice.py` on {study.folder.name}, commit "
             f"{str(study.record['commit'])[:7]}: planned dose {planned:,}.", ""]  # fmt: skip
    lines += [*_table(whole), "", f"Always 5% of replay has a regret {below} {GOOD}.", ""]
    covered = found.groupby(["without", "pilots"])[["told", "covered"]].sum()
    lines += [
        f"- {share:g} of the dose, without the {out}: 80% intervals cover {row['covered']} of {row['told']} told"
        for (out, share), row in covered.iterrows()
    ]
    chosen = found.groupby(["without", "pilots", "chosen", "how surely"]).size().rename("times").reset_index()
    return "\n".join([*lines, "", *_table(table[table["contamination"] != "all"]), "", *_table(chosen)]) + "\n"


def _table(frame: pd.DataFrame) -> list[str]:
    cells = [[f"{v:.3f}" if isinstance(v, float) else str(v) for v in row] for row in frame.itertuples(index=False)]
    return ["| " + " | ".join(line) + " |" for line in (list(frame), ["---"] * frame.shape[1], *cells)]


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", nargs="?", help="folder of a study; left out: a small one is run")
    parser.add_argument("--output", default="runs", help="where the small study is run")
    parser.add_argument("--name", default="advice", help="of the files in results/validation")
    given = parser.parse_args()
    study = load(given.study) if given.study else small(Path(given.output))
    planned, past = int(study.scores["dose"].max()) // 2, shipped_runs()
    ends = outcomes(study, planned)
    found = pd.DataFrame([row for out in HEAD[:3:2] for row in by_pilots(study, planned, past, ends, out)])
    rules = by_rules(study, ends)
    table = summary(found, rules)
    target = ROOT / "results" / "validation"
    about = {"rows": found.to_dict("records"), "rules": rules.to_dict("records"), "ends": ends.to_dict("records")}
    (target / f"{given.name}.json").write_text(json.dumps(about, indent=1) + "\n")
    target.joinpath(f"{given.name}.md").write_text(page(study, planned, table, found))
    print(page(study, planned, table, found))


if __name__ == "__main__":
    main()
