"""One demonstration cell: its traits drawn from a class and a subject, and its picture.

A picture is painted with the absorption of light: colour = light · exp(-density · stain). Density is the sum of
chromatin, nucleoli and a darker nuclear rim, so that texture and colour vary as they do in a stained smear.
What tells the kinds apart is what a haematologist looks at: a lymphoblast is larger, with an indented outline,
fine chromatin and one to three nucleoli; a normal precursor is smaller and rounder, with coarse clumps; stages lie
between. Each of these overlaps between the kinds. Stain, brightness, size and sharpness belong to the subject's smear
and vary more than the kinds differ in them.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

IMAGE_SIZE = 450
"""Width and height of a picture, in pixels, as in C-NMC 2019."""
_LARGEST_SIDE = 400
"""Side of the square in which any cell fits, in pixels; only the cell's own square is painted, which is faster."""
_LARGEST_RADIUS = 132.0
SMEAR_EFFECTS = 7
"""Standard normal numbers that make one subject's smear."""
Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Smear:
    """What all cells of one subject share: the slide, the stain and the microscope."""

    light: Floats
    """Light without any cell, RGB in 0–255."""
    stain: Floats
    """Absorption of each RGB channel at density 1."""
    size_factor: float
    blur_px: float
    noise: float
    """Standard deviation of the camera's noise, in grey levels."""

    def times(self, factors: "Smear") -> "Smear":
        """Return the smear with each of its numbers multiplied by another's."""
        return Smear(**{name: value * getattr(factors, name) for name, value in vars(self).items()})


@dataclass(frozen=True)
class CellKind:
    """What is typical of a kind of cells: the middle of each trait, or the shares of 0, 1, 2, … of what is counted."""

    radius_px: float
    notch_shares: tuple[float, ...]
    elongation: float
    lobing: float
    clump_amount: float
    clump_scale_px: float
    nucleoli_shares: tuple[float, ...]
    chromatin_spread: float = 0.30
    """Standard deviation of the logarithm of the clumps' amount from cell to cell."""
    scale_spread: float = 0.18
    """The same of the clumps' scale."""


@dataclass(frozen=True)
class CellTraits:
    """What is drawn for each cell. Lengths are in pixels unless they are said to be relative to the radius."""

    radius_px: float
    elongation: float
    lobing: float
    """Amplitude of the slow waves of the nuclear outline, relative to the radius."""
    notches: tuple[float, ...]
    """Depth of each indentation of the nucleus, relative to the radius."""
    clump_amount: float
    """Standard deviation of the density of chromatin clumps."""
    clump_scale_px: float
    num_nucleoli: int
    cytoplasm_px: float


def draw_smear(effects: Floats) -> Smear:
    """Make a subject's smear of standard normal effects, shape (`SMEAR_EFFECTS`,)."""
    brightness, red, green, blue, strength, size, focus = np.clip(effects, -2.2, 2.2)
    return Smear(
        light=np.array([150.0, 132.0, 150.0]) * np.exp(0.10 * brightness),
        stain=np.array([0.76, 1.42, 0.60])
        * np.exp(0.04 * strength + np.array([0.08 * red, 0.03 * green, 0.08 * blue])),
        size_factor=float(np.exp(0.11 * size)),
        blur_px=float(1.2 * np.exp(0.25 * focus)),
        noise=float(0.8 * np.exp(0.3 * focus)),
    )


HEALTHY_CELL = CellKind(
    radius_px=96.0,
    notch_shares=(0.87, 0.11, 0.02),
    elongation=0.03,
    lobing=0.015,
    clump_amount=0.19,
    clump_scale_px=7.0,
    nucleoli_shares=(0.85, 0.12, 0.03, 0.0),
)
BLAST = CellKind(
    radius_px=106.0,
    notch_shares=(0.20, 0.50, 0.30),
    elongation=0.06,
    lobing=0.035,
    clump_amount=0.055,
    clump_scale_px=4.0,
    nucleoli_shares=(0.10, 0.38, 0.33, 0.19),
)


