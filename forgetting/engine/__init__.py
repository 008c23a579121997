"""The engine: one Lightning fit, the mix plan it trains on, evaluation at intervals, checkpoints."""
