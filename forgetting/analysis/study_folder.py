"""A study's folder, read: its record, ledger, score rows and the forgetting curves of each arm, made on request.

A folder that was committed small has no ledger; its curves then come from ``curves.csv`` and its scores from
``scores.jsonl``, which were written from the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from forgetting.analysis import table_checks
from forgetting.analysis.curves import ORIGINAL, Curves, curves, curves_from_frame, skill_names
from forgetting.analysis.diverged import COLUMNS as DIVERGED_COLUMNS
from forgetting.analysis.diverged import diverged
from forgetting.analysis.noise_floors import floor_of
from forgetting.analysis.record_reading import CURVES_FILE, REMEDY, part_name, read_ledger, read_record, replayed, shown
from forgetting.analysis.scores import PROBE, plain_rows, score_rows
from forgetting.analysis.well_formed import WELL_FORMED_FILE, well_formed_counts
from forgetting.errors import UsageError, unknown
from forgetting.record.checks import check_names
from forgetting.record.reading import first_line, opened, read_rows
from forgetting.record.schema import ANSWERING_FILE, FAILURES_FILE, PASSING_FILE, PROBING_FILE, RUN_KEY, ScoreRow
from forgetting.record.seals import SEAL, check_files, check_rows

SCORES_FILES = ("scores.jsonl", "scores.jsonl.gz")
FLOOR_COLUMNS = ("student", "arm", "skill", "dose", "items", "accuracy", "difference", "standard_error", "seed_spread")


@dataclass(frozen=True)
class ArmCurves:
    """One arm of a measured study: its settings as the record has them, and its curves."""

    name: str
    settings: dict[str, Any]
    curves: Curves = field(repr=False)

    @property
    def contamination(self) -> str:
        """The short name of the contaminating source."""
        return part_name(self.settings.get("contamination", self.name.split("-")[0]))

    @property
    def title(self) -> str:
        """What a figure of this arm says of it: source, shift, rate, rate policy, mitigation."""
        known = self.settings
        parts = [str(self.name), f"shift {known.get('shift', 1):g}"]
        policy = str(known.get("rate_policy", "unknown")).replace("_", " ")
        multiple = float(known.get("rate_multiple", 1))
        rates = ", ".join(f"{name} {own['learning_rate']:.2g}" for name, own in known.get("rates", {}).items())
        policy += f" ({rates})" if rates else ""
        parts.append(f"rate policy {policy}" + ("" if multiple == 1 else f", {multiple:g}× rate"))
        mitigation = part_name(known.get("mitigation", "none"))
        if mitigation == "replay":
            mitigation += f" {100 * replayed(known):g}%"
        parts += [] if mitigation == "none" else ["joint training" if mitigation == "joint" else mitigation]
        return " · ".join(parts)


class StudyFolder:
    """What a study measured. Everything but the record is read or computed on first use, and then kept."""

    def __init__(self, folder: Path, record: dict[str, Any], ledger: pd.DataFrame | None = None) -> None:
        self.folder = folder
        self.record = record
        self.kept: dict[str, pd.DataFrame] = {}  # tables that several views show
        self._arms: dict[str, ArmCurves] = {}
        if ledger is not None:
            self.__dict__["ledger"] = ledger

    @property
    def name(self) -> str:
        """The study's name."""
        return str(self.record.get("name", self.folder.name))

    @property
    def unverified(self) -> str:
        """Why what is shown may have been changed since it was measured; nothing where every file had its hash."""
        if SEAL not in self.record:
            return "unverified: this record was written before records had hashes"
        if runs := self.record.get("unverified", []):
            return f"unverified, made from files without hashes: {', '.join(map(str, runs))}"
        here = CURVES_FILE in self._hashes or not (self.folder / CURVES_FILE).exists() or self.ledger is not None
        return "" if here else f"unverified: there is no ledger, and {CURVES_FILE} has no hash in the record"

    @property
    def _hashes(self) -> dict[str, str]:
        """The hashes of the files that the record was written with, by name."""
        found = self.record.get("files")
        return found if isinstance(found, dict) else {}

    @cached_property
    def passing(self) -> pd.DataFrame:
        """pass@k by run, dose, benchmark and k, with its interval; empty where no answers were sampled."""
        return self.table(PASSING_FILE, table_checks.check_passing)

    @cached_property
    def other_ways(self) -> pd.DataFrame:
        """Accuracy by run, dose, intervention and way of answering; empty where greedy decoding is all there is."""
        return self.table(ANSWERING_FILE, table_checks.check_ways, ["intervention"])

    @cached_property
    def probing(self) -> pd.DataFrame:
        """The columns of ``analysis.probing``; empty where nothing was asked otherwise or intervened in."""
        return self.table(PROBING_FILE, table_checks.check_probing, ["intervention"])

    @cached_property
    def protection(self) -> pd.DataFrame:
        """What protected modules keep more than their controls, by size; empty where ``protection.py`` judged none."""
        return self.table("protection.csv", table_checks.check_protection)

    @cached_property
    def distances(self) -> pd.DataFrame:
        """Counts of ``analysis.value_distance``; empty where ``value_distance.py`` wrote none."""
        return self.table("distances.csv", table_checks.check_distances, ["form"])

    @cached_property
    def ledger(self) -> pd.DataFrame | None:
        """The greedy answers, one row per (run, dose, item); None in a folder without its ledger."""
        return None if self.every_row is None else plain_rows(self.every_row)

    @cached_property
    def every_row(self) -> pd.DataFrame | None:
        """The whole ledger: other ways of answering and interventions as well."""
        path = self.folder / "ledger.parquet"
        if not path.exists():
            return None
        check_files(self.folder, {path.name: mark} if (mark := self._hashes.get(path.name)) else {}, REMEDY)
        found = read_ledger(path)
        known = {PROBE, *self.record["benchmarks"]}
        if strange := [str(name) for name in found["benchmark"].unique() if name not in known]:
            raise UsageError(f"{path}: has benchmarks that record.json does not: {', '.join(strange)[:200]}; {REMEDY}")
        return found

    @cached_property
    def failure_counts(self) -> pd.DataFrame | None:
        """How many answers failed in which way, as they were counted when the study was joined; None: they were not."""
        if not (self.folder / FAILURES_FILE).exists():
            return None
        return self.table(FAILURES_FILE, table_checks.check_failures, ["failure", "kind"])

    @cached_property
    def well_formed(self) -> pd.DataFrame:
        """Counts of well-formed answers by run, benchmark and dose; empty in a folder with neither ledger nor table."""
        if self.ledger is not None:
            return well_formed_counts(self.ledger)
        return self.table(WELL_FORMED_FILE, table_checks.check_well_formed)

    @cached_property
    def scores(self) -> pd.DataFrame:
        """All score rows: recomputed from the ledger, or read from ``scores.jsonl`` where there is none."""
        if self.ledger is not None:
            chances, versions = self._benchmark("chance"), self._benchmark("version")
            with shown(self.folder):
                runs = (own for _, own in self.ledger.groupby(list(RUN_KEY)))
                rows: list[Any] = [vars(row) for own in runs for row in score_rows(own, chances, versions)]
        else:
            path = next(filter(Path.is_file, (self.folder / name for name in SCORES_FILES)), None)
            if path is not None and (mark := self._hashes.get(SCORES_FILES[0])):
                check_rows(path, mark, REMEDY)
            rows = [] if path is None else read_rows(path)
            if path is not None:
                table_checks.check_scores(rows, path)
        return pd.DataFrame(rows, columns=list(ScoreRow.__dataclass_fields__))

    @cached_property
    def skill_names(self) -> dict[str, str]:
        """By benchmark of the scores, the name of its curves."""
        return skill_names(self.scores)

    @cached_property
    def arm_names(self) -> tuple[str, ...]:
        """The arms in the record's order."""
        listed = [str(arm["name"]) for arm in self.record.get("arms", [])]
        found = self.ledger["arm"] if self.ledger is not None else self._kept_curves["arm"]
        measured = [str(name) for name in found.unique()]
        return tuple(dict.fromkeys([name for name in listed if name in measured] + measured))

    @cached_property
    def pruned(self) -> pd.DataFrame:
        """Runs that were ended early, one row each: student, arm, distillation_seed, seed, dose of the last look."""
        rows = self.record.get("pruned", [])
        return pd.DataFrame(rows, columns=["student", "arm", "distillation_seed", "seed", "dose"])

    @cached_property
    def diverged(self) -> pd.DataFrame:
        """Runs whose student became no finite numbers: student, arm, distillation_seed, seed, the first such dose."""
        if "diverged" in self.record or self.ledger is None:
            return pd.DataFrame(self.record.get("diverged", []), columns=list(DIVERGED_COLUMNS))
        return diverged(self.ledger)

    def common(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Ledger or score rows at doses that all runs of their student and arm reached.

        Where runs were ended early, the others are survivors at later doses, and their mean would flatter.
        """
        if self.pruned.empty:
            return rows
        last = self.pruned.groupby(["student", "arm"])["dose"].min()
        of_row = pd.MultiIndex.from_frame(rows[["student", "arm"]].astype(str))
        limit = last.reindex(of_row).fillna(np.inf).to_numpy(float)
        return rows[rows["dose"].to_numpy() <= limit]

    def arm(self, name: str) -> ArmCurves:
        """One arm with its curves; ``UsageError`` with the nearest name for an unknown one."""
        if name not in self.arm_names:
            raise unknown("arm", name, self.arm_names)
        if name not in self._arms:
            settings: dict[str, Any] = next((dict(a) for a in self.record.get("arms", []) if a["name"] == name), {})
            if self.ledger is not None:
                own = self.common(self.ledger[self.ledger["arm"] == name])
                with shown(self.folder):
                    found = curves(own, self._benchmark("chance"), name)
            else:
                found = curves_from_frame(self._kept_curves[self._kept_curves["arm"] == name])
            self._arms[name] = ArmCurves(name, settings, found)
        return self._arms[name]

    @cached_property
    def arms(self) -> dict[str, ArmCurves]:
        """Every arm by name."""
        return {name: self.arm(name) for name in self.arm_names}

    @property
    def curves(self) -> Curves:
        """The curves of the first arm: ``curves[student][skill]``."""
        return self.arm(self.arm_names[0]).curves if self.arm_names else Curves()

    def curve_frame(self) -> pd.DataFrame:
        """The rows of every curve of every arm."""
        frames = [arm.curves.to_frame() for arm in self.arms.values()]
        return pd.concat(frames, ignore_index=True) if frames else Curves().to_frame()

    @cached_property
    def noise_floor(self) -> pd.DataFrame:
        """Per (student, arm, skill) at the first and last dose: two halves of the items, and the spread of seeds."""
        if self.ledger is None:
            return pd.DataFrame(self.record.get("noise_floor", []), columns=list(FLOOR_COLUMNS))
        graded = self.common(self.ledger[(self.ledger["benchmark"] != PROBE) & (self.ledger["variant"] == ORIGINAL)])
        names, rows = skill_names(self.ledger), []
        each = graded.groupby(["student", "arm", "benchmark"], sort=False, observed=True)
        for (student, arm, benchmark), own in each:
            for dose in sorted({int(own["dose"].min()), int(own["dose"].max())}):
                rows.append((student, arm, names[str(benchmark)], dose, *floor_of(own[own["dose"] == dose])))
        return pd.DataFrame(rows, columns=list(FLOOR_COLUMNS))

    @cached_property
    def _kept_curves(self) -> pd.DataFrame:
        if not (self.folder / CURVES_FILE).exists():
            return Curves().to_frame()
        return self.table(CURVES_FILE, table_checks.check_curves)

    def table(self, name: str, check: Callable[[pd.DataFrame, Path], None], blank: Sequence[str] = ()) -> pd.DataFrame:
        """A CSV file of the folder as it was when the record was written, checked; empty where there is none.

        Texts in the columns ``blank`` may be missing.
        """
        if not (path := self.folder / name).exists():
            return pd.DataFrame()
        if mark := self._hashes.get(name):
            check_files(self.folder, {name: mark}, REMEDY)
        try:
            with opened(path) as file:
                found = pd.read_csv(file)
        except (OSError, ValueError) as error:
            raise UsageError(f"{path}: not a readable table ({first_line(error)})") from None
        for column in ("student", "arm"):
            if column in found:
                check_names(found[column].unique(), column, path)
        found = found.fillna(dict.fromkeys(blank, ""))
        check(found, path)
        return found

    def _benchmark(self, what: str) -> dict[str, Any]:
        return {name: value[what] for name, value in self.record.get("benchmarks", {}).items()}


def open_study(path: Path | str) -> StudyFolder:
    """Read the folder of a finished study; ``UsageError`` says in one line what is wrong with it."""
    folder = Path(path)
    return StudyFolder(folder, read_record(folder))


def new_source(arm: Mapping[str, Any], probes: pd.DataFrame) -> str:
    """The probe variant that holds an arm's new task: ``new``, the contamination, or the one that is not original."""
    found = [str(v) for v in probes["variant"].unique()]
    for name in ("new", part_name(arm.get("contamination", ""))):
        if name in found:
            return name
    return next((name for name in found if name != ORIGINAL), ORIGINAL)
