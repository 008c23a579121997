"""The TensorBoard folder rebuilt from a study's score rows, without torch.

One TensorBoard run per student, arm and seeds, with the step counting the dose. The run ``study`` holds what is of the
study: the HPARAMS experiment and a custom scalar layout in which all students share a chart for each skill.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from forgetting.analysis.record_reading import part_name
from forgetting.analysis.scores import PROBE
from forgetting.analysis.study_folder import StudyFolder
from forgetting.errors import file_name
from forgetting.evaluation.events import EventsWriter, HParam, scalar_values
from forgetting.report.tables import has_remedies

OVERVIEW, FIRST_SKILLS = "study", ("maths", "code")
SETTINGS = "student capacity arm contamination shift rate_multiple rate_policy mitigation".split()


def write_run(folder: Path, rows: Iterable[Mapping[str, Any]], settings: Mapping[str, HParam], new_source: str) -> None:
    """Write the event file of one run from its score rows."""
    writer = EventsWriter(folder)
    writer.session(settings)
    for dose, values in sorted(scalar_values(rows, new_source).items()):
        writer.scalars(dose, values)
    writer.close()


def write_events(study: StudyFolder, folder: Path) -> list[Path]:
    """Rebuild the TensorBoard folder of a study; event files that were there are replaced."""
    for old in folder.glob("**/*tfevents*"):
        old.unlink()
    arms = {str(arm["name"]): dict(arm) for arm in study.record.get("arms", [])}
    sessions: list[dict[str, HParam]] = []
    runs = study.scores.groupby(["student", "arm", "distillation_seed", "seed"], sort=False, observed=True)
    for (student, arm, distillation_seed, seed), rows in runs:
        settings = run_settings(arms.get(str(arm), {"name": arm}), str(student), int(rows["capacity"].iloc[0]))
        sessions.append(settings | {"distillation_seed": int(str(distillation_seed)), "seed": int(str(seed))})
        run = folder / file_name(f"{student}-{arm}-d{distillation_seed}-s{seed}", "the name of a run")
        write_run(run, plain(rows), sessions[-1], str(settings.get("contamination", "new")))
    tasks = dict.fromkeys(str(task) for arm in arms.values() for task in arm.get("tasks", []))
    write_overview(folder / OVERVIEW, sessions, _skills(study.scores), _pictures(study), list(tasks))
    return sorted(folder.glob("**/*tfevents*"))


def write_overview(
    folder: Path, sessions: list[dict[str, HParam]], skills: list[str], pictures: Mapping[str, bytes], tasks: list[str]
) -> None:
    """What is of the study as a whole: the HPARAMS experiment, the custom scalar layout, and pictures (PNG) by tag."""
    writer = EventsWriter(folder)
    names = list(dict.fromkeys(name for session in sessions for name in session))
    columns = {name: [session[name] for session in sessions if name in session] for name in names}
    varied = {name: values for name, values in columns.items() if len(set(values)) > 1 or name == "student"}
    writer.experiment(varied, [*(f"retention/{skill}" for skill in sorted(skills, key=_place)), "plasticity"])
    writer.layout(skills, ("plasticity", "new/nll", "new/kl", "original/kl"), tasks)
    for tag, picture in pictures.items():
        writer.image(tag, picture)
    writer.close()


def _place(skill: str) -> int:
    """Maths and code come first."""
    return FIRST_SKILLS.index(skill) if skill in FIRST_SKILLS else len(FIRST_SKILLS)


def run_settings(arm: Mapping[str, Any], student: str, capacity: int) -> dict[str, HParam]:
    """A run's row in the HPARAMS tab, from its arm as the record has it."""
    known = {"student": student, "capacity": capacity, **arm, "arm": str(arm.get("name", ""))}
    known |= {name: part_name(known[name]) for name in ("contamination", "mitigation") if name in known}
    return {name: known[name] for name in SETTINGS if isinstance(known.get(name), (str, int, float))}


def plain(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame as plain values by column."""
    return [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]


def _pictures(study: StudyFolder) -> dict[str, bytes]:
    """What no scalar shows: the fronts of remedies, accuracy against tokens of ways of answering."""
    remedied = has_remedies(study)
    if not remedied and study.other_ways.empty:
        return {}
    from forgetting.report import answering_views, drawing, front_figures

    found = (front_figures.drawn(study) if remedied else {}) | answering_views.drawn(study)
    return {name.replace("-", "/", 1): drawing.png(figure) for name, figure in found.items()}


def _skills(scores: pd.DataFrame) -> list[str]:
    return [str(skill) for skill in scores.loc[scores["benchmark"] != PROBE, "skill"].unique()]
