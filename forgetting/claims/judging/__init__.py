"""How a claim is judged: the rules file, the evidence of studies, decisions and verdicts."""
