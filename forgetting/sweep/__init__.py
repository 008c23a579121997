"""A threshold sweep: which runs of a study to make next, who makes them, and when to stop."""
