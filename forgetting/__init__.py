"""How much do distilled language models forget when fine-tuned? Names are handed on lazily, so importing is free."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from forgetting.analysis.curves import ForgettingCurve
    from forgetting.analysis.thresholds.threshold import Threshold
    from forgetting.own_model.advise import advise
    from forgetting.own_model.check import check
    from forgetting.own_model.compare import compare
    from forgetting.report.result import Result, load
    from forgetting.simulate import simulate
    from forgetting.spec import Doses, Evaluation, Fit, Ladder, Optimiser, Spec
    from forgetting.sweep.locate import locate_threshold

__version__ = "0.1.0"

_HOMES = {
    "simulate": "forgetting.simulate",
    "locate_threshold": "forgetting.sweep.locate",
    "advise": "forgetting.own_model.advise",
    "check": "forgetting.own_model.check",
    "compare": "forgetting.own_model.compare",
    "load": "forgetting.report.result",
    "Result": "forgetting.report.result",
    "ForgettingCurve": "forgetting.analysis.curves",
    "Threshold": "forgetting.analysis.thresholds.threshold",
    "Spec": "forgetting.spec",
    "Ladder": "forgetting.spec",
    "Doses": "forgetting.spec",
    "Evaluation": "forgetting.spec",
    "Fit": "forgetting.spec",
    "Optimiser": "forgetting.spec",
}

__all__ = [
    "Doses",
    "Evaluation",
    "Fit",
    "ForgettingCurve",
    "Ladder",
    "Optimiser",
    "Result",
    "Spec",
    "Threshold",
    "__version__",
    "advise",
    "check",
    "compare",
    "load",
    "locate_threshold",
    "simulate",
]


def __getattr__(name: str) -> Any:
    """Import the home of a public name when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'forgetting' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted({*globals(), *_HOMES})


class _Package(ModuleType):
    """Importing ``forgetting.simulate`` must not put the module where the function of that name is handed on."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "simulate" and isinstance(value, ModuleType):
            return
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
