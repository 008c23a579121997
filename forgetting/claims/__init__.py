"""The paper's claims as hypotheses: results of studies in, verdicts by fixed rules out. No torch."""

from forgetting.claims.judging.judge import judge
from forgetting.claims.judging.rules import Rules, read_rules
from forgetting.claims.judging.verdict import ClaimVerdict, VerdictStatus

__all__ = ["ClaimVerdict", "Rules", "VerdictStatus", "judge", "read_rules"]
