"""The integer program as register transfer logic: traced, written as Verilog or VHDL, simulated, synthesised."""
