"""The report in a real browser, where one is installed: tables are folded, they sort, and a phone shows all of it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from forgetting.report.result import load

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = """<script>
const table = [...document.querySelectorAll("table.data")].find(t => /dose/.test(t.tHead.textContent));
const place = [...table.tHead.rows[0].cells].findIndex(c => c.textContent === "retention");
table.tHead.rows[0].cells[place].click();
const said = [...table.tBodies[0].rows].map(row => row.cells[place].textContent.trim()).join(";");
const open = document.querySelectorAll("details[open]").length;
document.body.dataset.said = said + "|" + open + "|" + document.documentElement.scrollWidth + "|" + innerWidth;
</script></body>"""


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no chromium and no google-chrome is installed")
def test_tables_are_folded_and_sort_and_the_page_fits_a_phone(small_folder: Path, tmp_path: Path) -> None:
    page = load(small_folder).report(tmp_path / "page.html")
    page.write_text(page.read_text().replace("</body>", DRIVER))
    words = [str(BROWSER), "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run(
        [*words, "--window-size=500,900", "--dump-dom", page.as_uri()],
        check=True, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    found = re.search(r'data-said="([^"]*)"', done.stdout)
    assert found is not None
    cells, unfolded, width, window = found[1].split("|")
    numbers = [float(cell) for cell in cells.split(";") if cell != "–"]
    assert len(numbers) > 5 and numbers == sorted(numbers)
    assert unfolded == "0" and int(width) <= int(window)
