"""Whether a fit could be made of the data it was given: an enumeration whose text is the remedy."""

from __future__ import annotations

import enum


class FitStatus(enum.Enum):
    """Why a fit has, or has not, coefficients. The name is stored; the text is the remedy."""

    fitted = "Nothing to remedy."
    not_learned = (
        "Accuracy at dose 0 is less than .30 above chance, so there is nothing to forget: distil longer, or take a "
        "larger student."
    )
    too_little_data = "Fewer informative points than coefficients: add doses, sizes or seeds."
    never_crossed = "No run lost the level at any dose: raise the doses or the shift, or add smaller students."
    always_crossed = "Every run lost the level before its first dose: add smaller doses, or larger students."
