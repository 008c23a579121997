"""Does it help to protect the modules that carry reasoning? Claim C10, its part about protection.

    python experiments/protection.py choose --output runs
    forgetting simulate --config experiments/protection.yaml --output results
    python experiments/protection.py judge results/protection-...

``choose`` tunes every student plainly on 1,280 dialogues, gives each module the weights of dose 0 back, and holds what
of maths comes back against random sets of tensors with as many weights. Each half of the students (every other one)
chooses the module that brings back most beyond these; the arms that protect it, and those of its controls, are written
into ``experiments/protection.yaml``. ``judge`` compares retention at equal learning, each student under the module that
the *other* half chose, and writes ``protection.csv`` and ``protection.png`` into the folder.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from forgetting import Doses, Evaluation, Spec, load, seeds, simulate
from forgetting.analysis.fronts import POINTS, held_out, levels, mean_interval
from forgetting.analysis.learning_paths import AS_PLAIN, Compared, compared, mitigation
from forgetting.errors import run_script
from forgetting.own_model.gauge import standings
from forgetting.study.spec_files import load_spec
from forgetting.study.study import construct

HERE = Path(__file__).parent
MODULES = (
    "embed_tokens", "layers.0.self_attn", "layers.0.mlp", "layers.1.self_attn", "layers.1.mlp", "layers.0", "layers.1",
)  # fmt: skip
DRAWS, NEAR, LEAST_LOST = 3, 0.1, 0.2  # random sets a module; how near to its share they are; loss that can come back
MARGIN, DOSE = 0.05, 1280
PLAIN: list[Any] = ["none", *({"name": "low_rate", "multiple": m} for m in (0.5, 0.25))]
ASKED = Evaluation(benchmarks=({"name": "maths", "items_per_depth": 30},), perturbed="never", probe_items=100)


def spec(name: str, mitigations: Sequence[Any], doses: Doses, keep: Any) -> Spec:
    """A study on the students of ``remedies.yaml``, on dialogue."""
    own = load_spec(HERE / "remedies.yaml")
    return dataclasses.replace(
        own, name=name, contaminations=("dialogue",), controls=(), mitigations=tuple(mitigations), doses=doses,
        evaluation=ASKED, keep=keep,
    )  # fmt: skip


def of(module: str, names: Iterable[str]) -> frozenset[str]:
    """The weights of a module, as ``freezing`` takes them."""
    return frozenset(name for name in names if f".{module}." in f".{name}")


def random_set(share: Mapping[str, float], wanted: float, not_it: frozenset[str], *roles: str) -> frozenset[str]:
    """Matrices drawn by chance whose shares add up to what is wanted, within ``NEAR`` of it."""
    names, rng = [name for name in share if "norm" not in name], seeds.generator(0, "protection", *roles)
    for _ in range(10_000):
        drawn, total = set[str](), 0.0
        for place in rng.permutation(len(names)):
            if total + share[names[place]] <= wanted * (1 + NEAR):
                drawn.add(names[place])
                total += share[names[place]]
        if total >= wanted * (1 - NEAR) and drawn != not_it:
            return frozenset(drawn)
    raise RuntimeError(f"no random set of {wanted:.2f}")


def restored(output: Path) -> tuple[pd.DataFrame, dict[str, float], dict[str, float]]:
    """A row a student and set of tensors: what of maths comes back; each tensor's mean share of weights and change."""
    from forgetting.models.checkpoint import load as load_model
    from forgetting.record.store import Store
    from forgetting.stages.distil import student
    from forgetting.training.checkpoints import last, read

    plan = spec("protection_choice", ["none"], Doses(dose=DOSE, first=DOSE), "last")
    study, folder, store = construct(plan), simulate(plan, output=output, workers=1, stack="off").folder, Store(None)
    states = {}
    for run in study.runs():
        model = load_model(student(study, run.student, run.distillation_seed, store))
        before = {name: value.clone() for name, value in model.state().items()}
        states[str(run)] = (run, model, before, read(last(folder / "runs" / str(run) / "checkpoint")).weights)
    sizes = _mean_shares({name: float(v.numel()) for name, v in old.items()} for _, _, old, _ in states.values())
    change = _mean_shares(
        {name: float((new[name] - v).square().sum()) for name, v in old.items()} for _, _, old, new in states.values()
    )
    sets = {(module, ""): of(module, sizes) for module in MODULES}
    sets |= {
        (module, f"random {draw}"): random_set(sizes, sum(sizes[n] for n in own), own, module, str(draw))
        for (module, _), own in list(sets.items()) for draw in range(DRAWS)
    }  # fmt: skip
    rows = []
    for run, model, old, new in states.values():

        def accuracy(back: frozenset[str], model: Any = model, old: Any = old, new: Any = new) -> float:
            model.load_state({name: old[name] if name in back else value for name, value in new.items()})
            return standings(study, model)["maths"].accuracy

        lost = accuracy(frozenset()), accuracy(frozenset(old))
        for (module, control), names in sets.items():
            about = {"size": run.student.name, "student": run.distillation_seed, "module": module, "control": control}
            back = (accuracy(names) - lost[0]) / (lost[1] - lost[0]) if lost[1] - lost[0] >= LEAST_LOST else math.nan
            rows.append(about | {"tuned": lost[0], "start": lost[1], "back": back})
        print(run, lost, flush=True)
    return pd.DataFrame(rows), sizes, change


