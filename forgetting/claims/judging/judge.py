"""From studies to verdicts: every claim in every study, the best measured study of each, Holm's correction over them.

The study that judges a claim is chosen by what it measured, never by what came out: most parts tested, fewest needs
missing, then most seeds, sizes and items in the first part, then the order given. What the others say stands in the
verdict's notes. Of a claim whose parts are questions of their own (``parts_apart``) each part is judged so by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from forgetting.analysis.statistics import holm
from forgetting.claims.judging.decision import OPEN, OPPOSES, SUPPORTS, UNTESTABLE, Counts, combine
from forgetting.claims.judging.evidence import Measured
from forgetting.claims.judging.rules import ClaimRule, Pair, Rules, read_rules
from forgetting.claims.judging.verdict import ClaimVerdict, Finding, Rival
from forgetting.errors import require

WITHOUT_ITEMS = "without items: intervals from counts, template clustering not counted"


def judge(paths: Iterable[Path | str], rules: Rules | Path | str | None = None) -> list[ClaimVerdict]:
    """Judge every claim of the rules (a file; by default the package's) on the folders of studies or sweeps.

    Raises:
        UsageError: no folder, a folder that is no finished study, or rules that are none
    """
    chosen = rules if isinstance(rules, Rules) else read_rules(rules)
    studies = [Measured(path) for path in paths]
    require(len(studies) > 0, "results", "at least one folder of a study", "none")
    best = {name: _best(rule, studies) for name, rule in chosen.claims.items()}
    combined = {name: combine(finding.parts) for name, (_, finding, _) in best.items()}
    tested = [name for name, (_, p) in combined.items() if math.isfinite(p)]
    corrected = dict(zip(tested, holm([combined[name][1] for name in tested]), strict=True))
    return [
        _verdict(name, chosen, *best[name], combined[name][0], float(corrected.get(name, math.nan))) for name in best
    ]


def _best(rule: ClaimRule, studies: list[Measured]) -> tuple[list[Measured], Finding, tuple[str, ...]]:
    """The studies that judge, what they say, and what the others found."""
    found = [(study, _finding(study, rule, pair)) for study in studies for pair in rule.pairs]
    ranked = sorted(found, key=lambda one: _rank(one[1]), reverse=True)
    if rule.claim.parts_apart:
        return _by_parts(rule, ranked)
    (study, finding), others = ranked[0], ranked[1:]
    notes = []
    for other, own in others:
        for part in own.parts:
            if part.outcome != UNTESTABLE:
                effect = f"{part.value:+.2f} [{part.low:+.2f}, {part.high:+.2f}] {part.outcome}"
                notes.append(f"also in {other.name} ({own.conditions}): {part.name} {effect}")
    return [study], finding, tuple(notes)


def _by_parts(
    rule: ClaimRule, ranked: list[tuple[Measured, Finding]]
) -> tuple[list[Measured], Finding, tuple[str, ...]]:
    """Each part from the study that tests it best; nothing is pooled."""
    used: list[tuple[Measured, Finding]] = []
    parts = []
    for place in range(len(rule.parts)):
        tested = [one for one in ranked if one[1].parts[place].outcome != UNTESTABLE]
        chosen = max(tested, key=lambda one: _rank_of_part(one[1], place), default=ranked[0])
        parts.append(chosen[1].parts[place])
        if tested and chosen not in used:
            used.append(chosen)
    if not used:
        return [ranked[0][0]], ranked[0][1], ()
    whole = Finding(
        tuple(parts),
        tuple(_rival([(study.name, own.rivals[place]) for study, own in used]) for place in range(len(rule.rivals))),
        "; ".join(dict.fromkeys(own.conditions for _, own in used)),
        tuple(dict.fromkeys(f"{study.name}: {need}" for study, own in used for need in own.missing)),
        tuple(dict.fromkeys(note for _, own in used for note in own.notes)),
    )
    return [study for study, _ in used], whole, ()


def _rival(states: list[tuple[str, Rival]]) -> Rival:
    """What several studies say of one rival: it explains if it does in one, else is excluded if it is in one."""
    state = next((name for name in ("explains", "excluded") if any(one.state == name for _, one in states)), "open")
    said = "; ".join(f"{study}: {one.evidence}" for study, one in states if one.state == state)
    return replace(states[0][1], state=state, evidence=said)


def _rank_of_part(finding: Finding, place: int) -> tuple[int, ...]:
    part = finding.parts[place]
    return -len(finding.missing), part.seeds, part.sizes, part.items


def _finding(study: Measured, rule: ClaimRule, pair: Pair) -> Finding:
    """What a study says, if its students are of the kind that the claim is about."""
    if study.branched and not rule.claim.of_branches:
        why = "its students branch from one trunk and are no sizes"
        return Finding.nothing(rule, why, f"{pair.contamination} against {pair.skill}")
    found: Finding = rule.claim.judge(study, rule, pair)
    return found


def _rank(finding: Finding) -> tuple[int, ...]:
    tested = [part for part in finding.parts if part.outcome != UNTESTABLE]
    n = (tested[0].seeds, tested[0].sizes, tested[0].items) if tested else ()
    return len(tested), finding.measured, -len(finding.missing), *n


def _counts(finding: Finding) -> Counts:
    tested = [part for part in finding.parts if part.outcome != UNTESTABLE]
    names = ("sizes", "seeds", "items")
    return Counts(*(min((getattr(part, name) for part in tested), default=0) for name in names))


def _verdict(
    name: str, rules: Rules, studies: list[Measured], finding: Finding, others: tuple[str, ...], outcome: str, p: float
) -> ClaimVerdict:
    rule, n = rules.claims[name], _counts(finding)
    verdict, reason = _decision(finding, outcome, p, rules.level)
    notes, missing = finding.notes + others, finding.missing
    if outcome != UNTESTABLE:
        missing += tuple(f"part {part.name}: {part.note}" for part in finding.parts if part.outcome == UNTESTABLE)
    if not all(study.with_items for study in studies) and outcome != UNTESTABLE:
        notes = (WITHOUT_ITEMS, *notes)
    return ClaimVerdict(
        claim=name,
        title=rule.title,
        paper=rule.paper,
        verdict=verdict,
        exploratory=bool(missing),
        reason=reason,
        study=", ".join(study.name for study in studies),
        conditions=finding.conditions,
        sizes=n.sizes,
        seeds=n.seeds,
        items=n.items,
        p=p,
        parts=finding.parts,
        rivals=finding.rivals,
        missing=missing,
        notes=notes,
        rules_version=rules.version,
        source=rule.source,
        zones=finding.zones,
    )


def _decision(finding: Finding, outcome: str, p: float, level: float) -> tuple[str, str]:
    named = {
        kind: [part.name for part in finding.parts if part.outcome == kind]
        for kind in (SUPPORTS, OPPOSES, OPEN, UNTESTABLE)
    }
    said = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in named.items() if names)
    if outcome == UNTESTABLE:
        return "not_testable", "; ".join(dict.fromkeys(part.note for part in finding.parts))
    if outcome == OPEN:
        return "inconclusive", said
    if math.isfinite(p) and p > level:
        return "inconclusive", f"{said}; not after Holm's correction (p {p:.3f})"
    if outcome == OPPOSES:
        return "contradicted", said
    rivals = [rival for rival in finding.rivals if rival.state == "explains"]
    said += f"; explained as well by {', '.join(rival.name for rival in rivals)}" if rivals else ""
    return "inconclusive" if any(rival.blocks for rival in rivals) else "supported", said
