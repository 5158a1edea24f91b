"""What the adapter `opcua`, its probe and its certificates are made of."""
