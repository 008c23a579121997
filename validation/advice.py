"""Is the advice good? What `forgetting advise` would have chosen from pilots, against what the whole runs then kept.

Of studies that have ways which `advise` tries, on several students, half of the last dose is taken as the planned one:
pilots are the beginnings of its runs, which they equal bit for bit. Regret is the retention of a skill under the best
of these ways minus that under the chosen one, both where as much is learned as by plain tuning at the planned dose, for
a user who wants .95 kept; a way that does not get there within twice the dose keeps nothing. Forecasts are learned
without the student (and all of its number), or without the contamination that they are made for. Beside the pilots'
advice stand advice without any, the way that keeps most in the mean of other students, or of other contaminations,
three dumb rules, and each way taken always. Means are over students with their 95% interval. The best of noisy ways
looks better than it is, so that no choice has a regret of 0: what the best way taken always has is a measure of that.
With ``--ship`` nothing is measured: the table that `advise` quotes is written from committed pages of other studies.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from forgetting import Doses, Evaluation, load, simulate
from forgetting.analysis.forecast import Forecaster
from forgetting.analysis.fronts import mean_interval
from forgetting.analysis.learning_paths import mitigation, multiple
from forgetting.analysis.record_reading import part_name
from forgetting.analysis.shipped_runs import WHOLE, shipped_runs
from forgetting.analysis.study_folder import StudyFolder
from forgetting.errors import UsageError, run_script
from forgetting.own_model.advice import HALF_REPLAYED, NOTHING_TOLD
from forgetting.own_model.choice import choose
from forgetting.own_model.plans import planned as plan_of
from forgetting.own_model.plans import words
from forgetting.own_model.prospects import _measured, _pilot, prospects
from forgetting.study.spec_files import load_spec

ROOT = Path(__file__).parents[1]
WANTED = 0.95  # retention
SHARES = (1 / 4, 1 / 2)  # of the planned dose, at which pilots end; within the warm-up ways cannot be told apart
RULES = {"plain tuning": "nothing", "rate x 0.25": "a quarter of the rate"}  # dumb rules beside "always replay 5%"
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


@lru_cache
def tried() -> dict[str, tuple[dict[str, Any], float]]:
    """What `advise` tries, plain tuning first: its settings as a record has them, what a sample costs in it."""
    plan = plan_of("34k", "dialogue", {"maths": WANTED})
    settings = [json.loads(json.dumps(arm.mitigation.settings())) for arm in plan.study.arms]
    return {words(one): (one, cost) for one, cost in zip(settings, plan.costs().values(), strict=True)}


def ways(study: StudyFolder) -> dict[str, dict[str, str]]:
    """By contamination the arms that are ways which `advise` tries, plain tuning first, in words.

    A shift below 1 is replay.
    """
    last = study.scores.groupby("arm")["dose"].max()
    whole, found = set(last[last == last.max()].index), dict[str, dict[str, str]]()
    for way, (wanted, _) in tried().items():
        for arm in study.record["arms"]:
            own, shift = dict(mitigation(arm)), float(arm.get("shift", 1))
            if own["name"] == "none" and shift < 1:
                own = {"name": "replay", "share": round(1 - shift, 6), "pool": 0}
            usual = multiple(arm) == 1 and arm.get("rate_policy", "constant") == "constant"
            if usual and arm["name"] in whole and all(own.get(k) == v for k, v in wanted.items()):
                found.setdefault(part_name(arm["contamination"]), {})[str(arm["name"])] = way
    return {source: own for source, own in found.items() if len(own) > 2}


def part(study: StudyFolder, arms: Iterable[str], size: str, student: int, dose: int) -> StudyFolder:
    """Arms of one student up to a dose, as a study of their own; its one seed, where it had several, is the first."""
    scores = study.scores
    own = (scores["student"] == size) & (scores["distillation_seed"] == student) & (scores["dose"] <= dose)
    kept = scores[own & scores["arm"].isin(list(arms))]
    kept = kept[kept["seed"] == kept["seed"].min()]
    names = [name for name in arms if name in set(kept["arm"])]
    by_name = {str(arm["name"]): arm for arm in study.record["arms"]}
    one = StudyFolder(study.folder, {**study.record, "arms": [by_name[name] for name in names]})
    one.__dict__ |= {"scores": kept, "ledger": None, "arm_names": tuple(names)}
    return one


def kept_in_the_end(study: StudyFolder, planned: int, skill: str) -> dict[str, tuple[float, float]]:
    """By arm, retention where as much is learned as by plain tuning at the planned dose, and the samples that it took.

    What never learns it has kept 0; samples (NaN then) are a multiple of the planned ones.
    """
    runs = {name: _pilot(study, name, [skill]) for name in study.arm_names}
    plain = next(iter(runs.values()))
    level, found = float(np.interp(planned, plain.dose_D, plain.learning_D)), dict[str, tuple[float, float]]()
    for name, run in runs.items():
        dose = run.dose_of(level) if run.learning_D.max() >= level else math.nan
        found[name] = (_measured(study, name, skill, dose).value if dose == dose else 0.0), dose / planned
    return found


def outcomes(study: StudyFolder, planned: int, skill: str) -> pd.DataFrame:
    """A row a contamination, size, student and way: retention in the end, and operations as a multiple of plain's."""
    rows = []
    learned = study.scores[(study.scores["skill"] == skill) & (study.scores["status"] == "ok")]
    students = learned[["student", "distillation_seed"]].drop_duplicates().itertuples(index=False, name=None)
    tried_here = ways(study)
    for size, student in list(students):
        for source, arms in tried_here.items():
            own = part(study, arms, size, student, 2 * planned)
            if next(iter(arms)) not in own.arm_names:
                continue  # a sweep that chose its runs has no plain tuning of this student
            found = kept_in_the_end(own, planned, skill)
            for arm, (kept, times) in found.items():
                head = dict(zip(HEAD, (source, size, int(student)), strict=True)) | {"way": arms[arm], "kept": kept}
                rows.append(head | {"operations": times * tried()[arms[arm]][1] if times == times else None})
    return pd.DataFrame(rows)


