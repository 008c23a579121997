"""Names of an arm's data as a reader knows them."""

from __future__ import annotations

import pytest

from forgetting.analysis.record_reading import data_name


@pytest.mark.parametrize(
    ("arm", "name"),
    [
        ({"contamination": {"name": "dialogue", "turns": 1}}, "dialogue"),
        ({"contamination": {"name": "world_rows", "source": "$DATA/rows/chats.2026.jsonl.gz"}}, "chats (world_rows)"),
        ({"contamination": {"name": "conversations", "source": "somebody/chats"}}, "chats (conversations)"),
        ({"contamination": "noise"}, "noise"),
        ({"name": "noise-constant"}, "noise"),
    ],
)
def test_ones_own_data_are_named_by_their_file(arm: dict[str, object], name: str) -> None:
    assert data_name(arm) == name
