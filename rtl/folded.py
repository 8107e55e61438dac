"""A program as a state machine that takes an input every so many clocks: alkaid's time-multiplexed form.

For each operation that is folded (`bitwright.rtl.fold`) there is a row of registers, loaded at once and moved up every
clock, the logic that sees its first cells, pipelined, and what gathers the parts: an accumulator, or more registers.
Between two of them stands pipelined logic as of any other design. A counter that runs from power-up says when.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

from alkaid.stateful import FSM, Conn

from bitwright.export.operations import Affine, MaxPool2d, MultiplyAdd, Operation, Requantize, Table, Threshold
from bitwright.export.program import Program
from bitwright.rtl.fold import Fold, Lines, fold, refuse_branches
from bitwright.rtl.machine import BIT, Machine, precision, register, variables, wire
from bitwright.rtl.symbols import each, known
from bitwright.rtl.trace import CONSTANT, Wires, apply, refuse, refuse_constants

INPUT, OUTPUT, READY = "model_inp", "model_out", "model_ready"
BY_VALUE = (Affine, MultiplyAdd, Requantize, Table, Threshold)
"""Operations on each value by itself."""


@dataclass(frozen=True)
class Folded:
    """A program folded over some clocks.

    Args:
        machine: Ports ``model_inp``, read at the end of the clock in which ``model_ready`` is 1, and ``model_out``.
        latency_cycles: Rising clock edges from an input to its output, both counted.
        lut_estimate: LUT of its logic, as alkaid estimates them.
    """

    machine: FSM
    latency_cycles: int
    lut_estimate: float


def folded(
    program: Program, clocks: int, latency_cutoff: float, progress: Callable[[str], None] = lambda _: None
) -> Folded:
    """Return a program as a state machine.

    Args:
        program: A chain of operations.
        clocks: From one input to the next, 2 or more.
        latency_cutoff: A register follows where the delay would be longer, in alkaid's units.
        progress: Called with the name of each operation before it is traced.

    Raises:
        ValueError: If an operation cannot be held, the program is no chain, or nothing in it can be folded.
    """
    if clocks < 2:
        raise ValueError(f"rtl: reuse_factor must be 2 or more to use logic again, not {clocks}; 1 is a pipeline")
    refuse(program.input, program.input.format)
    if (program.output.interval.lowest == program.output.interval.highest).all():
        raise ValueError(CONSTANT)
    steps = plan(program, clocks)
    machine = Machine(clocks, latency_cutoff)
    form = program.input.format
    source = wire(INPUT, [precision(form)] * prod(program.input.shape), port=True, mode="r")
    given, edge = variables(source), 0
    wires = Wires(given.reshape(program.input.shape), form)
    for number, step in enumerate(steps):
        if isinstance(step, Operation):
            progress(step.name)
            wires = apply(step, [wires], program.tensors[step.name])
            continue
        progress(step.operation.name)
        try:
            layer = f"layer{number}"  # operations may have names that a language, or the rest of the design, has taken
            loaded, edge = machine.through(f"{layer}_load", given, step.cells(wires), source, edge)
            source, edge = machine.parts(layer, step, loaded, edge - 1)
            given = variables(source)
            wires = step.whole(each(known, given))
        except ValueError as error:
            raise ValueError(f"{step.operation.name}: {error}") from error
    refuse_constants(wires.symbols)
    found, edge = machine.through("output", given, wires.symbols.reshape(-1), source, edge)
    result = register(OUTPUT, found.precisions, port=True)
    machine.connections.append(Conn(found, result, enable_if=machine.at(edge - 1)))
    ready = wire(READY, [BIT], port=True, mode="w")
    machine.connections.append(Conn(machine.at(0), ready))
    machine.control()
    logic = machine.logic
    lut = float(sum(one.cost for one in logic.values()))
    return Folded(FSM(logic, tuple(machine.connections)), edge, lut)


def plan(program: Program, clocks: int) -> list[Operation | Fold]:
    """Return what is folded, and what stands between.

    Raises:
        ValueError: If the program is no chain, an operation cannot be held, or nothing can be folded.
    """
    refuse_branches(program.operations)
    steps: list[Operation | Fold] = []
    for operation in program.operations[1:]:
        result = program.tensors[operation.name]
        refuse(operation, result.format)
        last = steps[-1] if steps else None
        pools = isinstance(operation, MaxPool2d) and result.shape[0] > 1
        if isinstance(last, Lines) and (pools or isinstance(operation, BY_VALUE)):
            steps[-1] = replace(last, result=result, following=(*last.following, operation))
        else:
            (source,) = operation.sources
            steps.append(fold(operation, program.tensors[source], result, clocks) or operation)
    if not any(isinstance(step, Fold) for step in steps):
        raise ValueError(
            "rtl: some operation must take codes with weights, or bits with weights of 1 bit in a dense layer, to be "
            f"used clock after clock, not one of {', '.join(map(_kind, steps)) or 'none'}; leave --reuse-factor out"
        )
    return steps


def _kind(step: object) -> str:
    return type(step).__name__
