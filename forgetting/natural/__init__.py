"""Natural text, the counterpart of the embedded world: corpora, grading, twins, altered syntax, lm-eval's tasks."""
