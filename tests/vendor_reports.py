"""Reports in the form of the vendor's tools, made up for a network `net` of two layers, `fc1` and `act1`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

VIVADO_HLS = {"DSP": "DSP48E", "pipelined": "function", "free": "none", "name": "Vivado HLS"}
VITIS_HLS = {"DSP": "DSP", "pipelined": "yes", "free": "no", "name": "Vitis HLS"}

USED = {"BRAM_18K": 3, "DSP": 12, "FF": 700, "LUT": 2100, "URAM": 0}
AVAILABLE = {"BRAM_18K": 280, "DSP": 220, "FF": 106400, "LUT": 53200, "URAM": 0}


def csynth_xml(
    version: str = "2020.1",
    latency: str = "12",
    time: str | None = "60.000 ns",
    interval: str = "4",
    pipeline: str = "dataflow",
    used: Mapping[str, object] = USED,
    modules: str = "",
) -> str:
    """Write `net_csynth.xml`: times as the version spells them, DSP by the version's name."""
    dsp = VIVADO_HLS["DSP"] if version < "2020.2" else VITIS_HLS["DSP"]

    def cells(counts: Mapping[str, object]) -> str:
        return "\n".join(f"<{dsp if n == 'DSP' else n}>{c}</{dsp if n == 'DSP' else n}>" for n, c in counts.items())

    cases = ("Best", "Average", "Worst")
    times = "" if time is None else "".join(f"<{c}-caseRealTimeLatency>{time}</{c}-caseRealTimeLatency>" for c in cases)
    return f"""<profile>

<ReportVersion>
<Version>{version}</Version>
</ReportVersion>

<UserAssignments>
<unit>ns</unit>
<ProductFamily>zynq</ProductFamily>
<Part>xc7z020-clg400-1</Part>
<TopModelName>net</TopModelName>
<TargetClockPeriod>5.00</TargetClockPeriod>
<ClockUncertainty>0.62</ClockUncertainty>
</UserAssignments>

<PerformanceEstimates>
<PipelineType>{pipeline}</PipelineType>
<SummaryOfTimingAnalysis>
<unit>ns</unit>
<EstimatedClockPeriod>4.321</EstimatedClockPeriod>
</SummaryOfTimingAnalysis>
<SummaryOfOverallLatency>
<unit>clock cycles</unit>
{"".join(f"<{case}-caseLatency>{latency}</{case}-caseLatency>" for case in cases)}
{times}
<Interval-min>{interval}</Interval-min>
<Interval-max>{interval}</Interval-max>
</SummaryOfOverallLatency>
</PerformanceEstimates>

<AreaEstimates>
<Resources>
{cells(used)}
</Resources>
<AvailableResources>
{cells(AVAILABLE)}
</AvailableResources>
</AreaEstimates>
{modules}
</profile>
"""


MODULES = """<RTLDesignHierarchy><TopModule MAX_DEPTH="2"><ModuleName>net</ModuleName><InstancesList>
<Instance><InstName>fc1_U0</InstName><ModuleName>fc1</ModuleName><InstancesList>
<Instance><InstName>mult_fu_9</InstName><ModuleName>mult</ModuleName></Instance></InstancesList></Instance>
</InstancesList></TopModule></RTLDesignHierarchy>
<ModuleInformation><Module><Name>fc1</Name><PerformanceEstimates>
<SummaryOfTimingAnalysis><EstimatedClockPeriod>3.250</EstimatedClockPeriod></SummaryOfTimingAnalysis>
<SummaryOfOverallLatency><Best-caseLatency>9</Best-caseLatency><Worst-caseLatency>9</Worst-caseLatency>
<Worst-caseRealTimeLatency>45.000 ns</Worst-caseRealTimeLatency>
<PipelineInitiationInterval>4</PipelineInitiationInterval><PipelineType>loop rewind(delay=0)</PipelineType>
</SummaryOfOverallLatency></PerformanceEstimates>
<AreaEstimates><Resources><LUT>1800</LUT><FF>600</FF><DSP>12</DSP><BRAM_18K>3</BRAM_18K><URAM>0</URAM></Resources>
</AreaEstimates></Module></ModuleInformation>"""
"""What `csynth.xml` of Vitis HLS adds: the hierarchy and its modules."""


