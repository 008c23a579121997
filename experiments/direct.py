"""Does a budget of steps pay students that were also taught to answer directly? By the rules registered for it.

    python experiments/direct.py results/direct-...

Takes the ledger. Writes budgets.csv (accuracy by size, dose, prompt, way and depth) and modes.csv (in which mode greedy
answers were written) beside the record, figures/budgets-*.png, and prints what the rules ask. Intervals: 95%, Student's t
over students; of differences, of the same students' differences.
"""

from __future__ import annotations

import sys
from functools import cache

import numpy as np
import pandas as pd

from forgetting import load
from forgetting.answering.thinking_budget import OPENINGS
from forgetting.analysis.curves import ORIGINAL
from forgetting.analysis.failures import world_texts
from forgetting.analysis.fronts import mean_interval
from forgetting.analysis.ways_compared import GREEDY, MAJORITY
from forgetting.report import drawing
from forgetting.world.steps import read

STEPS, DIRECT = "maths", "direct"  # prompts: without the mode word, and with it
CELL = ["student", "arm", "benchmark", "dose", "answering"]
RUN = "distillation_seed"
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")


def budget(steps: int, opened: str = "") -> str:
    """The label of a thinking budget."""
    return f"thinking_budget budget={steps} unit=steps" + (f" opened={opened}" if opened else "")


@cache
def mode(text: str) -> str:
    """In which mode an answer was written: steps that are equations before the answer, the answer alone, neither."""
    steps, final = read(text)
    if final is None or None in steps:
        return "neither"
    return STEPS if steps else DIRECT


def told(values: np.ndarray) -> str:
    """A mean with its interval."""
    mean, low, high = mean_interval(values)
    return f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"


