"""From gathered predictions to scores, curves and intervals: plain numbers in, plain numbers out."""