def by_pilots(
    study: StudyFolder, planned: int, past: pd.DataFrame, ends: pd.DataFrame, out: str, skill: str
) -> list[dict[str, Any]]:
    """A row a student, contamination and length of pilots: the chosen way; ``out`` is left out of the past runs."""
    methods, tried_here, rows, keep = frozenset(past["method"]), ways(study), list[dict[str, Any]](), {skill: WANTED}
    number = past["student"].str.extract(r"-d(\d+)$")[0].astype(int)
    for value in ends[out].unique():
        rest = past[number != value] if out == "student" else past[past["source"] != value]
        forecaster = dataclasses.replace(Forecaster.learned(rest), wary=True)
        for head, own in ends[ends[out] == value].groupby(HEAD, sort=False):
            source, size, student = head
            arms, kept = tried_here[source], own.set_index("way")["kept"]
            for share in SHARES:
                pilots = part(study, arms, size, student, round(share * planned))
                costs = {arm: tried()[way][1] for arm, way in arms.items()}
                told = prospects(pilots, planned, [skill], costs, forecaster, methods)
                usual = next((arm for arm, way in arms.items() if way == HALF_REPLAYED), "")
                choice = choose(told, keep, usual)
                chosen, led = arms[choice.arm], arms[choose(told, keep).arm]
                inside = [one.kept[skill].low <= kept[arms[one.arm]] <= one.kept[skill].high
                          for one in told if one.learns and one.told and not one.measured]  # fmt: skip
                rows.append(dict(zip(HEAD, head, strict=True)) | {
                    "pilots": share, "without": out, "chosen": chosen, "how surely": choice.verdict,
                    "regret": kept.max() - kept[chosen], "led": led, "regret of what led": kept.max() - kept[led],
                    "told": len(inside), "covered": sum(inside),
                })  # fmt: skip
    return rows


def by_rules(ends: pd.DataFrame) -> pd.DataFrame:
    """Regrets without pilots: the best way of other students, of other contaminations; each way taken always."""
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
        always = {way: kept.max() - kept[way] if way in kept.index else math.nan for way in tried()}
        rows.append(row | {f"always {RULES.get(way, way)}": regret for way, regret in always.items()})
    return pd.DataFrame(rows).dropna(axis="columns", how="all")


