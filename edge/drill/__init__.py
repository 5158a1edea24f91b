"""`lineside drill`: a line's own configuration on simulators, with everything that can fail made to fail."""
