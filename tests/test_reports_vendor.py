"""Reports that the tools themselves wrote, against figures that a person read in them.

They lie beside the repository, in `shared/reports`, and are no part of it.
"""

from pathlib import Path

import pytest

from bitwright.reports.folder import read_project
from bitwright.reports.report import (
    Clock,
    Layer,
    Performance,
    Power,
    ProjectReport,
    Resources,
    Simulation,
    StageReport,
    Tool,
    utilization_percent,
)

REPORTS = Path(__file__).parents[2] / "shared" / "reports"
FOLDERS = ("vitis-hls-2024.1-conv1d", "vivado-hls-2019.2-conv2d", "vivado-hls-2020.1-mlp")

pytestmark = pytest.mark.skipif(not REPORTS.is_dir(), reason="shared/reports is not beside the repository")


def stages(folder: str) -> tuple[ProjectReport, dict[str, StageReport]]:
    (found,) = read_project(REPORTS / folder)
    assert (found.solution, found.top, found.problems) == ("myproject_prj/solution1", "myproject", ())
    return found, {stage.key: stage for stage in found.stages}


def one(cycles: int, ns: float, interval: int) -> Performance:
    """The performance of a layer, whose least is its most."""
    return Performance(cycles, None, cycles, ns, None, ns, interval, None, interval)


def layer(name: str, performance: Performance, used: Resources, pipeline: str) -> Layer:
    """A layer whose module is named as its instance."""
    return Layer(f"{name}_U0", f"{name}_s", performance, used=used, words={"pipeline_type": pipeline})


def test_every_folder_is_read_here() -> None:
    assert tuple(sorted(path.name for path in REPORTS.iterdir() if path.is_dir())) == FOLDERS


def test_vivado_hls_2019_2_c_synthesis() -> None:
    found, by_key = stages("vivado-hls-2019.2-conv2d")
    assert list(by_key) == ["csynth", "cosim_verilog"]
    csynth = by_key["csynth"]
    assert (csynth.tool, csynth.date) == (Tool("Vivado HLS", "2019.2"), "2022-09-18T18:54:06")
    assert found.part == "xczu9eg-ffvb1156-2-e"
    assert csynth.performance == Performance(6437, 6437, 6437, 32185.0, 32185.0, 32185.0, 6438, None, 6438)
    assert csynth.clock == Clock(5.0, 0.62, 1.199)
    assert csynth.used == Resources(lut=544, ff=116, dsp=0, bram_18k=0, uram=0)
    assert csynth.available == Resources(lut=274080, ff=548160, dsp=2520, bram_18k=1824, uram=0)
    assert csynth.words == {"pipeline_type": "dataflow"}
    assert csynth.layers == (
        layer(
            "zeropad2d_cl_me_ap_fixed_ap_fixed_config4",
            one(6437, 32185.0, 6437),
            Resources(lut=465, ff=108, dsp=0, bram_18k=0, uram=0),
            "none",
        ),
        Layer(
            "Block_proc_U0",
            "Block_proc",
            one(0, 0.0, 0),
            used=Resources(lut=11, ff=2, dsp=0, bram_18k=0, uram=0),
            words={"pipeline_type": "none"},
        ),
    )


def test_vivado_hls_2019_2_co_simulation() -> None:
    found, by_key = stages("vivado-hls-2019.2-conv2d")
    cosim = by_key["cosim_verilog"]
    assert (cosim.tool, cosim.date) == (Tool("xsim", "2019.2", inferred=True), "2022-08-15T12:58:40")
    assert cosim.words == {"status": "Pass"}
    assert cosim.performance == Performance(12323, 12323, 12323, 61615.0, 61615.0, 61615.0)
    assert cosim.simulation == Simulation(1, 6437, 6437)
    assert found.notes == (
        "co-simulation (verilog) of 2022-08-15T12:58:40 is older than the C synthesis of 2022-09-18T18:54:06: "
        "it may be of another design",
        "co-simulation (verilog): the report says 12323 cycles of latency, its transactions 6437; both are given",
    )


def test_vivado_hls_2020_1_c_synthesis() -> None:
    found, by_key = stages("vivado-hls-2020.1-mlp")
    assert (list(by_key), found.notes) == (["csynth", "synth"], ())
    csynth = by_key["csynth"]
    assert (csynth.tool, csynth.date) == (Tool("Vivado HLS", "2020.1"), "2023-03-18T22:59:37")
    assert found.part == "xc7z020-clg400-1"
    assert csynth.performance == Performance(10, 10, 10, 50.0, 50.0, 50.0, 8, None, 8)
    assert csynth.clock == Clock(5.0, 0.62, 4.049)
    assert csynth.used == Resources(lut=2532, ff=7969, dsp=73, bram_18k=0, uram=0)
    assert csynth.available == Resources(lut=53200, ff=106400, dsp=220, bram_18k=280, uram=0)
    assert csynth.words == {"pipeline_type": "dataflow"}
    assert csynth.layers == (
        layer(
            "dense_array_array_ap_fixed_16_6_5_3_0_5u_config2",
            one(7, 35.0, 7),
            Resources(lut=2134, ff=7860, dsp=73, bram_18k=0, uram=0),
            "none",
        ),
        layer(
            "relu_array_array_ap_fixed_5u_relu_config3",
            one(2, 10.0, 1),
            Resources(lut=256, ff=84, dsp=0, bram_18k=0, uram=0),
            "function",
        ),
    )


