"""PNG files looked at before they are decoded."""


def png_damage(content: bytes | memoryview) -> str:
    """Return what is wrong with the chunks of a PNG; nothing if they are whole.

    OpenCV 4.11 allocates what a chunk says to be its length, up to 4 GB, before it looks how much of it is there.
    """
    at, has_pixels = 8, False
    while at + 12 <= len(content):
        length, kind = int.from_bytes(content[at : at + 4], "big"), bytes(content[at + 4 : at + 8])
        at += 12 + length
        if at > len(content):
            return "no end chunk"
        if kind == b"acTL":
            return "an animation"
        has_pixels = has_pixels or kind == b"IDAT"
        if kind == b"IEND":
            return "" if has_pixels else "no pixels"
    return "no end chunk"
