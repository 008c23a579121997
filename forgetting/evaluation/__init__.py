"""What is asked of a student at a dose, and how the answers become rows of the run's ledger."""
