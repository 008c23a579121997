"""The stages of a study: teach, distil, contaminate; each one Lightning fit."""
