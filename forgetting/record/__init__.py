"""What is on disk: the schema of the record, its files, the store of models, the provenance. No torch."""
