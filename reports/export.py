"""What HLS itself had Vivado do: `export_syn.xml`, `export_impl.xml` and `<top>_export.xml` below `impl/report`."""

from xml.etree.ElementTree import Element

from bitwright.reports.report import Clock, Resources, Stage, StageReport, Tool
from bitwright.reports.text import integer, printable, real
from bitwright.reports.xml import parse_xml, text_of

RUNS = {"syn": Stage.SYNTH, "synth": Stage.SYNTH, "synthesis": Stage.SYNTH, "impl": Stage.IMPL}
"""Spellings of the run: by RUN_TYPE in the report, else by the file's name."""


def parse_export(data: bytes, where: str, name: str) -> StageReport:
    """Return the cells and the period of a design that was exported with `export_design -flow`.

    Its block RAMs are halves of 18 kbit already.

    Args:
        data: The report.
        where: Its path, for errors.
        name: Of the file, without its ending.

    Raises:
        ValueError: If it is damaged, or tells not how far Vivado went.

    >>> data = b'''<profile><RunData><RUN_TYPE>impl</RUN_TYPE><VIVADO_VERSION>2022.2</VIVADO_VERSION></RunData>
    ...   <TimingReport><TargetClockPeriod>5.000</TargetClockPeriod><AchievedClockPeriod>4.250</AchievedClockPeriod>
    ...   </TimingReport><AreaReport><Resources><LUT>120</LUT><BRAM>2</BRAM></Resources></AreaReport></profile>'''
    >>> found = parse_export(data, "export_impl.xml", "export_impl")
    >>> found.key, found.used.bram_18k, found.clock.clock_period_achieved_ns
    ('impl_export', 2, 4.25)
    """
    root = parse_xml(data, where)
    run = printable(root.findtext("RunData/RUN_TYPE", "")) or name.rpartition("_export")[2].rpartition("export_")[2]
    if run.lower() not in RUNS:
        raise ValueError(
            f"{where}: RUN_TYPE must be synth or impl, not {run!r}; without it the stage of its figures is not known"
        )
    achieved = root.findtext("TimingReport/AchievedClockPeriod", "")
    return StageReport(
        RUNS[run.lower()],
        Tool("Vivado", printable(root.findtext("RunData/VIVADO_VERSION", "")).removeprefix("v.") or None),
        variant="export",
        clock=Clock(
            real(text_of(root, "TimingReport/TargetClockPeriod", where), f"{where}: TargetClockPeriod"),
            clock_period_achieved_ns=real(achieved, f"{where}: AchievedClockPeriod"),
        ),
        used=_resources(root.find("AreaReport/Resources"), where),
        available=_resources(root.find("AreaReport/AvailableResources"), where),
    )


def _resources(parent: Element | None, where: str) -> Resources | None:
    if parent is None:
        return None
    tags = ("LUT", "FF", "DSP", "BRAM", "URAM")
    return Resources(*(integer(parent.findtext(tag, ""), f"{where}: {tag}") for tag in tags))
