"""Synthetic studies as fixtures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.claims.synthetic import Probability, World, arm, write


@pytest.fixture
def study(tmp_path: Path) -> Callable[..., Path]:
    """Write a synthetic study: ``study(accuracy, arms, ledger=..., name=..., **fields of World)``."""

    def make(
        accuracy: Probability, arms: list[dict[str, Any]], *, ledger: bool = True, name: str = "study", **fields: Any
    ) -> Path:
        return write(World(accuracy, arms, **fields), tmp_path / name, ledger)

    return make


@pytest.fixture
def make_arm() -> Callable[..., dict[str, Any]]:
    """An arm of a record."""
    return arm
