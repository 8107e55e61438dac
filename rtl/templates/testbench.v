// Feeds one input every INTERVAL clocks and writes what comes out of every clock, for any Verilog simulator.
// inputs.hex: one line an input, its values one beside the other, the first in the lowest bits; outputs.hex likewise.
// The output of input number n is in line n * INTERVAL + LATENCY_CYCLES - 1, counted from 0.
`timescale 1 ns / 1 ps

module testbench;
    localparam integer LATENCY_CYCLES = @LATENCY_CYCLES@;
    localparam integer INTERVAL = @INTERVAL@;

    reg clk = 0;
    reg [@INPUT_BITS@-1:0] model_inp = 0;
    wire [@OUTPUT_BITS@-1:0] model_out;
    integer inputs, outputs, found, drained, clock;

    @TOP@ dut (.clk(clk), .model_inp(model_inp), .model_out(model_out));

    initial begin
        inputs = $fopen("inputs.hex", "r");
        outputs = $fopen("outputs.hex", "w");
        found = $fscanf(inputs, "%h\n", model_inp);
        drained = 0;
        clock = 0;
        while (found == 1 || drained < LATENCY_CYCLES - 1) begin
            if (found != 1) begin  // the last inputs leave the pipeline
                model_inp = 0;
                drained = drained + 1;
            end
            #1 clk = 1;
            #1 clk = 0;
            $fdisplay(outputs, "%h", model_out);
            clock = (clock + 1) % INTERVAL;
            if (found == 1 && clock == 0) found = $fscanf(inputs, "%h\n", model_inp);
        end
        $fclose(outputs);
        $finish;
    end
endmodule
