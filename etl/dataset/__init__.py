"""What lies at a dataset's location: its work folder, rejects, overview picture."""
