"""The sandbox: programs that a model wrote and trusted tests in, an outcome per program out."""
