"""Integer program to hls4ml project, its C simulation and the verification of every level. Imports no torch."""