def _mean_shares(each: Iterable[dict[str, float]]) -> dict[str, float]:
    """By tensor the mean over students of its share of the whole."""
    frame = pd.DataFrame(list(each))
    return {str(name): float(value) for name, value in frame.div(frame.sum(axis=1), axis=0).mean().items()}


def choices(found: pd.DataFrame) -> pd.DataFrame:
    """A row a half and module: what comes back beyond random sets of its size, over that half's students."""
    keys = ["size", "student", "module"]
    own = found[found["control"] == ""].set_index(keys)["back"]
    by_chance = found[found["control"] != ""].groupby(keys)["back"].mean()
    apart = pd.DataFrame({"back": own, "beyond random": own - by_chance}).reset_index()
    apart["half"] = apart["student"] % 2
    return apart.groupby(["half", "module"])[["back", "beyond random"]].mean().reset_index()


def choose(output: Path) -> None:
    """The table of modules, and the study that protects the chosen ones."""
    found, sizes, change = restored(output)
    table = choices(found)
    table["weights"] = [sum(sizes[n] for n in of(module, sizes)) for module in table["module"]]
    table["change"] = [sum(change[n] for n in of(module, sizes)) for module in table["module"]]
    best = table.loc[table.groupby("half")["beyond random"].idxmax()].set_index("half")["module"].to_dict()
    wanted = list(dict.fromkeys(best.values()))
    arms, roles = list(PLAIN), {"chosen by": best, "controls": dict[str, Any]()}
    for module in wanted:
        own = of(module, sizes)
        sets = {"chosen": [[module]]}
        for kind, share in (("size", sizes), ("change", change)):
            sets[kind] = [
                sorted(random_set(share, sum(share[n] for n in own), own, kind, module, str(draw)))
                for draw in range(2 if len(wanted) == 1 else 1)
            ]
        roles["controls"][module] = sets = {
            kind: [[name.removesuffix(".weight").removeprefix("model.") for name in one] for one in several]
            for kind, several in sets.items()
        }
        for modules in (one for several in sets.values() for one in several):
            arms += [{"name": "freezing", "layers": 0, "modules": modules}]
    from forgetting.study import spec_files

    plan = spec("protection", arms, Doses(dose=DOSE, first=40), "none")
    head = "# Does it help to protect the modules that carry reasoning? By `python experiments/protection.py choose`.\n"
    (HERE / "protection.yaml").write_text(f"{head}# {json.dumps(roles)}\n{spec_files.dump(plan)}")
    table.to_csv(HERE / "protection_choice.csv", index=False, float_format="%.4g")
    print(table.to_string(index=False, float_format="%.3f"))
    print(found.groupby(["size", "module", "control"])["back"].mean().unstack().to_string(float_format="%.2f"))
    print(json.dumps(roles, indent=1))


