"""Where TensorBoard shows a study, with the settings that a URL can carry."""

from __future__ import annotations

import re
from urllib.parse import urlencode

from forgetting.analysis.study_folder import StudyFolder

ADDRESS = "http://localhost:6006"


def tensorboard_link(study: StudyFolder, address: str = ADDRESS) -> str:
    """TensorBoard's address with what a URL can carry: no smoothing, and a colour for each student.

    TensorBoard's own settings leave outliers out of charts; no URL changes that, a box in its settings does.
    """
    students = "|".join(re.escape(str(one["name"])) for one in study.record.get("students", []))
    return f"{address}/?{urlencode({'smoothing': '0', 'runColorGroup': f'regex:^({students})-'})}#timeseries"
