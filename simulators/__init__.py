"""A line to try Lineside on: machines, devices and people, each with its own ground truth."""