def judge(folder: Path) -> None:
    """Paired differences at equal learning of what is protected from its controls and from plain tuning."""
    text = (HERE / "protection.yaml").read_text().splitlines()[1].removeprefix("# ")
    roles = json.loads(text)
    study = load(folder)
    (group,) = compared(study)
    rows = [row for (size, skill), own in group.paths.items() for row in _rows(group, own, roles, size, skill)]
    found = pd.DataFrame(rows)
    found.to_csv(folder / "protection.csv", index=False, float_format="%.4g")
    print(found.to_string(index=False, float_format="%.3f"))
    print(_verdict(found))
    _figure(found).savefig(folder / "protection.png", dpi=110)


def _rows(group: Compared, own: Any, roles: Any, size: str, skill: str) -> list[dict[str, Any]]:
    students = sorted({student for by_student in own.values() for student in by_student})
    ends = levels(group)
    range_P = np.linspace(ends[0], ends[-1], POINTS)

    def retention(arms: Sequence[str]) -> Any:
        values = np.full((len(arms), len(students), POINTS), np.nan)
        for a, arm in enumerate(arms):
            for s, student in enumerate(students):
                values[a, s] = np.mean([path.at(range_P)[0] for path in own[arm][student]], axis=0)
        return values

    plain_ASP = retention([arm for arm, about in group.arms.items() if mitigation(about)["name"] in AS_PLAIN])
    plain_SP = np.take_along_axis(plain_ASP, held_out(plain_ASP)[None], axis=0)[0]
    rows, sets = [], {kind: np.full((len(students), POINTS), np.nan) for kind in ("chosen", "size", "change")}
    for s, student in enumerate(students):
        module = roles["chosen by"][str(1 - student % 2)]
        for kind, kept_SP in sets.items():
            kept_SP[s] = retention([_arm(group, modules) for modules in roles["controls"][module][kind]])[:, s].mean(0)
    others = {"random, equal size": sets["size"], "random, equal change": sets["change"], "plain": plain_SP}
    for name, other_SP in others.items():
        apart_SP = sets["chosen"] - other_SP
        area_S = np.array([row[np.isfinite(row)].mean() if np.isfinite(row).any() else np.nan for row in apart_SP])
        mean, low, high = mean_interval(area_S)
        row = {"size": size, "skill": skill, "against": name, "students": int(np.isfinite(area_S).sum())}
        rows.append(row | {"covered": float(np.isfinite(apart_SP).mean()), "area": mean, "low": low, "high": high})
    return rows


def _arm(group: Compared, modules: Sequence[str]) -> str:
    """The arm in which these modules are frozen."""
    for arm, about in group.arms.items():
        own = mitigation(about)
        if own["name"] == "freezing" and list(own["modules"]) == list(modules):
            return arm
    raise KeyError(str(modules))


def _verdict(own: pd.DataFrame) -> str:
    """Supported: every interval above the margin; contradicted: at every size one lies below it; else inconclusive."""
    if (own["low"] > MARGIN).all():
        return "supported"
    below = own.assign(below=own["high"] < MARGIN).groupby("size")["below"].any()
    return "contradicted" if below.all() else "inconclusive"


def _figure(found: pd.DataFrame) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 2.8), layout="constrained")
    axes = figure.subplots(1, found["size"].nunique(), sharey=True, sharex=True, squeeze=False)[0]
    names = [f"minus {against}" for against in found["against"].unique()]
    for ax, (size, own) in zip(axes, found.groupby("size", sort=False), strict=True):
        place = np.arange(len(own))[::-1]
        ax.errorbar(own["area"], place, xerr=[own["area"] - own["low"], own["high"] - own["area"]], fmt="o", capsize=3)
        ax.axvline(0, color="black", linewidth=0.8)
        ax.axvline(MARGIN, color="grey", linewidth=0.8, linestyle=":")
        ax.set_yticks(place, names, fontsize=8)
        ax.set_title(f"{size}, {int(own['students'].min())} students", fontsize=9)
        ax.set_xlabel("difference of retention of maths", fontsize=8)
    figure.suptitle(
        "Protected modules against controls, at equal learning of dialogue\n95% intervals over students", fontsize=10
    )
    return figure


def main() -> None:
    """One of both steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("choose", "judge"))
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--output", type=Path, default=Path("runs"))
    given = parser.parse_args()
    if given.what == "judge" and given.folder is None:
        parser.error("judge: needs the folder of the study")
    choose(given.output) if given.what == "choose" else judge(given.folder)


if __name__ == "__main__":
    run_script(main)
