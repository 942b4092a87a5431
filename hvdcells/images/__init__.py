"""One image of a source: found, read, decoded, cropped, resized. The ETL and prediction do it with these functions."""
