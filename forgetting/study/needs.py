"""What carrying a spec out would import, start or connect to, beyond this package: named without doing any of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from forgetting import registry
from forgetting.spec import Spec

HERE = ("inline", "processes")  # executors that stay on this machine


def study_needs(spec: Spec) -> list[str]:
    """By short phrases: foreign code, tasks that may bring functions, programs, and names on the hub."""
    parts, found = list(_parts(spec)), list[str]()
    found += [f"import {name!r}" for family, name, _ in parts if name not in registry.names(family)]
    found += [f"run what the tasks in {own['folder']!r} say" for _, _, own in parts if own.get("folder")]
    found += [f"fetch the data of lm-eval's {own.get('task', 'arc_easy')!r}" for _, n, own in parts if n == "lm_eval"]
    if command := spec.machine.backend.command:
        found.append(f"start {' '.join(command)!r}")
    found += [f"send scores to {name}" for name in spec.machine.loggers]
    models = [*spec.ladder.students, spec.ladder.teacher]
    sources = [str(one.get("source", "") if isinstance(one, Mapping) else one) for one in models]
    sources += [_source_of(*part) for part in parts]
    found += [f"fetch {source!r} unless it is in the cache" for source in sources if _is_remote(source)]
    return list(dict.fromkeys(found))


def sweep_needs(executor: Any, storage: str) -> list[str]:
    """What a sweep adds: who carries its runs out, and where its trials are kept."""
    name = executor.get("name") if isinstance(executor, Mapping) else executor
    found = [] if name in HERE else [f"hand its runs to the executor {executor!r}"]
    return [*found, f"connect to the storage {storage!r}"] if storage else found


def _parts(spec: Spec) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every part that a spec names, those inside of others as well: family, name, settings."""
    ladder = spec.ladder
    stages = [*ladder.stages(), *(one for own in ladder.branch_stages().values() for one in own)]
    fits = [ladder.teaching, ladder.distilling, *(stage.fit for stage in stages)]
    untils = [fit.until for fit in fits]
    found: list[tuple[str, Any]] = [("contamination", ladder.original)]
    found += [("contamination", fit.original) for fit in fits if fit.original]
    found += [("distillation", stage.method) for stage in stages]
    found += [("benchmarks", until.benchmark) for until in untils if until.benchmark]
    found += [("answering", until.answering) for until in untils if until.answering]
    found += [("contamination", value) for value in spec.contaminations]
    found += [("mitigation", value) for value in spec.mitigations]
    found += [("benchmarks", value) for value in spec.evaluation.benchmarks]
    found += [("answering", value) for value in spec.evaluation.answering]
    found += [("intervention", value) for value in spec.interventions]
    while found:
        family, value = found.pop()
        settings = registry.settings_of(family, value)
        yield family, str(settings.pop("name", "")), settings
        for inner in settings.values():
            several = inner if isinstance(inner, list | tuple) else [inner]
            found += [(family, one) for one in several if isinstance(one, Mapping) or _is_path(one)]


def _is_path(value: Any) -> bool:
    """Whether a setting's text has the form of an import path."""
    return isinstance(value, str) and "." in value and all(word.isidentifier() for word in value.split("."))


def _source_of(family: str, name: str, settings: Mapping[str, Any]) -> str:
    """Where a part takes its rows from: what is set, or its default."""
    if "source" in settings:
        return str(settings["source"])
    if name not in registry.names(family):
        return ""
    fields = {f.name: f.default for f in dataclasses.fields(registry.part_class(family, name))}
    return str(fields.get("source", ""))


def _is_remote(source: str) -> bool:
    """Whether a source of weights or rows is a name on the hub or an address rather than a place on this machine."""
    plain = source.removeprefix("stream:")
    if "://" in plain:
        return True
    here = plain.startswith((".", "/", "~", "$")) or Path(plain.replace("{split}", "test")).exists()
    return "/" in plain and not here
