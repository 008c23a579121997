"""One Lightning fit: the module, the mix plan it trains on, optimisers, checkpoints, several devices, stacks."""
