"""The paper's claims as hypotheses: results of studies in, verdicts by fixed rules out. No torch."""

from forgetting.claims.judging.judge import judge
from forgetting.claims.judging.rules import Rules, read_rules
from forgetting.claims.judging.verdict import Verdict, VerdictStatus

__all__ = ["Rules", "Verdict", "VerdictStatus", "judge", "read_rules"]
