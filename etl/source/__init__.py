"""What a source holds: its files, their layout, labels and subjects."""
