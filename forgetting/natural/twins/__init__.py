"""Twins of real benchmark problems: the same problem with other numbers, names, order or form."""
