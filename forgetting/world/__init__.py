"""The embedded language: a closed vocabulary and the problems, programs, facts and talk that are written in it."""

from __future__ import annotations

WORLD_VERSION = 1
