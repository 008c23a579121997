"""A question that only some studies can answer: what the report has of it, in a section of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from forgetting.analysis.study_folder import StudyFolder


@dataclass(frozen=True)
class Topic:
    """A section of the report; a study of which ``tables`` finds nothing has none.

    Attributes:
        anchor: what links lead to
        title: the question
        text: what figures and tables are of, for readers who see no docs
        captions: of figures, by the first word of their name
        tables: by title, folded; an empty one is left out
        drawn: figures by file name
        said: the answer in a sentence, where there is one
    """

    anchor: str
    title: str
    text: str
    captions: Mapping[str, str]
    tables: Callable[[StudyFolder], Mapping[str, pd.DataFrame]]
    drawn: Callable[[StudyFolder], Mapping[str, Figure]] = lambda _: {}
    said: Callable[[StudyFolder], str] = lambda _: ""
