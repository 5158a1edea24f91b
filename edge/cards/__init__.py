"""What is scanned at a station, on paper: see cards.md."""
