"""A state machine put together of signals and logic: rows of registers that move up, sums, a counter that says when."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from alkaid.stateful import Conn, Signal
from alkaid.trace import FVArray
from alkaid.trace import trace as trace_logic
from alkaid.trace.passes import optimize
from alkaid.trace.pipeline import to_pipeline
from alkaid.types import CombLogic, Precision

from bitwright.quant.bipolar import Bipolar, Format
from bitwright.rtl.fold import Fold
from bitwright.rtl.symbols import HARDWARE, SOLVER, Symbol, Symbols, ends, known, looked_up, plus, times

BIT = Precision(signed=False, integers=1, fractional=0)


def precision(form: Format) -> Precision:
    """Return what holds a code, or a bit."""
    signed = not isinstance(form, Bipolar) and form.signed
    return Precision(signed, (1 if isinstance(form, Bipolar) else form.width) - signed, 0)


def variables(signal: Signal) -> Symbols:
    """Return variables of a signal's values."""
    kept, integer, fraction = (np.array(column, np.int8) for column in zip(*signal.precisions, strict=True))
    return np.asarray(FVArray.from_kif(kept, integer, fraction, HARDWARE, 0, SOLVER), object)


def wire(name: str, precisions: Sequence[Precision], *, port: bool = False, mode: str = "") -> Signal:
    """Return a signal that no clock holds."""
    return Signal(name, port, tuple(precisions), reg=False, mode=mode)


def register(name: str, precisions: Sequence[Precision], *, port: bool = False, start: int | None = None) -> Signal:
    """Return a signal that a clock holds; all values have a number at first, if one is given."""
    begin = None if start is None else (start,) * len(precisions)
    return Signal(name, port, tuple(precisions), reg=True, rst_to=begin)


