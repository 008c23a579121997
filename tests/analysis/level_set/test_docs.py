import inspect
import re
from pathlib import Path

from forgetting.analysis.level_set.sampler import LevelSetSampler
from forgetting.analysis.thresholds.threshold import Threshold, ThresholdStatus

PAGE = (Path(__file__).parents[3] / "docs" / "level_set.md").read_text()


def test_the_example_finds_its_threshold() -> None:
    code = re.search(r"<!-- EXAMPLE -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    assert code
    names: dict = {}
    exec(code[1], names)
    threshold = names["threshold"]
    assert isinstance(threshold, Threshold) and threshold.located
    assert threshold.low <= 1e5 <= threshold.high
    assert threshold.decades < 0.5


def test_every_setting_has_its_row_and_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", PAGE, re.MULTILINE))
    settings = inspect.signature(LevelSetSampler).parameters
    assert set(rows) == set(settings)
    for name, setting in settings.items():
        shown = rows[name]
        assert (shown == "None") if setting.default is None else float(shown) == setting.default


def test_every_status_is_named() -> None:
    assert all(f"`{status.name}`" in PAGE for status in ThresholdStatus)
