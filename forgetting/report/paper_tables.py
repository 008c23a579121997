"""The paper's tables and figures as they come out when they are measured: studies in, Markdown in its form out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from forgetting.analysis.curves import ORIGINAL
from forgetting.analysis.fronts import mean_interval
from forgetting.analysis.record_reading import part_name, replayed
from forgetting.analysis.study_folder import StudyFolder
from forgetting.report.first_screen import exploratory

VARIED = ("maths", "code")
MarkdownRow = Sequence[Any]


def table_1(studies: Sequence[StudyFolder], link: Path) -> str:
    """Accuracy on the original items and on perturbed ones at dose 0, in the paper's columns; the best study of it."""
    found = [(study, rows) for study in studies if (rows := _perturbed(study))]
    if not found:
        return "Not measured: it takes a study whose `evaluation` has perturbed variants at dose 0.\n"
    study, rows = max(found, key=lambda one: (_students(one[0]), len(one[1])))
    head = [
        "student",
        "maths (original)",
        "maths (perturbed)",
        "drop",
        "code (original)",
        "code (perturbed)",
        "drop",
        "students",
    ]
    note = _note(study, list(exploratory(study)))
    about = (
        "Measured, before any contamination. Perturbed: mean over the variants rephrased, renamed, reordered and so on "
        f"that the study asked; drop: relative, with its interval over students. "
        f"From {link_to(study.folder, 'report.html', link)}{note}.\n"
    )
    return about + "\n" + as_table(head, rows)


def _perturbed(study: StudyFolder) -> list[MarkdownRow]:
    scores = study.scores
    own = scores[scores["depth"].isna() & (scores["dose"] == 0) & scores["skill"].isin(VARIED)]
    if own.empty or not (own["variant"] != ORIGINAL).any():
        return []
    one = own.drop_duplicates(["student", "distillation_seed", "skill", "variant"])
    rows: list[MarkdownRow] = []
    for (_, student), looks in one.groupby(["capacity", "student"]):
        cells: list[Any] = [as_words(student)]
        for skill in VARIED:
            table = looks[looks["skill"] == skill].pivot_table(
                index="distillation_seed", columns="variant", values="accuracy", aggfunc="first"
            ).astype(float)  # fmt: skip
            others = [name for name in table if name != ORIGINAL]
            if ORIGINAL not in table or not others:
                cells += ["–", "–", "–"]
                continue
            plain, varied = table[ORIGINAL], table[others].mean(axis=1)
            drop = (1 - varied / plain).where(plain > 0)
            cells += [f"{100 * plain.mean():.1f}", f"{100 * varied.mean():.1f}", _percent(drop)]
        rows.append([*cells, looks["distillation_seed"].nunique()])
    return rows


def _percent(values: pd.Series) -> str:
    """A mean in per cent with its interval over students; of one student there is none."""
    mean, low, high = (100 * float(value) for value in mean_interval(values.dropna().to_numpy(float)))
    return f"{mean:.1f}%" if low != low else f"{mean:.1f}% ({low:.1f} to {high:.1f})"


def losses(studies: Sequence[StudyFolder], figures: dict[str, Any], link: Path) -> str:
    """The relative drops that section 4.1 states, by size, with those of the controls at the same dose."""
    lines = ["Relative drop, 1 - accuracy / accuracy at dose 0, in per cent as the paper states it.\n"]
    for source, asked in figures.items():
        what = f"{asked['dose']:,} samples of {source.replace('_', ' ')}, {asked['skill']}"
        head = f"**{what}.** The paper: {asked['paper']}."
        found = [(study, rows) for study in studies if (rows := _drops(study, source, asked["skill"], asked["dose"]))]
        if not found:
            lines += [f"{head} Not measured.\n"]
            continue
        study, rows = max(found, key=lambda one: (_students(one[0]), len(one[1])))
        note = _note(study, list(exploratory(study, [asked["skill"]])))
        from_ = f"Measured, from {link_to(study.folder, 'report.html', link)}{note}:\n"
        columns = list(dict.fromkeys(arm for row in rows for arm in row[1]))
        table = [[name, *(row.get(arm, "–") for arm in columns), count] for name, row, count in rows]
        lines += [f"{head} {from_}", as_table(["student", *map(as_words, columns), "students"], table), ""]
    return "\n".join(lines)


def _drops(study: StudyFolder, source: str, skill: str, dose: int) -> list[tuple[str, dict[str, str], int]]:
    """By size, the drop in every plain arm of a source at shift 1 and of its controls, where the dose was reached."""
    arms = {str(arm["name"]): arm for arm in study.record.get("arms", []) if float(arm.get("shift", 1)) == 1}
    plain = {
        name for name, arm in arms.items()
        if part_name(arm.get("mitigation", "none")) == "none" and not replayed(arm)
        and part_name(arm.get("contamination")) in (source, "original", "noise")
    }  # fmt: skip
    scores = study.scores
    own = scores[(scores["skill"] == skill) & scores["depth"].isna() & (scores["variant"] == ORIGINAL)]
    own = own[(own["dose"] == dose) & own["arm"].isin(sorted(plain)) & (own["status"] == "ok")]
    treated = [name for name in plain if part_name(arms[name].get("contamination")) == source]
    if own.empty or not own["arm"].isin(treated).any():
        return []
    rows = []
    for (_, student), looks in own.groupby(["capacity", "student"]):
        by_arm = {}
        for arm in [name for name in arms if name in set(looks["arm"])]:
            runs = looks[looks["arm"] == arm].groupby("distillation_seed")["relative_drop"]
            by_arm[arm] = _percent(runs.mean().astype(float))
        rows.append((as_words(student), by_arm, int(looks["distillation_seed"].nunique())))
    return rows


def _students(study: StudyFolder) -> int:
    """Fresh students a size; 1 where seeds share one."""
    seeds = study.record.get("seeds", {})
    return 1 if seeds.get("shared_students", True) else len(seeds.get("distillation", [])) or 1


def _note(study: StudyFolder, reasons: list[str]) -> str:
    commit = as_words(study.record.get("commit") or "unknown").split(", ")[-1][:12].replace("`", "")
    return f" (commit `{commit}`; " + (
        f"exploratory: {'; '.join(reasons)})" if reasons else "as a published finding takes)"
    )


def link_to(folder: Path, name: str, link: Path) -> str:
    """A file of a study's folder as a link from the page."""
    return f"[{as_words(folder.name)}]({quote((link / folder.name / name).as_posix())})"


def as_words(text: object) -> str:
    """What a record says, in Markdown: on one line, and without a tag or a link of its own."""
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", " ".join(str(text).split())).replace("](", "]\\(")


def as_table(head: Sequence[Any], rows: Iterable[MarkdownRow]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell).replace('|', '/') for cell in line)} |" for line in lines) + "\n"
