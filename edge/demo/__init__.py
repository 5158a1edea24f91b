"""`lineside demo`: a whole line on simulators, watched, and settled to the part at the end."""
