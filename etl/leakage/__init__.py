"""Images with the same pixels, the subjects they join, and the report of both."""
