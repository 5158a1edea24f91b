"""What a device says that nobody has described yet: see probe.md."""
