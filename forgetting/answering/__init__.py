"""The answering family: how an answer comes about from a model."""
