"""A frame of registers around a design whose ports have more wires than a package has pins."""


def harness(top: str, input_bits: int, output_bits: int) -> str:
    """Return Verilog that shifts inputs in and outputs out, one bit a clock each.

    Every path that is measured then runs from register to register: pins take no part in it. The frame costs
    ``input_bits + output_bits`` flip-flops, and a multiplexer (one LUT) for each output.

    Args:
        top: The design: ports ``clk``, ``model_inp``, ``model_out``.
        input_bits: Wires of ``model_inp``.
        output_bits: Wires of ``model_out``.

    >>> print(harness("network_wrapper", 8, 4).splitlines()[2])
    module harness (
    """
    return f"""// Four pins for {input_bits} inputs and {output_bits} outputs: to place and route it.

module harness (
    input wire clk,
    input wire serial_in,
    input wire load,
    output wire serial_out
);
    reg [{input_bits - 1}:0] inputs;
    reg [{output_bits - 1}:0] outputs;
    wire [{output_bits - 1}:0] found;

    always @(posedge clk) begin
        if (!load) inputs <= (inputs << 1) | serial_in;  // held else, or it would be one with the design's own
        outputs <= load ? found : outputs << 1;
    end

    assign serial_out = outputs[{output_bits - 1}];

    {top} design (.clk(clk), .model_inp(inputs), .model_out(found));
endmodule
"""
