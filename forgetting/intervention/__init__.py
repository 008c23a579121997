"""The intervention family: one file a member, named by its file."""