def csynth_rpt(words: Mapping[str, str] = VITIS_HLS, date: str = "Wed Mar  6 13:58:01 2024", unit: str = "ns") -> str:
    """Write `net_csynth.rpt`: the tables of instances, times in the unit."""
    fc1, act1 = ("45.000 ns", "15.000 ns") if unit == "ns" else (" 0.045 us", " 0.015 us")
    return f"""

================================================================
== {words["name"]} Report for 'net'
================================================================
* Date:           {date}

* Version:        2024.1 (Build 1 on May 21 2024)

+ Latency:
    * Summary:
    +---------+---------+-----------+-----------+-----+-----+----------+
    |  Latency (cycles) |   Latency (absolute)  |  Interval | Pipeline |
    |   min   |   max   |    min    |    max    | min | max |   Type   |
    +---------+---------+-----------+-----------+-----+-----+----------+
    |       12|       12| 60.000 ns | 60.000 ns |    4|    4| dataflow |
    +---------+---------+-----------+-----------+-----+-----+----------+

    + Detail:
        * Instance:
        +---------+--------+---------+---------+-----------+-----------+-----+-----+----------+
        |         |        |  Latency (cycles) |   Latency (absolute)  |  Interval | Pipeline |
        | Instance| Module |   min   |   max   |    min    |    max    | min | max |   Type   |
        +---------+--------+---------+---------+-----------+-----------+-----+-----+----------+
        |fc1_U0   |fc1     |        9|        9| {fc1} | {fc1} |    4|    4| {words["pipelined"]} |
        |act1_U0  |act1    |        3|        3| {act1} | {act1} |    3|    3| {words["free"]} |
        +---------+--------+---------+---------+-----------+-----------+-----+-----+----------+

        * Loop:
        N/A

+ Detail:
    * Instance:
    +---------+--------+---------+------+-----+------+-----+
    | Instance| Module | BRAM_18K| {words["DSP"]}|  FF |  LUT | URAM|
    +---------+--------+---------+------+-----+------+-----+
    |act1_U0  |act1    |        0|     0|   84|   256|    0|
    |fc1_U0   |fc1     |        3|    12|  600|  1800|    -|
    +---------+--------+---------+------+-----+------+-----+
    |Total    |        |        3|    12|  684|  2056|    0|
    +---------+--------+---------+------+-----+------+-----+
"""


NOT_RUN = ("NA",) * 7


def cosim_rpt(
    vhdl: Sequence[str] = NOT_RUN,
    verilog: Sequence[str] = ("Pass", "12", "13", "15", "4", "4", "5"),
    total: str | None = None,
    date: str = "Thu Mar  7 08:00:00 UTC 2024",
) -> str:
    """Write `net_cosim.rpt`: status, latencies and intervals, and from 2021 on the cycles of the whole run."""
    rows = [("VHDL", *vhdl), ("Verilog", *verilog)]
    if total is not None:
        rows = [(*row, "NA" if row[1] == "NA" else total) for row in rows]
    lines = "\n".join("|" + "|".join(f"{cell:>15}" for cell in row) + "|" for row in rows)
    return f"""Report time       : {date}.
Solution          : solution1.
Simulation tool   : xsim.

+----------+----------+-----------------------------------------------+-----------------------------------------------+
|          |          |                    Latency                    |                    Interval                   |
+   RTL    +  Status  +-----------------------------------------------+-----------------------------------------------+
|          |          |      min      |      avg      |      max      |      min      |      avg      |      max      |
+----------+----------+-----------------------------------------------+-----------------------------------------------+
{lines}
+----------+----------+-----------------------------------------------+-----------------------------------------------+
"""


TRANSACTIONS = """                             latency        interval
transaction       0:              12               4
transaction       1:              15               5
transaction       2:              13               x
"""


