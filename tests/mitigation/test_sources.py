"""Sources of remedies: what docs/remedies.md cites for each stands in its docstring."""

from __future__ import annotations

import re
from pathlib import Path

from forgetting import registry

DOCS = Path(__file__).parents[2] / "docs" / "remedies.md"
NUMBER = re.compile(r"\b\d{4}\.\d{5}\b")
OWN = {"joint", "module_rate"}  # nobody's method


def test_every_source_of_the_table_is_in_the_docstring() -> None:
    table = DOCS.read_text(encoding="utf-8").partition("| remedy |")[2].partition("\n\n")[0]
    cited = {row.split("`")[1]: set(NUMBER.findall(row)) for row in table.splitlines() if row.startswith("| `")}
    assert {*cited, "none"} == set(registry.names("mitigation"))
    assert {name for name, numbers in cited.items() if not numbers} == OWN
    for name, numbers in cited.items():
        assert numbers <= set(NUMBER.findall(str(registry.part_class("mitigation", name).__doc__))), name
