"""What is to be run: a spec constructed and checked, its arms, students and runs, its fingerprints and estimates."""
