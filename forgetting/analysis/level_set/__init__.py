"""Level-set estimation for Optuna: a sampler that looks where a surface crosses a level, usable on its own."""
