"""Does a budget of steps pay students that were also taught to answer directly? By the rules registered for it.

    python experiments/direct.py results/direct-...

Takes the ledger. Writes budgets.csv (accuracy by size, dose, prompt, way and depth) and modes.csv (in which mode greedy
answers were written) beside the record, figures/budgets-*.png, and prints what the rules ask. Intervals: 95%,
Student's t over students; of differences, of the same students' differences.
"""

from __future__ import annotations

import sys
from functools import cache

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from forgetting import load
from forgetting.analysis.curves import ORIGINAL
from forgetting.analysis.failures import world_texts
from forgetting.analysis.fronts import mean_interval
from forgetting.analysis.ways_compared import GREEDY, MAJORITY
from forgetting.answering.thinking_budget import OPENINGS
from forgetting.report import drawing
from forgetting.world.steps import read

STEPS, DIRECT = "maths", "direct"  # prompts: without the mode word, and with it
GOLD = "oracle +0"  # each item's own number of steps
FILLER = "thinking_budget budget=2 unit=steps filler=True"
CELL = ["student", "arm", "benchmark", "dose", "answering"]
RUN = "distillation_seed"
SHARES = ("kept", "neither", "right", "right_in_mode")
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
    depths, chosen = sorted(rows["depth"].unique()), [rows]
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
    """Mean of a value with its interval, over the students of whom it is known."""
    known = table[table[value].notna()]
    rows = [(*key, len(own), *mean_interval(own[value].to_numpy(float))) for key, own in known.groupby(by, sort=False)]
    return pd.DataFrame(rows, columns=[*by, "students", value, "low", "high"])


class Size:
    """One size in one arm: accuracy and tokens of each student by prompt, dose, way and depth (0: all)."""

    def __init__(self, own: pd.DataFrame) -> None:
        self.last = int(own["dose"].max())
        index = ["benchmark", "dose", "answering", "depth"]
        self.right, self.tokens = (
            own.pivot_table(index=RUN, columns=index, values=value, observed=True)
            for value in ("accuracy", "generated")
        )

    def of(self, prompt: str, way: str, dose: int, depth: int = 0) -> np.ndarray:
        """Accuracy of each student."""
        return self.right[prompt, dose, way, depth].to_numpy(float)

    def voted(self, prompt: str, dose: int) -> np.ndarray:
        """Accuracy of majority voting on answers to a prompt with as many tokens as the gold budget takes.

        Along the logarithm of the tokens; fewer than greedy decoding's: greedy's, more than the most votes': theirs.
        """
        ways = {str(column[2]) for column in self.right.columns}
        names = sorted(way for way in ways if way.split()[0] in (GREEDY, MAJORITY))
        cost, share = (
            np.array([table[prompt, dose, name, 0] for name in names]).T for table in (self.tokens, self.right)
        )
        found = []
        for wanted, own, right in zip(self.tokens[STEPS, dose, GOLD, 0], cost, share, strict=True):
            order = np.argsort(own)
            found.append(np.interp(np.log(wanted), np.log(own[order]), right[order]))
        return np.array(found)

    def looks(self, name: str, one: tuple[str, str], other: tuple[str, str] | str) -> None:
        """Print a difference of two ways before and after, and its change; a prompt alone stands for its votes."""
        each = [
            self.of(*one, dose) - (self.voted(other, dose) if isinstance(other, str) else self.of(*other, dose))
            for dose in (0, self.last)
        ]
        print(f"  {name}: before {told(each[0])}, after {told(each[1])}, change {told(each[1] - each[0])}")


def judged(size: Size, depths: list[int]) -> None:
    """Print what the rules on accuracies ask."""
    for depth in (0, *depths):
        steps, direct = (size.of(prompt, GREEDY, 0, depth) for prompt in (STEPS, DIRECT))
        name = f"depth {depth}" if depth else "all"
        print(f"  1. {name}: steps {told(steps)}, direct {told(direct)}, direct less steps {told(direct - steps)}")
    plain, none = (STEPS, GREEDY), budget(0)
    size.looks("2. gold budget less none", (STEPS, GOLD), (STEPS, none))
    size.looks("2. gold budget less greedy", (STEPS, GOLD), plain)
    for prompt in (STEPS, DIRECT):
        size.looks(f"2. gold budget less votes of {prompt} answers", (STEPS, GOLD), prompt)
    size.looks("3. no steps, plain prompt, less direct", (STEPS, none), (DIRECT, GREEDY))
    size.looks("3. no steps, direct prompt, less greedy", (DIRECT, none), (DIRECT, GREEDY))
    for opened in OPENINGS[1:]:
        way = f"{GOLD} {opened}"
        if all((prompt, size.last, way, 0) in size.right for prompt in (STEPS, DIRECT)):
            size.looks(f"3. gold budget, {opened} number, plain prompt, less greedy", (STEPS, way), plain)
            size.looks(f"3. gold budget, {opened} number, direct prompt, less greedy", (DIRECT, way), (DIRECT, GREEDY))
            size.looks(f"3. gold budget, {opened} number, direct less plain prompt", (DIRECT, way), (STEPS, way))
    for more in (1, 2):
        size.looks(f"4. {more} more than gold, less gold", (STEPS, f"oracle +{more}"), (STEPS, GOLD))
    size.looks("filler less no budget", (STEPS, FILLER), (STEPS, none))


