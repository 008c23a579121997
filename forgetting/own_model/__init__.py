"""What a user asks of a model and data of his own: what a fine-tuning costs, and what two measurements tell apart."""
