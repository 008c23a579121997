"""What retention data say of thresholds: fits, crossings, shapes, zones; verdicts are values. No torch."""