def modes(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each student the share of greedy answers in the asked mode and in neither, and of right ones."""
    greedy = rows[rows["answering"] == GREEDY]
    written = np.array([mode(text) for text in world_texts(list(greedy["answer"]))])
    own = greedy.assign(
        kept=written == greedy["benchmark"].to_numpy(str),
        neither=written == "neither",
        right=greedy["verdict"] == "right",
    )
    own["right_in_mode"] = own["right"].where(own["kept"]).astype(float)  # of the answers in the asked mode alone
    return own.groupby([*CELL[:4], RUN], observed=True)[list(SHARES)].mean().reset_index()


def first_lost(own: pd.DataFrame) -> None:
    """Print the share in the asked mode beside the skill, of one size in one arm."""
    for prompt in (STEPS, DIRECT):
        of = own[own["benchmark"] == prompt]  # where nobody answers in the mode, nothing is known of such answers
        table = of.pivot_table(index=RUN, columns="dose", values=list(SHARES), dropna=False)
        for dose in sorted(own["dose"].unique()):
            kept, neither, right, given = (table[name, dose].to_numpy(float) for name in SHARES)
            ratio = kept / table["kept", 0].to_numpy(float) - given / table["right_in_mode", 0].to_numpy(float)
            print(
                f"  3. {prompt}, dose {dose:,}: in its mode {told(kept)}, in neither {told(neither)},"
                f" right {told(right)},"
                f"\n     right of those in the mode {told(given)}, mode kept less skill kept in it {told(ratio)}"
            )


@drawing.styled
def figure(table: pd.DataFrame, arm: str) -> Figure:
    """Accuracy by forced budget, plain prompt: a row before and after, a column a size, a line a depth."""
    sizes, own = list(dict.fromkeys(table["student"])), table[table["arm"] == arm]
    doses = (0, int(own["dose"].max()))
    title = f"Word problems under forced budgets, {arm}"
    figure, axes = drawing.grid(2 * len(sizes), len(sizes), title, foot=0.6)
    for ax, (dose, size) in zip(axes.flat, [(dose, size) for dose in doses for size in sizes], strict=True):
        cell = own[(own["student"] == size) & (own["dose"] == dose) & (own["depth"] > 0)]
        for colour, (depth, lines) in zip(COLOURS, cell.groupby("depth"), strict=False):
            some = lines[lines["benchmark"] == STEPS].set_index("answering")
            places = [k for k in range(9) if budget(k) in some.index]
            some = some.loc[[budget(k) for k in places]]
            reach = np.nan_to_num([some["accuracy"] - some["low"], some["high"] - some["accuracy"]]).clip(min=0)
            name = f"{depth} step{'s' * (int(str(depth)) > 1)}"
            ax.errorbar(places, some["accuracy"], yerr=reach, marker="o", color=colour, elinewidth=0.9, label=name)
            alone = lines[(lines["benchmark"] == DIRECT) & (lines["answering"] == GREEDY)]["accuracy"]
            ax.plot([-0.3] * len(alone), alone, marker="x", color=colour, linestyle="none")
        ax.set_ylim(-0.03, 1.03)
        ax.set_xlabel("steps forced (cross: mode word)")
        ax.set_title(f"{size}, dose {dose:,}")
    for row in axes:
        row[0].set_ylabel("accuracy")
    drawing.legend(figure, axes, [])
    return figure


def main(folders: list[str]) -> None:
    """Write the tables and figures of each folder, and print what the rules ask."""
    for folder in folders:
        study = load(folder)
        if study.every_row is None:
            raise SystemExit(f"{folder}: has no ledger, which a committed study is without; make it by direct.yaml")
        mine = study.every_row["benchmark"].isin((STEPS, DIRECT)) & (study.every_row["variant"] == ORIGINAL)
        rows = study.every_row[mine & (study.every_row["intervention"] == "")]
        depths = sorted(int(depth) for depth in rows["depth"].unique())
        looks = rows.loc[rows["answering"] != GREEDY, "dose"].unique()
        right, written = accuracies(rows[rows["dose"].isin(looks)]), modes(rows)
        table = over_students(right, [*CELL, "depth"], "accuracy")
        table.round(4).to_csv(study.folder / "budgets.csv", index=False)
        each = [over_students(written, CELL[:4], name).rename(columns={name: "share"}) for name in SHARES]
        each = [one.assign(what=name) for one, name in zip(each, SHARES, strict=True)]
        pd.concat(each).round(4).to_csv(study.folder / "modes.csv", index=False)
        drawn = {f"budgets-{arm}": figure(table, arm) for arm in dict.fromkeys(map(str, table["arm"]))}
        drawing.save(drawn, drawing.vectors(drawn), study.folder / "figures", pictures=True)
        for (arm, student), own in right.groupby(["arm", "student"], sort=False, observed=True):
            print(f"\n{folder}, {arm}, {student}")
            judged(Size(own), depths)
            first_lost(written[(written["arm"] == arm) & (written["student"] == student)])


if __name__ == "__main__":
    main(sys.argv[1:])
