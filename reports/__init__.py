"""What Vivado and Vitis write about a project, read into figures that carry their stage and tool."""