def test_vivado_2020_1_logic_synthesis() -> None:
    synth = stages("vivado-hls-2020.1-mlp")[1]["synth"]
    assert (synth.tool, synth.part, synth.date) == (Tool("Vivado", "2020.1"), "7z020clg400-1", "2023-03-19T07:48:36")
    assert synth.used == Resources(lut=1526, ff=2428, dsp=66, bram_18k=0, uram=None)
    assert synth.available == Resources(lut=53200, ff=106400, dsp=220, bram_18k=280, uram=None)
    shares = [utilization_percent(1526, 53200), utilization_percent(2428, 106400), utilization_percent(66, 220)]
    assert [round(share, 2) for share in shares] == [2.87, 2.28, 30.0]  # the report's own column


def test_vitis_hls_2024_1_c_synthesis() -> None:
    found, by_key = stages("vitis-hls-2024.1-conv1d")
    assert (list(by_key), found.notes) == (["csynth", "synth_optimized", "impl"], ())
    csynth = by_key["csynth"]
    assert (csynth.tool, csynth.date) == (Tool("Vitis HLS", "2024.1"), "2026-03-18T13:58:01")
    assert found.part == "xcu250-figd2104-2L-e"
    assert csynth.performance == Performance(395, 395, 395, 1975.0, 1975.0, 1975.0, 390, None, 390)
    assert csynth.clock == Clock(5.0, 1.35, 3.53)
    assert csynth.used == Resources(lut=17966, ff=7123, dsp=467, bram_18k=29, uram=0)
    assert csynth.available == Resources(lut=1728000, ff=3456000, dsp=12288, bram_18k=5376, uram=1280)
    assert csynth.words == {"pipeline_type": "dataflow"}


def test_vitis_hls_2024_1_layers() -> None:
    assert stages("vitis-hls-2024.1-conv1d")[1]["csynth"].layers == (
        layer(
            "zeropad1d_cl_array_ap_fixed_9u_array_ap_fixed_16_6_5_3_0_9u_config8",
            one(132, 660.0, 132),
            Resources(lut=157, ff=16, dsp=0, bram_18k=0, uram=0),
            "none",
        ),
        layer(
            "conv_1d_cl_array_ap_fixed_9u_array_ap_fixed_16_6_5_3_0_16u_config2",
            one(393, 1965.0, 390),
            Resources(lut=11875, ff=3097, dsp=370, bram_18k=0, uram=0),
            "loop",
        ),
        layer(
            "relu_array_ap_fixed_16u_array_ap_fixed_16_6_5_3_0_16u_relu_config4",
            one(129, 645.0, 128),
            Resources(lut=692, ff=10, dsp=0, bram_18k=0, uram=0),
            "loop",
        ),
        layer(
            "global_pooling1d_cl_array_array_ap_fixed_16_6_5_3_0_16u_config5",
            one(131, 655.0, 131),
            Resources(lut=894, ff=528, dsp=0, bram_18k=0, uram=0),
            "none",
        ),
        layer(
            "dense_array_ap_fixed_16u_array_ap_fixed_16_6_5_3_0_6u_config6",
            one(2, 10.0, 2),
            Resources(lut=2505, ff=819, dsp=91, bram_18k=0, uram=0),
            "none",
        ),
        layer(
            "softmax_array_array_ap_fixed_16_6_5_3_0_6u_softmax_config7",
            one(8, 40.0, 8),
            Resources(lut=572, ff=262, dsp=6, bram_18k=5, uram=0),
            "none",
        ),
    )


def test_vivado_2024_1_logic_synthesis() -> None:
    synth = stages("vitis-hls-2024.1-conv1d")[1]["synth_optimized"]
    assert (synth.tool, synth.part) == (Tool("Vivado", "2024.1"), "xcu250-figd2104-2L-e")
    assert synth.date == "2026-03-18T13:59:15"
    assert synth.used == Resources(lut=8565, ff=4864, dsp=467, bram_18k=2 * 12, uram=0)
    assert synth.available == Resources(lut=1728000, ff=3456000, dsp=12288, bram_18k=2 * 2688, uram=1280)


def test_vivado_2024_1_place_and_route_and_power() -> None:
    routed = stages("vitis-hls-2024.1-conv1d")[1]["impl"]
    assert (routed.tool, routed.date) == (Tool("Vivado", "2024.1"), "2026-03-18T14:03:05")
    assert routed.used == Resources(lut=7722, ff=4864, dsp=467, bram_18k=2 * 12, uram=0)
    assert routed.available == Resources(lut=1728000, ff=3456000, dsp=12288, bram_18k=2 * 2688, uram=1280)
    assert routed.power == Power(3.566, 0.61, 2.956, 26.9)
    assert routed.words == {"design": "myproject", "power_confidence": "Low"}
    assert {layer.name: layer.power.power_dynamic_w for layer in routed.layers if layer.power} == {
        "conv_1d_cl_array_ap_fixed_9u_array_ap_fixed_16_6_5_3_0_16u_config2_U0": 0.404,
        "dense_array_ap_fixed_16u_array_ap_fixed_16_6_5_3_0_6u_config6_U0": 0.085,
        "global_pooling1d_cl_array_array_ap_fixed_16_6_5_3_0_16u_config5_U0": 0.010,
        "layer2_out_U": 0.009,
        "layer4_out_U": 0.025,
        "layer8_out_U": 0.025,
        "softmax_array_array_ap_fixed_16_6_5_3_0_6u_softmax_config7_U0": 0.010,
        "zeropad1d_cl_array_ap_fixed_9u_array_ap_fixed_16_6_5_3_0_9u_config8_U0": 0.004,
    }
