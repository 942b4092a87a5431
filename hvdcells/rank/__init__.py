"""What one rank does. `train` and `evaluate` tell the two stories; everything else is called from them."""