def summary(found: pd.DataFrame, rules: pd.DataFrame) -> pd.DataFrame:
    """A row a rule, contamination and size, and over all of these: mean regret, its interval, and the worst.

    An interval is over students, of which there may be one a size: then sizes have no row of their own.
    """
    rows = []
    kinds = {"advice by pilots": "regret", "what leads in pilots": "regret of what led"}
    tables = [(f"{what} of {share:g}, forecast without the {out}", own, column)
              for (out, share), own in found.groupby(["without", "pilots"], sort=False)
              for what, column in kinds.items()]  # fmt: skip
    for name, frame, column in [*tables, *((rule, rules, rule) for rule in rules.columns if rule not in HEAD)]:
        parts: list[tuple[str, str, pd.DataFrame]] = [("all", "all", frame)]
        parts += [(str(source), "all", own) for source, own in frame.groupby("contamination", sort=False)]
        cells = frame.groupby(HEAD[:2], sort=False)
        parts += [(*key, own) for key, own in cells if rules["student"].nunique() > 1]
        for source, size, own in parts:
            values = own.groupby(["size", "student"])[column].mean().to_numpy(float)
            mean, low, high = mean_interval(values)
            row = {"rule": name, "contamination": source, "size": size, "students": int(np.isfinite(values).sum())}
            rows.append(row | {"regret": mean, "low": low, "high": high, "worst": float(own[column].max())})
    return pd.DataFrame(rows)


def ship(names: Sequence[str]) -> None:
    """Write the table of the package: each way taken always, and what led in the shortest pilots with nothing told."""
    about = [json.loads((ROOT / "results" / "validation" / f"{name}.json").read_text()) for name in names]
    rules, ends, pilots = (
        pd.concat([pd.DataFrame(one[key]) for one in about], ignore_index=True) for key in ("rules", "ends", "rows")
    )
    kinds = {f"always {RULES.get(way, way)}": way for way in tried()}
    frames = [(way, rules, name) for name, way in kinds.items() if name in rules]
    short = pilots[(pilots["without"] == "contamination") & (pilots["pilots"] == SHARES[0]) & (pilots["told"] == 0)]
    rows = []
    for rule, frame, column in [*frames, (NOTHING_TOLD, short, "regret of what led")]:
        own = frame[frame[column].notna()]
        values = own.groupby(["size", "student"])[column].mean().to_numpy(float)
        mean, low, high = mean_interval(values)
        about_it = {name: own[name].nunique() for name in ("contamination", "size")}
        rows.append({
            "rule": rule, "students": len(values), "sizes": about_it["size"],
            "contaminations": about_it["contamination"], "regret": mean, "low": low, "high": high,
            "worst": float(own[column].max()),
            "operations": float(ends.loc[ends["way"] == rule, "operations"].astype(float).mean()),
        })  # fmt: skip
    pd.DataFrame(rows).to_csv(WHOLE, index=False, float_format="%.4g", lineterminator="\n")


def page(
    studies: Sequence[StudyFolder], given: argparse.Namespace, planned: int, table: pd.DataFrame, found: pd.DataFrame,
    ends: pd.DataFrame,
) -> str:  # fmt: skip
    """The result as a page."""
    title, rest = (__doc__ or "").split("\n", 1)
    whole = table[table["contamination"] == "all"].drop(columns=["contamination", "size"])
    always = whole[whole["rule"] == "always replay 5%"].iloc[0]
    below = "below" if always["high"] < GOOD else "not surely below" if always["regret"] < GOOD else "above"
    made = ", ".join(f"{study.folder.name} ({str(study.record['commit'])[:7]})" for study in studies)
    lines = [
        f"# {title}",
        rest,
        f"By `python validation/advice.py` on {made}: {given.skill}, planned dose {planned:,}.",
    ]
    lines += [
        "",
        *_table(whole),
        "",
        f"Always 5% of replay has a regret {below} {GOOD}.",
        "",
        f"![]({given.name}.png)",
        "",
    ]
    cost = ends.groupby(["contamination", "way"], sort=False)[["kept", "operations"]].mean().reset_index()
    lines += ["Kept, and operations at equal learning as a multiple of plain tuning's (of those that learn it):", ""]
    lines += [*_table(cost), ""]
    covered = found.groupby(["without", "pilots"])[["told", "covered"]].sum()
    lines += [
        f"- {share:g} of the dose, without the {out}: 80% intervals cover {row['covered']} of {row['told']} told"
        for (out, share), row in covered.iterrows()
    ]
    chosen = found.groupby(["without", "pilots", "chosen", "how surely"]).size().rename("times").reset_index()
    return "\n".join([*lines, "", *_table(table[table["contamination"] != "all"]), "", *_table(chosen)]) + "\n"