@dataclass
class Machine:
    """What is put together of a state machine.

    Args:
        clocks: From one input to the next.
        cutoff: Longest delay of a stage.
        logic: Combinational, by name.
        connections: Between signals.
        numbers: Signals that follow the counter, by name, and what they are at each of its values.
    """

    clocks: int
    cutoff: float
    logic: dict[str, CombLogic] = field(default_factory=dict)
    connections: list[Conn] = field(default_factory=list)
    numbers: dict[str, tuple[Signal, list[int]]] = field(default_factory=dict)

    def through(self, name: str, given: Symbols, found: Symbols, source: Signal, edge: int) -> tuple[Signal, int]:
        """Compute values of a signal, in stages; return the wires of the last stage, and the next edge after theirs.

        Args:
            name: Of the logic.
            given: Variables of the signal's values.
            found: What is computed of them.
            source: The signal: it holds the values before ``edge``.
            edge: The first rising edge at which the signal has the values of the first input, which is taken at edge 0.
        """
        stages = _staged(given, found, self.cutoff)
        for number, stage in enumerate(stages):
            if number:
                held = register(f"{name}_{number}_held", [q.kif for q in stage.inp_qint])
                self.connections.append(Conn(source, held))
                source = held
            source = self._compute(f"{name}_{number}", stage, [source])
        return source, edge + len(stages)

    def _compute(self, name: str, logic: CombLogic, sources: Sequence[Signal]) -> Signal:
        """Add logic that takes signals side by side; return the wires of its results."""
        given = wire(f"INTERNAL_{name}_inp", [q.kif for q in logic.inp_qint], mode="r")
        found = wire(f"INTERNAL_{name}_outp", [q.kif for q in logic.out_qint], mode="w")
        self.logic[name] = logic
        at = 0
        for source in sources:
            self.connections.append(Conn(source, given[at : at + source.size]))
            at += source.size
        return found

    def parts(self, name: str, step: Fold, loaded: Signal, edge: int) -> tuple[Signal, int]:
        """Add what is folded; return the signal that holds all parts, and the edge before that it does.

        Args:
            name: Of the logic.
            step: What is folded.
            loaded: Wires of its cells.
            edge: At which they are loaded.
        """
        row = self._row(f"{name}_row", step, loaded, self.at(edge))
        sources = [row[0 : step.seen], self.number(edge + 1)]
        given = np.concatenate([variables(source) for source in sources])
        stages = _staged(given, step.logic(given[:-1], given[-1]), self.cutoff)
        for number, stage in enumerate(stages):
            result = self._compute(f"{name}_{number}", stage, sources)
            held = register(f"{name}_{number}_held", result.precisions)
            self.connections.append(Conn(result, held))
            sources = [held]
        first = edge + len(stages) + 1  # the edge at which the first part is gathered
        if not step.adds:
            return self._side_by_side(name, sources[0], step.parts), first + step.parts - 1
        return self._sum(name, sources[0], step, self.at(first)), first + step.parts

    def _row(self, name: str, step: Fold, loaded: Signal, load: Signal) -> Signal:
        """Add the row of cells: loaded, or moved up."""
        row = register(name, [precision(step.cell)] * loaded.size)
        moved = loaded.size - step.shift
        if moved <= 0:
            self.connections.append(Conn(loaded, row, enable_if=load))
            return row
        now, after = (wire(f"{name}_{part}", row.precisions) for part in ("now", "next"))
        self.connections += [
            Conn(row, now),
            Conn(loaded[0:moved], after[0:moved], enable_if=load, alt_src=now[step.shift : loaded.size]),
            Conn(loaded[moved : loaded.size], after[moved : loaded.size]),
            Conn(after, row),
        ]
        return row

    def _side_by_side(self, name: str, last: Signal, parts: int) -> Signal:
        """Add registers for all parts but the last; return all side by side."""
        precisions = tuple(last.precisions) * parts
        whole = wire(f"{name}_whole", precisions)
        before = len(precisions) - last.size
        self.connections.append(Conn(last, whole[before : len(precisions)]))
        if before:
            kept = register(f"{name}_kept", precisions[:before])
            self.connections += [Conn(kept, whole[0:before]), Conn(whole[last.size : len(precisions)], kept)]
        return whole

    def _sum(self, name: str, addend: Signal, step: Fold, first: Signal) -> Signal:
        """Add accumulators: the part alone at first, then added to the sum shifted up."""
        part, begin = variables(addend), variables(first)
        scale = sum(1 << (step.grows * number) for number in range(step.parts))
        widths = [_held(*(end * scale for end in ends(known(symbol)))) for symbol in part]
        total = register(f"{name}_sum", widths)
        before = variables(total)

        def one(addend: Symbol, sum_: Symbol, held: Precision) -> Symbol:
            lowest, highest = ends(sum_)
            assert not isinstance(sum_, int)
            kept = begin[0].msb_mux(0.0, sum_, (float(min(lowest, 0)), float(max(highest, 0)), 1.0))
            result = plus(times(kept, 1 << step.grows), addend)
            return result.quantize(held.signed, held.integers, 0) if not isinstance(result, int) else result

        found = np.array([one(known(pair[0]), *pair[1:]) for pair in zip(part, before, widths, strict=True)], object)
        logic = _optimized(np.concatenate([part, before, begin]), found)
        self.connections.append(Conn(self._compute(f"{name}_add", logic, [addend, total, first]), total))
        return total

    def at(self, edge: int) -> Signal:
        """Return a signal that is 1 before an edge, and those every so many clocks later."""
        now = edge % self.clocks
        name = f"at{now}"
        entries = [int(count == now) for count in range(self.clocks)]
        return self.numbers.setdefault(name, (wire(name, [BIT]), entries))[0]

    def number(self, edge: int) -> Signal:
        """Return a signal that counts the clocks: 0 before an edge."""
        start = edge % self.clocks
        name = f"count{start}"
        entries = [(count - start) % self.clocks for count in range(self.clocks)]
        return self.numbers.setdefault(name, (wire(name, [_count(self.clocks)]), entries))[0]

    def control(self) -> None:
        """Add the counter, and the signals that were wanted of it."""
        counter = register("count", [_count(self.clocks)], start=0)
        (now,) = variables(counter)
        following = np.array([(count + 1) % self.clocks for count in range(self.clocks)])
        wanted = [following, *(np.array(entries) for _, entries in self.numbers.values())]
        logic = _optimized(np.array([now], object), np.array([looked_up(now, one, 0) for one in wanted], object))
        found = self._compute("control", logic, [counter])
        targets = [counter, *(signal for signal, _ in self.numbers.values())]
        for at, target in enumerate(targets):
            self.connections.append(Conn(found[at : at + 1], target))


def _count(clocks: int) -> Precision:
    """Return what holds the number of a clock."""
    return Precision(signed=False, integers=(clocks - 1).bit_length(), fractional=0)


def _held(lowest: int, highest: int) -> Precision:
    """Return what holds every integer of an interval."""
    signed = lowest < 0
    return Precision(signed, max(1 - signed, (~lowest).bit_length() if signed else 0, highest.bit_length()), 0)


def _optimized(given: Symbols, found: Symbols) -> CombLogic:
    logic = trace_logic(FVArray(given, SOLVER, HARDWARE), FVArray(found, SOLVER, HARDWARE), optimize=False)
    return optimize(logic, retrace=False)


def _staged(given: Symbols, found: Symbols, cutoff: float) -> list[CombLogic]:
    """Return logic in stages of no longer delay."""
    pipeline = to_pipeline(_optimized(given, found), latency_cutoff=cutoff, verbose=False, reg_inp=False, reg_out=False)
    return list(pipeline.logic.values())