def vivado_head(command: str, state: str | None = "Synthesized", version: str = "2020.1") -> str:
    """Write the head of a report of Vivado; before 2022 that of timing has no state."""
    states = "" if state is None else f"| Design State : {state}\n"
    return f"""Copyright 1986-2022 A Maker. All Rights Reserved.
------------------------------------------------------------------------------------
| Tool Version : Vivado v.{version} (lin64) Build 1 Wed May 27 19:54:35 MDT 2020
| Date         : Fri Mar  8 07:48:36 2024
| Host         : a-machine running 64-bit Linux
| Command      : {command}
| Design       : net
| Device       : 7z020clg400-1
{states}------------------------------------------------------------------------------------

"""


def utilization_rpt(
    state: str = "Synthesized", version: str = "2020.1", tiles: str = "1.5", lut: int = 1526, ultrascale: bool = False
) -> str:
    """Write `report_utilization`: Slice or CLB, and from 2020.2 on a column of prohibited sites."""
    cell = "CLB" if ultrascale else "Slice"
    prohibited = version >= "2020.2"

    def row(name: str, used: object, available: object) -> str:
        return f"| {name:<28} | {used:>5} | 0 |{' 0 |' if prohibited else ''} {available:>7} |  1.00 |"

    title = f"| Site Type | Used | Fixed |{' Prohibited |' if prohibited else ''} Available | Util% |"
    uram = row("URAM", 2, 96) if ultrascale else ""
    placed = state not in ("Synthesized", "Optimized")
    distribution = f"2. {cell} Logic Distribution\n----\n{title}\n{row(f'{cell} Registers', 9999, 106400)}\n"
    distribution = distribution if placed else ""
    return f"""{vivado_head("report_utilization -file vivado_synth.rpt", state, version)}
1. {cell} Logic
--------------
+------+
{title}
+------+
{row(f"{cell} LUTs*", lut, 53200)}
{row("  LUT as Logic", lut - 48, 53200)}
{row(f"{cell} Registers", 2428, 106400)}
+------+
* Warning! The Final LUT count is typically lower than that of {cell} Registers.

{distribution}
{2 + placed}. Memory
---------
+------+
{title}
+------+
{row("Block RAM Tile", tiles, 140)}
{row("  RAMB36/FIFO*", 1, 140)}
{uram}
+------+

{3 + placed}. DSP
------
+------+
{title}
+------+
{row("DSPs", 66, 220)}
+------+

{4 + placed}. SLR CLB Logic and Dedicated Block Utilization
+------+
| Site Type | SLR0 | SLR0 % |
+------+
| CLB LUTs  |    7 |   0.01 |
+------+
"""


def hierarchy_rpt(state: str = "Routed") -> str:
    """Write `report_utilization -hierarchical` with percentages."""
    return f"""{vivado_head("report_utilization -hierarchical -hierarchical_percentages -file util.rpt", state)}
+------------+--------+-------------+------------+----------+---------+------------+----------+------+------------+
|  Instance  | Module |  Total LUTs | Logic LUTs |   SRLs   |   FFs   |   RAMB36   |  RAMB18  | URAM | DSP Blocks |
+------------+--------+-------------+------------+----------+---------+------------+----------+------+------------+
| net        |  (top) | 1400(2.63%) | 1350(2.5%) | 50(0.1%) | 2400(2%)|   1(0.71%) | 1(0.36%) |    0 |  66(30.0%) |
|   (net)    |  (top) |    0(0.00%) |    0(0.0%) |  0(0.0%) |    4(0%)|   0(0.00%) | 0(0.00%) |    0 |   0( 0.0%) |
|   fc1_U0   |    fc1 | 1200(2.26%) | 1150(2.2%) | 50(0.1%) | 2300(2%)|   1(0.71%) | 1(0.36%) |    0 |  66(30.0%) |
|     mult_U |   mult |  100(0.19%) |  100(0.2%) |  0(0.0%) |   90(0%)|   0(0.00%) | 0(0.00%) |    0 |   6( 2.7%) |
|   act1_U0  |   act1 |  200(0.38%) |  200(0.4%) |  0(0.0%) |   96(0%)|   0(0.00%) | 0(0.00%) |    0 |   0( 0.0%) |
+------------+--------+-------------+------------+----------+---------+------------+----------+------+------------+
"""


