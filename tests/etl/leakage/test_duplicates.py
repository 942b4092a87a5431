import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.leakage import duplicates

HASHES = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.sampled_from([0, 2**63, 0xF0F0_1234_5678_9ABC]),
        st.lists(st.integers(0, 63), max_size=2),
    ),
    max_size=40,
)


def facts(images):
    """One shard for every third image; content hashes are numbers in hexadecimal."""
    parts = []
    for shard in range(3):
        members = [(index, *image) for index, image in enumerate(images) if index % 3 == shard]
        hashes = [f"{content:032x}" for _, content, _ in members]
        signed = [value - 2**64 if value >= 2**63 else value for *_, value in members]
        parts.append(duplicates.facts(shard, [index for index, *_ in members], hashes, signed))
    return np.concatenate(parts)


@settings(deadline=None)
@given(HASHES, st.integers(0, 3))
def test_they_are_those_that_comparing_all_with_all_finds(drawn, most_bits):
    images = []
    for content, perceptual, flipped in drawn:
        for bit in flipped:
            perceptual ^= 1 << bit
        images.append((content, perceptual))
    table = facts(images)
    names = [(index % 3, index) for index in range(len(images))]
    pairs = [(one, other) for one in range(len(images)) for other in range(one)]
    near = {
        tuple(sorted((names[one], names[other])))
        for one, other in pairs
        if images[one][0] != images[other][0] and (images[one][1] ^ images[other][1]).bit_count() <= most_bits
    }
    assert set().union(*(duplicates.near_pairs(table, quarter, most_bits) for quarter in range(4))) == near
    sets = {}
    for name, (content, _) in zip(names, images, strict=True):
        sets.setdefault(content, []).append(name)
    wanted = sorted(sorted(members) for members in sets.values() if len(members) > 1)
    assert sorted(duplicates.identical_sets(table)) == wanted


def test_what_too_many_share_is_left_out():
    images = [(number, 7) for number in range(duplicates.MOST_EQUAL_QUARTERS + 1)]
    assert duplicates.near_pairs(facts(images), 0, 2) == set()
    assert (
        len(duplicates.near_pairs(facts(images[:-1]), 0, 2))
        == duplicates.MOST_EQUAL_QUARTERS * (duplicates.MOST_EQUAL_QUARTERS - 1) // 2
    )
