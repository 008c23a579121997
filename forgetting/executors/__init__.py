"""Who carries tasks out: this process, worker processes, a Ray cluster or SLURM jobs, behind one contract."""
