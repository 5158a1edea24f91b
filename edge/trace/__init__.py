"""What became of lots, serial numbers and runs, read from the journal. Its page is trace.md."""