def figure(table: pd.DataFrame) -> Figure:
    """Mean regret of each rule with its interval, a panel a contamination."""
    own = table[(table["contamination"] != "all") & (table["size"] == "all")]
    rules, cells = list(dict.fromkeys(own["rule"])), list(own.groupby("contamination", sort=False))
    drawn = Figure(figsize=(4.5 + 2.5 * len(cells), 1.2 + 0.3 * len(rules)), layout="constrained")
    axes = drawn.subplots(1, len(cells), sharey=True, squeeze=False)[0]
    for ax, (source, cell) in zip(axes, cells, strict=True):
        one = cell.set_index("rule").reindex(rules)
        place = np.arange(len(rules))
        ax.hlines(place, one["low"], one["high"], color="0.5")
        ax.plot(one["regret"], place, "o", color="black", markersize=4)
        ax.axvline(GOOD, color="0.8", zorder=0)
        ax.set_title(f"{str(source).replace('_', ' ')} ({one['students'].max():.0f} students)", fontsize=9)
        ax.set_xlim(-0.05, 1.05)
    axes[0].set_yticks(np.arange(len(rules)), rules, fontsize=8)
    axes[0].invert_yaxis()
    drawn.supxlabel("regret: what the best way retains, less what the chosen one does (95% over students)", fontsize=9)
    return drawn


def _table(frame: pd.DataFrame) -> list[str]:
    cells = [[f"{v:.3f}" if isinstance(v, float) else str(v) for v in row] for row in frame.itertuples(index=False)]
    return ["| " + " | ".join(line) + " |" for line in (list(frame), ["---"] * frame.shape[1], *cells)]


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", help="folders of studies; left out: a small one is run")
    parser.add_argument("--output", default="runs", help="where the small study is run")
    parser.add_argument("--skill", default="maths", help="that is to be kept")
    parser.add_argument("--name", default="advice", help="of the files in results/validation")
    parser.add_argument("--ship", nargs="+", metavar="NAME", help="names of pages to write the package's table from")
    given = parser.parse_args()
    if given.ship:
        ship(given.ship)
        return
    studies: list[StudyFolder] = [load(folder) for folder in given.studies] or [small(Path(given.output))]
    past, planned = shipped_runs(), int(studies[0].scores["dose"].max()) // 2
    own = [outcomes(study, planned, given.skill) for study in studies]
    for study, ends in zip(studies, own, strict=True):
        if ends.empty:
            needs = f"must be of a study that has learned {given.skill}, with three ways or more that advise tries"
            raise UsageError(f"{study.folder}: {needs}")
    found = pd.DataFrame([
        row for study, ends in zip(studies, own, strict=True)
        for out in HEAD[:3:2] for row in by_pilots(study, planned, past, ends, out, given.skill)
    ])  # fmt: skip
    ends = pd.concat(own, ignore_index=True)
    rules = by_rules(ends)
    table = summary(found, rules)
    target = ROOT / "results" / "validation"
    about = {"rows": found.to_dict("records"), "rules": rules.to_dict("records"), "ends": ends.to_dict("records")}
    target.joinpath(f"{given.name}.json").write_text(json.dumps(about, indent=1) + "\n")
    target.joinpath(f"{given.name}.md").write_text(page(studies, given, planned, table, found, ends))
    FigureCanvasAgg(figure(table)).print_png(target / f"{given.name}.png", metadata={"Software": None})  # type: ignore[no-untyped-call]
    print(page(studies, given, planned, table, found, ends))


if __name__ == "__main__":
    run_script(main)
