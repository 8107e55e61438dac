"""Devices and what products take of them."""

import re

import pytest

from bitwright.estimates.multipliers import product_cells
from bitwright.estimates.parts import PARTS, SPEEDS, Family, part_of


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.device)
def test_part_numbers_are_found_with_package_and_grade(part: object) -> None:
    device = getattr(part, "device", "")
    assert [part_of(f"{device}{rest}") for rest in ("", "-flga2577-2-e", "clg400-1")] == [part] * 3


@pytest.mark.parametrize("name", ["xc7z0", "xcu2500", "", "xc7z0201clg400"])
def test_unknown_parts_are_refused_with_the_known_ones(name: str) -> None:
    known = ", ".join(part.device for part in PARTS)
    message = f"--part: device must be one of {known}, not {name!r}; give one that is near it"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        part_of(name)


def test_figures_are_those_of_the_vendors_reports() -> None:
    ends = {name: (part_of(name).cells, part_of(name).uram) for name in ("xczu9eg", "xc7z020", "xcu250")}
    assert {name: (c.lut, c.ff, c.dsp, c.bram_18k, uram) for name, (c, uram) in ends.items()} == {
        "xczu9eg": (274080, 548160, 2520, 1824, 0),
        "xc7z020": (53200, 106400, 220, 280, 0),
        "xcu250": (1728000, 3456000, 12288, 5376, 1280),
    }


@pytest.mark.parametrize(
    ("data", "weight", "dsp"), [(9, 9, 0), (16, 6, 1), (16, 3, 0), (18, 25, 1), (18, 27, 2), (19, 19, 2), (32, 32, 4)]
)
def test_products_take_dsp_slices_by_their_widths(data: int, weight: int, dsp: int) -> None:
    assert product_cells(data, weight, SPEEDS[Family.SERIES_7]).dsp == dsp
    assert product_cells(weight, data, SPEEDS[Family.SERIES_7]).dsp == dsp


def test_the_wider_slice_holds_27_bits() -> None:
    assert product_cells(18, 27, SPEEDS[Family.ULTRASCALE_PLUS]).dsp == 1
