"""Graders of free text: numbers, mathematical expressions, programs."""
