"""The models family: implementations of ``contracts.Model``."""
