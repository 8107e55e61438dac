"""What the FPGA project is written for."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Target(BaseModel):
    """Back end, device and the shape of the hardware.

    >>> Target().backend
    'Vitis'
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    backend: Literal["Vitis", "Vivado"] = Field("Vitis", description='hls4ml back end: "Vitis" or "Vivado".')
    io_type: Literal["io_parallel", "io_stream"] = Field(
        "io_parallel",
        description='"io_parallel" (wires for every value; small networks) or "io_stream" (FIFOs; convolutions).',
    )
    part: Annotated[str, Field(min_length=1)] = Field(
        "xcvu13p-flga2577-2-e", description="Device, as the vendor spells it."
    )
    clock_period_ns: Annotated[float, Field(gt=0)] = Field(5.0, description="Period of the clock to reach, in ns.")
    strategy: Literal["Latency", "Resource"] = Field(
        "Latency",
        description='hls4ml strategy: "Latency" (unrolled) or "Resource" (weights in memory, multipliers reused).',
    )
    reuse_factor: Annotated[int, Field(gt=0)] = Field(
        1,
        description='Times each multiplier is used; with "Resource" each layer takes the nearest factor that is legal.',
    )
