"""Whether steps hold together, by themselves: an answer in, what is wrong with each of its parts out.

The prompt and the gold answer are not asked, so that such a check can stand beside a student in use. A step holds where
its equation is true and it begins with the result before it; the final answer where it is the last result.
"""

from __future__ import annotations

from forgetting.world.steps import is_true, read


def faults(text: str) -> list[str]:
    """A word for each part between semicolons, "" where it holds; one more, ``no_end``, without a final answer."""
    parts, found = text.split(";"), list[str]()
    result: int | None = None
    for number, part in enumerate(parts):
        steps, final = read(part)
        if final is not None and number == len(parts) - 1:
            return [*found, "" if final == result else "other_end"]
        step = steps[0] if steps else None
        if step is None:
            found.append("malformed")
            continue
        broken = result is not None and step[0] != result
        found.append("arithmetic" if not is_true(step) else "broken_chain" if broken else "")
        result = step[3]
    return [*found, "no_end"]


def coherent(text: str) -> bool:
    """Whether all parts hold, the final answer included."""
    return not any(faults(text))


def share_coherent(text: str) -> float:
    """The share of an answer's parts that hold, its end among them."""
    found = faults(text)
    return sum(not fault for fault in found) / len(found)