def draw_traits(kind: CellKind, smear: Smear, rng: np.random.Generator) -> CellTraits:
    """Draw the traits of one cell of the kind on the smear."""
    num_notches = int(rng.choice(len(kind.notch_shares), p=kind.notch_shares))
    return CellTraits(
        radius_px=min(kind.radius_px * smear.size_factor * float(np.exp(rng.normal(0, 0.06))), _LARGEST_RADIUS),
        elongation=abs(float(rng.normal(kind.elongation, 0.03))),
        lobing=float(kind.lobing * np.exp(rng.normal(0, 0.35))),
        notches=tuple(rng.uniform(0.12, 0.32, num_notches).tolist()),
        clump_amount=float(kind.clump_amount * np.exp(np.clip(rng.normal(0, kind.chromatin_spread), -1.1, 0.45))),
        clump_scale_px=float(kind.clump_scale_px * np.exp(rng.normal(0, kind.scale_spread))),
        num_nucleoli=int(rng.choice(len(kind.nucleoli_shares), p=kind.nucleoli_shares)),
        cytoplasm_px=float(np.clip(rng.normal(1.5, 2.0), 0.0, 7.0)),
    )


def paint(traits: CellTraits, smear: Smear, rng: np.random.Generator, num_debris: int = 0) -> npt.NDArray[np.uint8]:
    """Paint one segmented cell on black ground; uint8 RGB, shape (450, 450, 3)."""
    nucleus_edge = _outline(traits, rng)
    cell_edge = _around(nucleus_edge, traits.cytoplasm_px, rng)
    side = 2 * int(np.ceil(cell_edge.max())) + 2
    distance, angle = _polar(side)
    nucleus_depth = _at(angle, nucleus_edge) - distance
    inside = _segmentation(_at(angle, cell_edge) - distance, rng)

    nucleus = np.clip(nucleus_depth / 3.0 + 0.5, 0, 1)
    rim = np.exp(-np.square((nucleus_depth - 4.0) / 6.0))
    spots, spot_rims = _nucleoli(traits, side, rng)
    chromatin = 1.0 + _chromatin(traits, side, rng) + 0.12 * rim - 0.44 * spots + 0.14 * spot_rims
    cytoplasm = 0.38 + 0.05 * _noise(8.0, side, rng)
    density = nucleus * chromatin + (1 - nucleus) * cytoplasm
    if num_debris:
        density += _debris(num_debris, traits.radius_px, side, rng)

    # Nucleoli and the rim are bluer than the chromatin around them.
    stain = smear.stain.astype(np.float32) + (0.20 * spots + 0.10 * rim)[..., None] * np.array(
        [0.5, 0.0, -0.5], np.float32
    )
    colour = smear.light.astype(np.float32) * np.exp(-density[..., None] * stain)
    colour = cv2.GaussianBlur(colour, (0, 0), smear.blur_px)
    colour += rng.standard_normal((side, side, 1), np.float32) * np.float32(smear.noise)
    window = np.clip(np.rint(colour), 1, 255).astype(np.uint8) * inside[..., None]

    picture = np.zeros((IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    top, left = (IMAGE_SIZE - side) // 2 + rng.integers(-6, 7, 2)
    picture[top : top + side, left : left + side] = window
    return picture


@cache
def _largest_polar() -> tuple[Floats, Floats]:
    y, x = np.mgrid[:_LARGEST_SIDE, :_LARGEST_SIDE].astype(np.float32) - (_LARGEST_SIDE - 1) / 2
    return np.hypot(x, y), np.arctan2(y, x) % np.float32(2 * np.pi)


def _polar(side: int) -> tuple[Floats, Floats]:
    """Distance from the centre in pixels and angle in 0–2π, float32, each of shape (side, side); side is even."""
    distance, angle = _largest_polar()
    middle = slice((_LARGEST_SIDE - side) // 2, (_LARGEST_SIDE + side) // 2)
    return distance[middle, middle], angle[middle, middle]


_ANGLES = np.linspace(0, 2 * np.pi, 720, endpoint=False)


def _at(angle: Floats, edge: Floats) -> Floats:
    """Radius of a closed edge, sampled at `_ANGLES`, at each angle."""
    index = np.minimum(angle * np.float32(len(edge) / (2 * np.pi)), len(edge) - 1).astype(np.int32)
    return edge.astype(np.float32)[index]


def _outline(traits: CellTraits, rng: np.random.Generator) -> Floats:
    """Radius of the nucleus at each of `_ANGLES`, in pixels."""
    shape = 1 + traits.elongation * np.cos(2 * (_ANGLES - rng.uniform(0, np.pi)))
    for wave in range(3, 8):
        shape += traits.lobing * rng.normal() * np.cos(wave * _ANGLES + rng.uniform(0, 2 * np.pi)) * 2 / wave
    for depth in traits.notches:
        away = np.angle(np.exp(1j * (_ANGLES - rng.uniform(0, 2 * np.pi))))
        shape -= depth * np.exp(-np.square(away / rng.uniform(0.12, 0.28)))
    return traits.radius_px * np.clip(shape, 0.4, 1.15)


def _around(nucleus_edge: Floats, cytoplasm_px: float, rng: np.random.Generator) -> Floats:
    """Radius of the cell at each of `_ANGLES`: an uneven rim of cytoplasm and the raggedness of segmentation."""
    side = 1 + 0.9 * np.cos(_ANGLES - rng.uniform(0, 2 * np.pi))
    ragged = np.zeros_like(_ANGLES)
    for wave in rng.integers(9, 45, 8):
        ragged += rng.normal(0, 6.0 / wave) * np.cos(wave * _ANGLES + rng.uniform(0, 2 * np.pi))
    return nucleus_edge + cytoplasm_px * side + ragged


def _segmentation(depth: Floats, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Which pixels the segmentation kept; now and then it cuts a straight piece off. uint8 0 or 1."""
    inside = depth > 0
    if rng.random() < 0.15:
        distance, angle = _polar(len(depth))
        reach = distance * np.cos(angle - np.float32(rng.uniform(0, 2 * np.pi)))
        inside &= reach < rng.uniform(0.82, 0.95) * reach[inside].max()
    return inside.astype(np.uint8)


def _noise(scale_px: float, side: int, rng: np.random.Generator) -> Floats:
    """Smooth noise of mean 0 and standard deviation 1 with the given scale; float32, shape (side, side)."""
    # Coarse noise is drawn small and enlarged: a wide blur at full size costs several times as much.
    factor = max(1, int(scale_px / 2))
    small_side = -(-side // factor) + 2
    field = cv2.GaussianBlur(rng.standard_normal((small_side, small_side), np.float32), (0, 0), scale_px / factor)
    field = (field - field.mean()) / field.std()
    return cv2.resize(field, (side, side), interpolation=cv2.INTER_CUBIC)


def _chromatin(traits: CellTraits, side: int, rng: np.random.Generator) -> Floats:
    """Deviation of the chromatin's density from its mean, shape (side, side)."""
    clumps = np.tanh(_noise(traits.clump_scale_px, side, rng)) * np.float32(traits.clump_amount / 0.63)
    return clumps + 0.05 * _noise(2.2, side, rng) + 0.06 * _noise(40.0, side, rng)


def _debris(num: int, reach_px: float, side: int, rng: np.random.Generator) -> Floats:
    """Density of dots of precipitated stain, small and dark, shape (side, side)."""
    offsets = np.arange(side, dtype=np.float32) - (side - 1) / 2
    density = np.zeros((side, side), np.float32)
    for _ in range(num):
        away_px, direction = reach_px * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
        x, y = offsets - away_px * np.cos(direction), offsets - away_px * np.sin(direction)
        distance = np.hypot(x[None, :], y[:, None]).astype(np.float32)
        size_px = np.float32(rng.uniform(3.0, 9.0))
        density = np.maximum(density, np.float32(rng.uniform(0.5, 1.2)) * np.clip(size_px - distance + 0.5, 0, 1))
    return density


def _nucleoli(traits: CellTraits, side: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Soft discs of the nucleoli and the condensed chromatin around them, in 0–1, each of shape (side, side)."""
    spots = np.zeros((side, side), np.float32)
    rims = np.zeros_like(spots)
    offsets = np.arange(side, dtype=np.float32) - (side - 1) / 2
    for _ in range(traits.num_nucleoli):
        reach, direction = traits.radius_px * np.sqrt(rng.uniform(0.0, 0.33)), rng.uniform(0, 2 * np.pi)
        x, y = offsets - reach * np.cos(direction), offsets - reach * np.sin(direction)
        away = np.hypot(x[None, :], y[:, None]).astype(np.float32)
        size_px = np.float32(rng.uniform(8.0, 14.0))
        spots = np.maximum(spots, 0.5 - 0.5 * np.tanh((away - size_px) / 3.6))
        rims = np.maximum(rims, np.exp(-np.square((away - size_px - 3) / 3.0)))
    return spots, rims