def accuracies(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each student, by cell and depth; depth 0 is all, and an oracle takes each item's depth for its budget."""
    depths = sorted(rows["depth"].unique())
    chosen = [rows]
    for more in range(3):
        for opened in OPENINGS:
            labels = {depth: budget(int(depth) + more, opened) for depth in depths}
            if set(labels.values()) <= set(rows["answering"]):
                own = rows[rows["answering"] == rows["depth"].map(labels)]
                chosen.append(own.assign(answering=f"oracle +{more} {opened}".strip()))
    every = pd.concat(chosen)
    every = pd.concat([every, every.assign(depth=0)])
    found = every.assign(accuracy=every["verdict"] == "right").groupby([*CELL, "depth", RUN], observed=True)
    return found[["accuracy", "generated"]].mean().reset_index()


def over_students(table: pd.DataFrame, by: list[str], value: str) -> pd.DataFrame:
    """Mean of a value with its interval."""
    rows = [(*key, len(own), *mean_interval(own[value].to_numpy(float))) for key, own in table.groupby(by, sort=False)]
    return pd.DataFrame(rows, columns=[*by, "students", value, "low", "high"])


class Student:
    """One size in one arm: accuracy and tokens of each student by prompt, dose, way and depth."""

    def __init__(self, own: pd.DataFrame) -> None:
        self.last = int(own["dose"].max())
        index = ["benchmark", "dose", "answering", "depth"]
        self.of = {
            v: own.pivot_table(index=RUN, columns=index, values=v, observed=True) for v in ("accuracy", "generated")
        }

    def right(self, prompt: str, way: str, dose: int, depth: int = 0) -> np.ndarray:
        return self.of["accuracy"][prompt, dose, way, depth].to_numpy(float)

    def voted(self, prompt: str, dose: int, tokens: np.ndarray) -> np.ndarray:
        """Accuracy of majority voting with so many tokens; more tokens than the most votes took: that of the most."""
        names = {str(way) for _, _, way, _ in self.of["accuracy"].columns if str(way).split()[0] in (GREEDY, MAJORITY)}
        cost, share = (
            np.array([self.of[value][prompt, dose, name, 0] for name in sorted(names)], float).T
            for value in ("generated", "accuracy")
        )
        order = np.argsort(cost, axis=1)
        return np.array([np.interp(np.log(t), np.log(c[o]), s[o]) for t, c, s, o in zip(tokens, cost, share, order)])

    def tokens(self, prompt: str, way: str, dose: int) -> np.ndarray:
        return self.of["generated"][prompt, dose, way, 0].to_numpy(float)


def judged(student: Student, depths: list[int]) -> None:
    """Print what the rules on accuracies ask."""
    at, last = student.right, student.last
    for depth in (0, *depths):
        name = f"depth {depth}" if depth else "all"
        print(f"  1. dose 0, {name}: steps {told(at(STEPS, GREEDY, 0, depth))}, direct {told(at(DIRECT, GREEDY, 0, depth))},"
              f" direct less steps {told(at(DIRECT, GREEDY, 0, depth) - at(STEPS, GREEDY, 0, depth))}")  # fmt: skip
    pays = {dose: at(STEPS, "oracle +0", dose) - at(STEPS, budget(0), dose) for dose in (0, last)}
    print(
        f"  2. gold budget less none: before {told(pays[0])}, after {told(pays[last])}, change {told(pays[last] - pays[0])}"
    )
    gain = {dose: at(STEPS, "oracle +0", dose) - at(STEPS, GREEDY, dose) for dose in (0, last)}
    print(
        f"     gold budget less greedy: before {told(gain[0])}, after {told(gain[last])}, change {told(gain[last] - gain[0])}"
    )
    for prompt in (STEPS, DIRECT):
        over = {
            dose: at(STEPS, "oracle +0", dose) - student.voted(prompt, dose, student.tokens(STEPS, "oracle +0", dose))
            for dose in (0, last)
        }
        print(f"     gold budget less majority of {prompt} answers of as many tokens: before {told(over[0])},"
              f" after {told(over[last])}, change {told(over[last] - over[0])}")  # fmt: skip
    forced = {
        "none, plain prompt, less greedy": (STEPS, budget(0), GREEDY),
        "none, direct prompt, less greedy": (DIRECT, budget(0), GREEDY),
    }
    for opened in OPENINGS[1:]:
        forced[f"gold, opened by the {opened} number, plain prompt, less gold"] = (
            STEPS,
            f"oracle +0 {opened}",
            "oracle +0",
        )
        forced[f"gold, opened by the {opened} number, direct prompt, less greedy"] = (
            DIRECT,
            f"oracle +0 {opened}",
            GREEDY,
        )
    for name, (prompt, way, other) in forced.items():
        print(f"  3. forced {name}: " + ", ".join(
            f"dose {dose:,} {told(at(prompt, way, dose) - at(prompt, other, dose))}" for dose in (0, last)))  # fmt: skip
    for more in (1, 2):
        beyond = [at(STEPS, f"oracle +{more}", dose) - at(STEPS, "oracle +0", dose) for dose in (0, last)]
        print(f"  4. {more} more than gold, less gold: before {told(beyond[0])}, after {told(beyond[1])}")
    filler = "thinking_budget budget=2 unit=steps filler=True"
    print("  filler less no budget: " + ", ".join(
        f"dose {dose:,} {told(at(STEPS, filler, dose) - at(STEPS, budget(0), dose))}" for dose in (0, last)))  # fmt: skip


def modes(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each student the share of greedy answers in each mode, and of right ones, by prompt and dose."""
    greedy = rows[rows["answering"] == GREEDY]
    written = [mode(text) for text in world_texts(list(greedy["answer"]))]
    own = greedy.assign(
        kept=np.array(written) == greedy["benchmark"].to_numpy(object), neither=np.array(written) == "neither",
        right=greedy["verdict"] == "right",
    )  # fmt: skip
    return own.groupby([*CELL[:4], RUN], observed=True)[["kept", "neither", "right"]].mean().reset_index()


def first_lost(own: pd.DataFrame) -> None:
    """Print the share in the asked mode beside the skill, of one size in one arm."""
    for prompt in (STEPS, DIRECT):
        table = own[own["benchmark"] == prompt].pivot_table(
            index=RUN, columns="dose", values=["kept", "neither", "right"]
        )
        for dose in sorted(own["dose"].unique()):
            kept, neither, right = (table[name, dose].to_numpy(float) for name in ("kept", "neither", "right"))
            ratio = kept / table["kept", 0].to_numpy(float) - right / table["right", 0].to_numpy(float)
            print(f"  3. {prompt}, dose {dose:,}: in its mode {told(kept)}, in neither {told(neither)}, right {told(right)};"
                  f" mode kept less skill kept {told(ratio)}")  # fmt: skip


@drawing.styled
def figure(table: pd.DataFrame, arm: str):
    """Accuracy by budget under the plain prompt: a row before and after, a column a size, a line a depth."""
    sizes = list(dict.fromkeys(table["student"]))
    own = table[(table["arm"] == arm) & (table["benchmark"] == STEPS)]
    doses = (0, int(own["dose"].max()))
    title = f"Accuracy of word problems by forced budget, {arm}"
    figure, axes = drawing.grid(2 * len(sizes), len(sizes), title, foot=0.6)
    for ax, (dose, size) in zip(axes.flat, [(dose, size) for dose in doses for size in sizes], strict=True):
        cell = own[(own["student"] == size) & (own["dose"] == dose)]
        for colour, depth in zip(COLOURS, sorted(set(cell["depth"]) - {0}), strict=False):
            lines = cell[cell["depth"] == depth].set_index("answering")
            places = [k for k in range(9) if budget(k) in lines.index]
            some = lines.loc[[budget(k) for k in places]]
            reach = np.nan_to_num([some["accuracy"] - some["low"], some["high"] - some["accuracy"]]).clip(min=0)
            ax.errorbar(places, some["accuracy"], yerr=reach, marker="o", color=colour, elinewidth=0.9,
                        label=f"{depth} step{'s' * (depth > 1)}")  # fmt: skip
            ax.axhline(lines.loc[GREEDY, "accuracy"], color=colour, linewidth=0.8, linestyle=":")
            if (DIRECT, dose, depth) in (direct := table[(table["arm"] == arm) & (table["student"] == size)].set_index(
                    ["benchmark", "dose", "depth", "answering"])["accuracy"]).index.droplevel(3):  # fmt: skip
                ax.plot(-0.35, direct[DIRECT, dose, depth, GREEDY], marker="x", color=colour, linestyle="none")
        ax.set_ylim(-0.03, 1.03)
        ax.set_xlabel("steps forced")
        ax.set_title(f"{size}, dose {dose:,}")
    for row in axes:
        row[0].set_ylabel("accuracy")
    drawing.legend(figure, axes, [])
    return figure


def main(folders: list[str]) -> None:
    """Write the tables and figures of each folder, and print what the rules ask."""
    for folder in folders:
        study = load(folder)
        assert study.every_row is not None
        rows = study.every_row
        rows = rows[
            rows["benchmark"].isin((STEPS, DIRECT)) & (rows["variant"] == ORIGINAL) & (rows["intervention"] == "")
        ]
        depths = sorted(int(depth) for depth in rows["depth"].unique())
        looks = rows.loc[rows["answering"] != GREEDY, "dose"].unique()
        right, written = accuracies(rows[rows["dose"].isin(looks)]), modes(rows)
        table = over_students(right, [*CELL, "depth"], "accuracy")
        table.to_csv(study.folder / "budgets.csv", index=False)
        kept = [
            over_students(written, CELL[:4], name).rename(columns={name: "share"})
            for name in ("kept", "neither", "right")
        ]
        named = zip(("kept", "neither", "right"), kept, strict=True)
        pd.concat([one.assign(what=name) for name, one in named]).to_csv(study.folder / "modes.csv", index=False)
        for arm in dict.fromkeys(map(str, table["arm"])):
            drawing.save({f"budgets-{arm}": (drawn := figure(table, arm))}, {f"budgets-{arm}": drawing.svg(drawn)},
                         study.folder / "figures", pictures=True)  # fmt: skip
        for (arm, student), own in right.groupby(["arm", "student"], sort=False, observed=True):
            print(f"\n{folder}, {arm}, {student}")
            judged(Student(own), depths)
            first_lost(written[(written["arm"] == arm) & (written["student"] == student)])


if __name__ == "__main__":
    main(sys.argv[1:])
