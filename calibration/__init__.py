"""From a float network to a fixed-point one: ranges seen on data, rounding, and the search for the least precision."""
