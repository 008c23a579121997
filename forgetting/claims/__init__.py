"""The claims of the paper, judged by rules that were fixed before the measurements. No torch."""
