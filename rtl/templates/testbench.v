// Feeds one input a clock and writes what comes out of every clock, for any Verilog simulator.
// inputs.hex: one line an input, its values one beside the other, the first in the lowest bits; outputs.hex likewise.
// An input's output is in the line LATENCY_CYCLES - 1 lines below its own.
`timescale 1 ns / 1 ps

module testbench;
    localparam integer LATENCY_CYCLES = @LATENCY_CYCLES@;

    reg clk = 0;
    reg [@INPUT_BITS@-1:0] model_inp = 0;
    wire [@OUTPUT_BITS@-1:0] model_out;
    integer inputs, outputs, found, drained;

    @TOP@ dut (.clk(clk), .model_inp(model_inp), .model_out(model_out));

    initial begin
        inputs = $fopen("inputs.hex", "r");
        outputs = $fopen("outputs.hex", "w");
        found = $fscanf(inputs, "%h\n", model_inp);
        drained = 0;
        while (found == 1 || drained < LATENCY_CYCLES - 1) begin
            if (found != 1) begin  // the last inputs leave the pipeline
                model_inp = 0;
                drained = drained + 1;
            end
            #1 clk = 1;
            #1 clk = 0;
            $fdisplay(outputs, "%h", model_out);
            if (found == 1) found = $fscanf(inputs, "%h\n", model_inp);
        end
        $fclose(outputs);
        $finish;
    end
endmodule
