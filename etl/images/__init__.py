"""One image: read, decoded, cropped, resized. Plain numpy and OpenCV."""
