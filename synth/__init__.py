"""What a design costs in logic, and how fast it is: Yosys and nextpnr, and the vendor's tools where they are there."""
