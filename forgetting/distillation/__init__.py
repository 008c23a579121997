"""The distillation family: one file a member, named by its file."""
