"""C synthesis: `<top>_csynth.xml` of Vivado HLS and Vitis HLS, 2018 to 2024."""

from xml.etree.ElementTree import Element

from bitwright.reports.report import Clock, Layer, Performance, Resources, Stage, StageReport, Tool
from bitwright.reports.text import duration_ns, integer, printable, real
from bitwright.reports.xml import parse_xml, text_of

LATENCY = "PerformanceEstimates/SummaryOfOverallLatency"
CLOCK = "PerformanceEstimates/SummaryOfTimingAnalysis"


def parse_csynth(data: bytes, where: str) -> StageReport:
    """Return what C synthesis estimates.

    Args:
        data: `<top>_csynth.xml`, or the `csynth.xml` of the whole design, which adds the layers.
        where: Its path, for errors.

    Raises:
        ValueError: If it is no such report, is cut off, or holds a figure that is no number.

    Source: UG1399, Vitis HLS: C synthesis results; figures of a hardware function's summary.

    >>> data = b'''<profile><ReportVersion><Version>2020.1</Version></ReportVersion><UserAssignments>
    ...   <TargetClockPeriod>5.00</TargetClockPeriod></UserAssignments><PerformanceEstimates>
    ...   <SummaryOfOverallLatency><Worst-caseLatency>10</Worst-caseLatency></SummaryOfOverallLatency>
    ...   </PerformanceEstimates><AreaEstimates><Resources><DSP48E>73</DSP48E></Resources></AreaEstimates></profile>'''
    >>> found = parse_csynth(data, "csynth.xml")
    >>> str(found.tool), found.performance.latency_max_cycles, found.used.dsp
    ('Vivado HLS 2020.1', 10, 73)
    """
    root = parse_xml(data, where)
    target = real(text_of(root, "UserAssignments/TargetClockPeriod", where), f"{where}: TargetClockPeriod")
    summary = _element(root, LATENCY, where)
    return StageReport(
        Stage.CSYNTH,
        Tool(_tool(root), printable(text_of(root, "ReportVersion/Version", where))),
        part=printable(root.findtext("UserAssignments/Part", "")) or None,
        performance=_performance(summary, target, where),
        clock=Clock(
            target,
            real(root.findtext("UserAssignments/ClockUncertainty", ""), f"{where}: ClockUncertainty"),
            real(root.findtext(f"{CLOCK}/EstimatedClockPeriod", ""), f"{where}: EstimatedClockPeriod"),
        ),
        used=_resources(_element(root, "AreaEstimates/Resources", where), where),
        available=_resources(root.find("AreaEstimates/AvailableResources"), where),
        words=_words(root.findtext("PerformanceEstimates/PipelineType")),
        layers=_layers(root, target, where),
    )


def top_of(data: bytes, where: str) -> str | None:
    """Return the name of the top function that a report is of.

    Raises:
        ValueError: If it is no XML.

    >>> top_of(b"<profile><UserAssignments><TopModelName>net</TopModelName></UserAssignments></profile>", "csynth.xml")
    'net'
    """
    return printable(parse_xml(data, where).findtext("UserAssignments/TopModelName", "")) or None


def pipeline_type(text: str) -> str:
    """Return one word for how a function is pipelined, whatever the version calls it; unknown words stay.

    >>> [pipeline_type(word) for word in ("yes", "function", "no", "none", "dataflow", "loop rewind(delay=0)")]
    ['function', 'function', 'none', 'none', 'dataflow', 'loop']
    """
    text = printable(text)
    if text.startswith("loop"):
        return "loop"
    return {"yes": "function", "no": "none"}.get(text, text)


def _tool(root: Element) -> str:
    """Return the tool's name; the report has but a version, and in 2020.1 there were both."""
    vivado = any(root.find(f"AreaEstimates/{part}/DSP48E") is not None for part in ("Resources", "AvailableResources"))
    return "Vivado HLS" if vivado else "Vitis HLS"


def _element(root: Element, path: str, where: str) -> Element:
    found = root.find(path)
    if found is None:
        raise ValueError(f"{where}: report must hold {path}, not leave it out; the file is of another kind")
    return found


def _words(text: str | None) -> dict[str, str]:
    return {"pipeline_type": pipeline_type(text)} if text and text.strip() else {}


def _performance(summary: Element, target_ns: float | None, where: str) -> Performance:
    """Return latency and interval; before 2019 the time had to be worked out from the cycles."""

    def cycles(*tags: str) -> int | None:
        texts = [(tag, text) for tag in tags if (text := summary.findtext(tag))]
        return integer(texts[0][1], f"{where}: {texts[0][0]}") if texts else None

    def time(case: str) -> float | None:
        tag = f"{case}-caseRealTimeLatency"
        count = cycles(f"{case}-caseLatency")
        if summary.find(tag) is not None:
            return duration_ns(summary.findtext(tag, ""), f"{where}: {tag}")
        return None if count is None or target_ns is None else count * target_ns

    return Performance(
        cycles("Best-caseLatency"),
        cycles("Average-caseLatency"),
        cycles("Worst-caseLatency"),
        time("Best"),
        time("Average"),
        time("Worst"),
        cycles("Interval-min", "PipelineInitiationInterval"),
        None,
        cycles("Interval-max", "PipelineInitiationInterval"),
    )


def _resources(parent: Element | None, where: str) -> Resources | None:
    if parent is None:
        return None

    def count(*tags: str) -> int | None:
        found = [(tag, text) for tag in tags if (text := parent.findtext(tag))]
        return integer(found[0][1], f"{where}: {found[0][0]}") if found else None

    return Resources(count("LUT"), count("FF"), count("DSP", "DSP48E", "DSP48"), count("BRAM_18K"), count("URAM"))


def _layers(root: Element, target_ns: float | None, where: str) -> tuple[Layer, ...]:
    """Return the direct instances of the top function, which only the report of the whole design has."""
    modules = {module.findtext("Name", ""): module for module in root.iterfind("ModuleInformation/Module")}
    found = []
    for instance in root.iterfind("RTLDesignHierarchy/TopModule/InstancesList/Instance"):
        module = modules.get(instance.findtext("ModuleName", ""))
        summary = None if module is None else module.find(LATENCY)
        if module is None or summary is None:
            continue
        found.append(
            Layer(
                printable(instance.findtext("InstName", "")),
                printable(module.findtext("Name", "")),
                _performance(summary, target_ns, where),
                Clock(
                    clock_period_estimated_ns=real(
                        module.findtext(f"{CLOCK}/EstimatedClockPeriod", ""), f"{where}: EstimatedClockPeriod"
                    )
                ),
                _resources(module.find("AreaEstimates/Resources"), where),
                words=_words(summary.findtext("PipelineType")),
            )
        )
    return tuple(found)
