"""What the adapter `modbus` and its probe are made of."""