def timing_rpt(state: str | None = "Routed", worst: str = "-0.250", nets: str = "routed") -> str:
    """Write `report_timing_summary` of one clock of 5 ns."""
    return f"""{vivado_head("report_timing_summary -file timing.rpt", state, "2021.2")}
------------------------------------------------------------------------------------------------
| Design Timing Summary
| ---------------------
------------------------------------------------------------------------------------------------

    WNS(ns)      TNS(ns)  TNS Failing Endpoints  TNS Total Endpoints      WHS(ns)      THS(ns)  THS Failing Endpoints  \
THS Total Endpoints     WPWS(ns)     TPWS(ns)  TPWS Failing Endpoints  TPWS Total Endpoints
    -------      -------  ---------------------  -------------------      -------      -------  ---------------------  \
-------------------     --------     --------  ----------------------  --------------------
     {worst}       -1.500                     7                  863        0.042        0.000                      0 \
                863        2.225        0.000                       0                   654


------------------------------------------------------------------------------------------------
| Clock Summary
| -------------
------------------------------------------------------------------------------------------------

Clock   Waveform(ns)         Period(ns)      Frequency(MHz)
-----   ------------         ----------      --------------
ap_clk  {{0.000 2.500}}        5.000           200.000

                         net (fo=11, {nets})          0.489     0.620    n1
"""


def power_rpt(state: str = "Routed") -> str:
    """Write `report_power`."""
    return f"""{vivado_head("report_power -file power.rpt", state)}
1. Summary
----------

+--------------------------+--------------+
| Total On-Chip Power (W)  | 1.250        |
| Design Power Budget (W)  | Unspecified* |
| Power Budget Margin (W)  | NA           |
| Dynamic (W)              | 0.250        |
| Device Static (W)        | 1.000        |
| Junction Temperature (C) | 26.9         |
| Confidence Level         | Low          |
+--------------------------+--------------+

3.1 By Hierarchy
----------------

+---------------+-----------+
| Name          | Power (W) |
+---------------+-----------+
| net           |     0.250 |
|   fc1_U0      |     0.200 |
|     mult_U449 |     0.150 |
|   act1_U0     |    <0.001 |
+---------------+-----------+
"""


def export_xml(run: str | None = "impl") -> str:
    """Write `export_impl.xml`, of a version that tells the run or of one that does not."""
    told = "" if run is None else f"<RUN_TYPE>{run}</RUN_TYPE><VIVADO_VERSION>2022.2</VIVADO_VERSION>"
    return f"""<profile><RunData>{told}</RunData>
<TimingReport><TargetClockPeriod>5.000</TargetClockPeriod><AchievedClockPeriod>4.250</AchievedClockPeriod></TimingReport>
<AreaReport><Resources><BRAM>2</BRAM><DSP>12</DSP><FF>650</FF><LUT>1900</LUT><URAM>0</URAM></Resources>
<AvailableResources><BRAM>280</BRAM><DSP>220</DSP><FF>106400</FF><LUT>53200</LUT><URAM>0</URAM></AvailableResources>
</AreaReport></profile>
"""


def write(folder: Path, files: Mapping[str, str]) -> Path:
    """Write files below a folder and return it."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


SOLUTION = "net_prj/solution1"
SYN, SIM = f"{SOLUTION}/syn/report", f"{SOLUTION}/sim/report"
PROJECT = {
    "project.tcl": 'variable project_name\nset project_name "net"\nvariable backend\nset backend "vitis"\n',
    "net_prj/hls.app": '<project xmlns="a.project" name="net_prj" top="net"><solutions><solution name="solution1"/>'
    "</solutions></project>\n",
}
"""What makes a folder a project."""
