"""Views of a threshold sweep: its ``sweep.json`` and score rows in; thresholds, zones, figures and tables out."""
