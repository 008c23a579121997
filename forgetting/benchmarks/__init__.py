"""The benchmarks family: one file a member, named by its file."""
