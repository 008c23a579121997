"""Views of a study, rebuilt from its record without torch: terminal, figures, TensorBoard, one HTML page."""
