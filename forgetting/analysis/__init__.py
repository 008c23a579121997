"""From ledger to number, without torch: scores, curves, differences, thresholds, level sets."""
