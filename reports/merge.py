"""Reports of one stage, one tool and one design stand in one column; whatever contradicts it has its own."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import PurePosixPath

from bitwright.reports.report import Layer, Stage, StageReport

GROUPS = ("performance", "clock", "used", "available", "timing", "power", "simulation")
ORDER = tuple(Stage)


def merged(reports: Iterable[StageReport]) -> tuple[StageReport, ...]:
    """Return the reports in the order of the flow, those that complete one another as one.

    Two that both hold a figure and disagree are two designs: the later one's variant names its file.

    >>> from bitwright.reports.report import Power, Resources, Tool
    >>> cells = StageReport(Stage.IMPL, Tool("Vivado", "2024.1"), ("util.rpt",), used=Resources(lut=7722))
    >>> power = StageReport(Stage.IMPL, Tool("Vivado", "2024.1"), ("power.rpt",), power=Power(3.566))
    >>> [report.key for report in merged([cells, power])]
    ['impl']
    >>> [report.key for report in merged([cells, replace(cells, sources=("old.rpt",), used=Resources(lut=8000))])]
    ['impl', 'impl_old']
    """
    found: list[StageReport] = []
    for report in reports:
        at = next((index for index, other in enumerate(found) if _agree(other, report)), None)
        if at is not None:
            found[at] = _joined(found[at], report)
        else:
            found.append(_apart(report, {other.key for other in found}))
    return tuple(sorted(found, key=lambda report: (ORDER.index(report.stage), report.key)))


def _agree(one: StageReport, other: StageReport) -> bool:
    if one.key != other.key or one.tool != other.tool:
        return False
    pairs = [(getattr(one, name), getattr(other, name)) for name in (*GROUPS, "part")]
    pairs += [(one.words.get(name), other.words.get(name)) for name in one.words.keys() | other.words.keys()]
    return all(a is None or b is None or a == b for a, b in pairs)


def _joined(one: StageReport, other: StageReport) -> StageReport:
    groups = {name: getattr(one, name) or getattr(other, name) for name in (*GROUPS, "part")}
    return replace(
        one,
        **groups,
        sources=(*one.sources, *other.sources),
        date=max(filter(None, (one.date, other.date)), default=None),
        words={**other.words, **one.words},
        layers=_joined_layers(one.layers, other.layers),
    )


def _joined_layers(some: tuple[Layer, ...], others: tuple[Layer, ...]) -> tuple[Layer, ...]:
    by_name = {layer.name: layer for layer in others}
    joined = []
    for layer in some:
        other = by_name.pop(layer.name, None)
        joined.append(layer if other is None else _joined_layer(layer, other))
    return (*joined, *by_name.values())


def _joined_layer(one: Layer, other: Layer) -> Layer:
    return replace(
        one,
        module=one.module or other.module,
        performance=one.performance or other.performance,
        clock=one.clock or other.clock,
        used=one.used or other.used,
        power=one.power or other.power,
        words={**other.words, **one.words},
    )


def _apart(report: StageReport, taken: set[str]) -> StageReport:
    if report.key not in taken:
        return report
    stem = PurePosixPath(report.sources[0]).stem if report.sources else "other"
    variants = [
        "_".join(filter(None, (report.variant, stem, more))) for more in ("", *map(str, range(2, len(taken) + 3)))
    ]
    return next(free for free in (replace(report, variant=name) for name in variants) if free.key not in taken)
