"""A measured study in the hands of a user: forgetting curves, tables, views; what ``simulate`` and ``load`` return."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from forgetting.analysis.metrics import LEVELS
from forgetting.analysis.record_reading import read_record, shown
from forgetting.analysis.study_folder import StudyFolder
from forgetting.errors import UsageError, checked, unknown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from forgetting.analysis.fronts import Fronts
    from forgetting.analysis.pairing import Comparison
    from forgetting.analysis.transfer import Transfer
    from forgetting.report.terminal import Summary


class Result(StudyFolder):
    """What a study measured.

    ``result.curves["34k"]["maths"]`` is a forgetting curve of the first arm, ``result.arm("altered_syntax").curves``
    has those of another; ``result.arms`` has all of them by name. Keys of skills: ``maths``, ``maths:3`` (depth 3),
    ``maths@rare`` (coverage), ``maths/renamed`` (variant).
    """

    def to_frame(self) -> pd.DataFrame:
        """All score rows: one per run, dose, benchmark, variant and depth (columns of ``records.ScoreRow``)."""
        return self.scores

    def plot(self, arm: str | None = None) -> Figure:
        """Retention against dose in one arm (by default the first): one panel a skill, one line a student.

        Raises:
            UsageError: an unknown arm, or a study without a skill to show
        """
        from forgetting.report import figures

        chosen = self.arm(arm or next(iter(self.arm_names), ""))
        figure = figures.retention_by_skill(self, chosen)
        if figure is None:
            raise UsageError(f"plot: no skill was measured in arm {chosen.name!r}")
        return figure

    def front(self, levels: Sequence[float] | None = None, against: str = "plain") -> Fronts:
        """What prevents forgetting at equal learning: retention of every method at levels of learning, with intervals.

        Its frames ``levels``, ``areas`` and ``lines`` are described in ``Fronts``.

        Args:
            levels: NLL of the new task's probe, nats a token, falling; left out: those of the report
            against: the method from which differences are taken

        Raises:
            UsageError: a study without plain tuning beside another mitigation, or bad levels
        """
        from forgetting.analysis.fronts import fronts

        found = fronts(self, levels, against)
        if found.levels.empty:
            raise UsageError("front: needs an arm without mitigation beside one with, on a probe of the new task")
        return found

    def answering(self) -> pd.DataFrame:
        """Ways of answering side by side, majority voting as the control: see ``analysis.ways_compared``.

        ``UsageError`` for a study that measured no way of answering beside greedy decoding.
        """
        from forgetting.report.answering_views import kept_ways

        if kept_ways(self).empty:
            raise UsageError("answering: needs ways of answering beside greedy decoding (evaluation.answering)")
        return kept_ways(self)

    def plot_answering(self, arm: str | None = None, benchmark: str | None = None) -> Figure:
        """Accuracy against generated tokens, a line a way of answering, of one arm and benchmark (the first ones)."""
        from forgetting.report.answering_views import answering_figure

        table = self.answering()
        for column, wanted in (("arm", arm), ("benchmark", benchmark)):
            names = list(dict.fromkeys(map(str, table[column])))
            if wanted is not None and wanted not in names:
                raise unknown(column, wanted, names)
            table = table[table[column] == (wanted or names[0])]
        return answering_figure(self.arm(str(table["arm"].iloc[0])), table)

    def robustness(self) -> pd.DataFrame:
        """Original against perturbed wordings by size and dose: see ``analysis.robustness.robustness``.

        ``UsageError`` for a study without perturbed variants of a skill that was learned.
        """
        from forgetting.report.robustness_views import kept_robustness

        if kept_robustness(self).empty:
            raise UsageError("robustness: needs perturbed variants (evaluation.perturbed) of a skill that was learned")
        return kept_robustness(self)

    def half_doses(self) -> pd.DataFrame:
        """Whether robustness goes before accuracy, by size and group: see ``analysis.robustness.half_doses``.

        ``UsageError`` for a study without perturbed variants along the dose, or without its ledger.
        """
        from forgetting.report.robustness_views import kept_half_doses

        if kept_half_doses(self).empty:
            raise UsageError("half_doses: needs perturbed variants at every dose (evaluation.perturbed) and the ledger")
        return kept_half_doses(self)

    def mixed_logit(self, dose: int | None = None, slopes: bool = True) -> pd.DataFrame:
        """Effects of dose and wording beside the scatter of problems and students: see ``analysis.mixed_logit``.

        Args:
            dose: the dose that is compared with 0; left out: each arm's last
            slopes: whether students differ in how much they lose

        Raises:
            UsageError: a study without its ledger, without perturbed variants at that dose, or of one student a size
        """
        from forgetting.analysis.mixed_logit import mixed_logit

        found = mixed_logit(self, dose, slopes)
        if found.empty:
            raise UsageError("mixed_logit: needs the ledger, perturbed variants at that dose and students of one size")
        return found

    def table_1(self, arm: str | None = None, group: str = "devices") -> pd.DataFrame:
        """The paper's table 1 of one arm (the first): by size and dose original, perturbed and drop in per cent."""
        from forgetting.analysis.robustness import table_1

        found = self.robustness()
        name = self.arm(arm or next(iter(self.arm_names), "")).name
        if group not in set(found["group"]):
            raise unknown("group", group, list(dict.fromkeys(map(str, found["group"]))))
        return table_1(found, name, group)

    def keyword_dependence(self) -> pd.DataFrame:
        """Whether students read the keyword or the description: see ``analysis.keyword_dependence``.

        ``UsageError`` for a study without tasks by description.
        """
        from forgetting.analysis.keyword_dependence import keyword_table

        if keyword_table(self).empty:
            raise UsageError(
                "keyword_dependence: needs tasks by description (evaluation.perturbed of code or described)"
            )
        return keyword_table(self)

    def composition(self) -> pd.DataFrame:
        """Whether the whole is what its parts give, acc(AB) / (acc(A) acc(B)): see ``analysis.composition_index``.

        ``UsageError`` for a study without the benchmark ``composition`` and without depths of a skill that was learned.
        """
        from forgetting.analysis.composition_index import composition_index

        found = composition_index(self)
        if found.empty:
            raise UsageError(
                "composition: needs the benchmark composition, or several depths, of a skill that was learned"
            )
        return found

    def fact_load(self) -> pd.DataFrame:
        """Bits of facts that students know, and bits a parameter, by size and dose: see ``analysis.fact_load``.

        ``UsageError`` for a study that asked no facts.
        """
        from forgetting.analysis.fact_load import fact_load

        found = fact_load(self)
        if found.empty:
            raise UsageError("fact_load: needs the benchmark facts (and the share facts of the original distribution)")
        return found

    def verifier_rates(self) -> pd.DataFrame:
        """How many right and wrong answers verifiers let pass, exact and learned: see ``analysis.verifier_rates``."""
        from forgetting.analysis.verifier_rates import verifier_rates

        if self.every_row is None:
            raise UsageError("verifier_rates: needs ledger.parquet, which holds the answers")
        return verifier_rates(self.every_row)

    def looped_passes(self) -> pd.DataFrame:
        """Accuracy and passes of looped students by depth of the items: see ``analysis.looped_students``.

        ``UsageError`` for a study without looped students that answered by some of their passes, or without its ledger.
        """
        from forgetting.report.looped_views import kept_passes

        if kept_passes(self).empty:
            raise UsageError("looped_passes: needs the ledger, and looped students with the way of answering looped")
        return kept_passes(self)

    def looped_twins(self) -> pd.DataFrame:
        """What looped students keep beside unlooped ones of as many parameters, or operations.

        ``UsageError`` for a study without a looped student and a twin.
        """
        from forgetting.report.looped_views import kept_twins

        if kept_twins(self).empty:
            raise UsageError("looped_twins: needs a looped student and one of its shape that is not looped")
        return kept_twins(self)

    def replay_shares(self, skill: str = "maths", dose: int = 0, levels: Sequence[float] = LEVELS) -> pd.DataFrame:
        """How much replay each size needs: the smallest share of the stream that keeps a level at a dose.

        Columns are described in ``analysis.replay_share.replay_shares``.

        Raises:
            UsageError: a study in which no arm replays, or an unknown dose or skill
        """
        from forgetting.analysis.replay_share import replay_shares

        found = replay_shares(self, skill, dose, levels)
        if found.empty:
            raise UsageError("replay_shares: needs arms with replay, self_replay or shifts below 1")
        return found

    def plot_replay(self, dose: int = 0, beyond: float = 0.0) -> Figure:
        """The shares of ``replay_shares`` of maths against parameters, of the first arms that replay.

        ``beyond`` extrapolates the better law up to so many parameters, dashed and labelled so.

        Raises:
            UsageError: a study with fewer than three sizes, or in which no arm replays
        """
        from forgetting.report import replay_views

        shares = self.replay_shares(replay_views.SKILL, dose)
        figure = replay_views.replay_figure(shares[shares["arms"] == shares["arms"].iloc[0]], beyond)
        if figure is None:
            raise UsageError(f"plot_replay: needs {replay_views.FEWEST_SIZES} sizes or more")
        return figure

    def transfer(self) -> Transfer:
        """What every phase of a sequence did to every skill and task: matrices, transfer, costs of phases, savings.

        Its frames are described in ``analysis.transfer.Transfer``.

        Raises:
            UsageError: a study in which no arm is a sequence
        """
        from forgetting.analysis.transfer import transfer

        with shown(self.folder):
            found = transfer(self)
        if found.matrices.empty:
            raise UsageError("transfer: needs a contamination that is a sequence of tasks")
        return found

    def order_effects(self) -> pd.DataFrame:
        """Whether the losses of phases add, and what they cost by kind and by place (``analysis.order_effects``).

        Raises:
            UsageError: a study without several orders of the same phases, in which each comes first once
        """
        from forgetting.analysis.order_effects import order_effects

        with shown(self.folder):
            found = order_effects(self)
        if found.empty:
            raise UsageError(
                "order_effects: needs blocked sequences of the same phases, of which each comes first in one"
            )
        return found

    def plot_transfer(self, arm: str | None = None) -> Figure:
        """The matrix of each student in one arm (the first sequence) as a heat map.

        Raises:
            UsageError: an unknown arm, or one that is no sequence
        """
        from forgetting.report import transfer_views

        sequences = [str(one["name"]) for one in self.record.get("arms", []) if one.get("phases")]
        chosen = self.arm(arm or next((name for name in sequences if name in self.arm_names), self.arm_names[0]))
        figure = transfer_views.transfer_figure(self, chosen)
        if figure is None:
            raise UsageError(f"plot_transfer: arm {chosen.name!r} is no sequence of tasks")
        return figure

    def capacity_thresholds(
        self,
        skill: str = "maths",
        dose: int = 0,
        levels: Sequence[float] = LEVELS,
        nll: Sequence[float] | None = None,
        arms: Iterable[str] | None = None,
        leave_out_stuck: bool = False,
    ) -> pd.DataFrame:
        """The smallest size that keeps each level of a skill, by equal dose and equal learning, in three readings.

        Readings are accuracy, accuracy given a well-formed answer, and the likelihood of the gold answer. Arguments and
        columns are described in ``analysis.capacity_readings.capacity_thresholds``; every row takes some seconds.

        Raises:
            UsageError: an unknown skill, arm or dose, or bad levels
        """
        from forgetting.analysis.capacity_readings import capacity_thresholds

        return capacity_thresholds(self, skill, dose, levels, nll, arms, leave_out_stuck)

    def orderings(self) -> pd.DataFrame:
        """What several papers agree on, judged by this study: ``pass``, ``fail`` or ``open``, intervals by students.

        Of remedies by the areas between their fronts (``analysis.orderings``), of plain runs by a statistic of each
        student (``analysis.run_orderings``); what the study has no arms for is not there.
        """
        from forgetting.analysis.orderings import orderings
        from forgetting.analysis.run_orderings import run_orderings

        fronts = orderings(self).rename(columns={"area": "value", "student": "of"})
        return pd.concat([run_orderings(self), fronts], ignore_index=True) if len(fronts) else run_orderings(self)

    def branches(self, skill: str = "maths", level: float = 0.5, nll: float = 4.0) -> pd.DataFrame:
        """Students that branch from one trunk: what each took, whether it arrived, its half dose, and mediators.

        Columns are described in ``analysis.branches.branch_runs``.

        Raises:
            UsageError: a study in which no student branches, an unknown skill, or a bad level
        """
        from forgetting.analysis.branches import branch_runs

        found = branch_runs(self, skill, level, nll)
        if found.empty:
            raise UsageError("branches: needs students that branch from a trunk (ladder.branches)")
        return found

    def branch_differences(self, against: str = "off_policy") -> pd.DataFrame:
        """Each branch less another on the same trunks, at equal skill and as made, intervals by trunks.

        Columns are described in ``analysis.branches.branch_differences``.

        Raises:
            UsageError: a study in which no student branches, or no branch of that name
        """
        from forgetting.analysis.branches import differences_of

        self.branches()
        return differences_of(self, against)

    def branch_quality(self, against: str = "off_policy") -> pd.DataFrame:
        """Depth, robustness and effort of each branch less another on the same trunks, at dose 0 and the last one.

        Columns are described in ``analysis.branch_quality.quality_differences``, measures in its ``readings``.

        Raises:
            UsageError: a study in which no student branches, or no branch of that name
        """
        from forgetting.analysis.branch_quality import quality_differences, readings

        found = readings(self)
        if found.empty:
            raise UsageError("branch_quality: needs students that branch from a trunk (ladder.branches)")
        return quality_differences(found, against)

    def plot_capacity(
        self, arm: str | None = None, skill: str = "maths", thresholds: pd.DataFrame | None = None
    ) -> Figure:
        """What every size keeps in one arm (the first), in three readings, at equal dose and at equal learning.

        ``thresholds``, a frame of ``capacity_thresholds``, are drawn with their intervals.

        Raises:
            UsageError: an unknown arm or skill, or fewer than three sizes
        """
        from forgetting.report import capacity_views

        name = self.arm(arm or next(iter(self.arm_names), "")).name
        figure = capacity_views.capacity_figure(self, name, skill, thresholds)
        if figure is None:
            raise UsageError(f"plot_capacity: needs {capacity_views.FEWEST_SIZES} sizes or more")
        return figure

    def failures(self, *, kinds: bool = False, accuracy: float | None = None) -> pd.DataFrame:
        """How wrong answers failed, by student, arm, benchmark and dose: see docs/failures.md for the classes.

        Columns are described in ``analysis.failures.composition``.

        Args:
            kinds: a row for each kind of a class
            accuracy: only the dose of each student, arm and benchmark at which accuracy is nearest to it

        Raises:
            UsageError: a study without a benchmark whose answers can be classed, or without what tells of them
        """
        from forgetting.analysis.failures import composition, counts_of

        counts = counts_of(self)
        if counts.empty:
            raise UsageError(
                "failures: needs answers to maths, code, traps or gsm8k; of an older study its ledger, and items of "
                "the embedded world that this version asks"
            )
        return composition(counts, kinds=kinds, accuracy=accuracy)

    def lost_shares(self) -> pd.DataFrame:
        """Garbled, hidden and lost shares of what each size lost, by students; see ``analysis.lost_shares``.

        Raises:
            UsageError: a study in which nothing was probed
        """
        from forgetting.analysis.lost_shares import lost_shares

        return self._probed(lost_shares(self))

    def probe_effects(self) -> pd.DataFrame:
        """What every probe brings back, with its control beside it; see ``analysis.lost_shares.probe_effects``.

        Raises:
            UsageError: a study in which nothing was probed
        """
        from forgetting.analysis.lost_shares import probe_effects

        return self._probed(probe_effects(self))

    def module_effects(self) -> pd.DataFrame:
        """What restored and transplanted modules do beyond random sets; see ``analysis.module_effects``.

        Raises:
            UsageError: a study without the interventions ``restore`` and ``transplant``
        """
        from forgetting.analysis.module_effects import module_effects

        return self._probed(module_effects(self))

    def value_distances(self) -> pd.DataFrame:
        """Right copies of values by how far back they stand; see ``analysis.value_distance``, also for slopes.

        Raises:
            UsageError: a study without maths or traps, or without its ledger and ``distances.csv``
        """
        from forgetting.analysis.value_distance import counts_of, value_distances

        if (counts := counts_of(self)).empty:
            raise UsageError("value_distances: needs maths or traps, and the ledger or distances.csv")
        return value_distances(counts)

    def _probed(self, found: pd.DataFrame) -> pd.DataFrame:
        if found.empty:
            raise UsageError("probes: needs answering or interventions, and a skill that was learned and then lost")
        return found

    def summary(self) -> Summary:
        """Retention at the last dose by student and skill; ``print`` shows it in at most 80 columns, rich in colour."""
        from forgetting.report import terminal

        with shown(self.folder):
            return terminal.summary(self)

    def compare(
        self,
        other: Result | Path | str,
        *,
        arm: str | None = None,
        other_arm: str | None = None,
        dose: int | None = None,
    ) -> Comparison:
        """Another study (or its folder) against this one, paired by item: lost, gained, McNemar's p, an interval.

        Compared is at the last dose that both measured, unless ``dose`` is given; ``arm`` and ``other_arm`` choose
        one arm of each.

        Raises:
            UsageError: nothing is shared, or ``other`` is no study
        """
        from forgetting.analysis.pairing import compare_studies

        against = other if isinstance(other, Result) else load(other)
        return compare_studies(self, against, arm=arm, other_arm=other_arm, dose=dose)

    def report(self, path: Path | str | None = None, what: Iterable[str] | None = None) -> Path:
        """Build all views in the study's folder, or only the report at ``path``, file or folder; returns its path."""
        from forgetting.report import build

        if path is None:
            build.write_views(self, build.VIEWS if what is None else what)
            return self.folder / "report.html"
        target = Path(path)
        if target.suffix == ".html":
            return build.write_html(self, target)
        build.write_views(self, ("html",) if what is None else what, target)
        return target / "report.html"

    def __repr__(self) -> str:
        students = ", ".join(self.curves)
        return f"Result({self.name!r}: {len(self.arm_names)} arm(s) ({', '.join(self.arm_names)}), students {students})"

    def _repr_html_(self) -> str:
        """A notebook shows retention at the last dose, and where the folder is."""
        from forgetting.report import html

        with shown(self.folder):
            return html.notebook(self)


def load(path: Path | str) -> Result:
    """The result in a study's folder: another object than ``simulate`` returned, with equal numbers.

    Raises:
        UsageError: the folder is missing, unfinished or broken; one line says which
    """
    folder = Path(checked(path, str | os.PathLike, "path"))
    with shown(folder):
        result = Result(folder, read_record(folder))
        if result.ledger is None and result.scores.empty:
            raise UsageError(f"{folder}: has neither ledger.parquet nor scores.jsonl")
    return result
