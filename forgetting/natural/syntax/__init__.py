"""Real Python source in another syntax: dialects made on tokens and trees, and where the source comes from."""
