# SPDX-License-Identifier: Apache-2.0
"""The demo's picture: one row a query, its text and result on the left, frames with what the node marked on the right.

Marked pixels are tinted and outlined, a colour for each prompt of the row; the truth is a thin white line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

WIDTH = 1400
TILE = (120, 160)  # (H, W)
TILES = 6
GAP = 6
MARGIN = 24
HEADER = 92
TEXT_WIDTH = WIDTH - 2 * MARGIN - TILES * (TILE[1] + GAP) - 16
PAPER, INK, GREY, LINE = (255, 255, 255), (28, 30, 36), (120, 124, 134), (226, 228, 233)
TINTS = np.array([(236, 0, 140), (0, 168, 232), (255, 140, 0), (60, 190, 60), (130, 80, 255)], np.uint8)
CHIPS = {
    "object": (38, 98, 178),
    "colour": (176, 58, 46),
    "attribute": (120, 70, 160),
    "part": (20, 128, 120),
    "affordance": (190, 110, 10),
    "absent": (96, 100, 110),
    "together": (28, 30, 36),
}
OPACITY = 0.36  # of the tint: the colour of the thing itself must stay visible
FINER = 4  # text is drawn so many times larger and averaged down: OpenCV's own smoothing is coarse


@dataclass(frozen=True, eq=False)
class Row:
    """A query of the demo: its text, its kind (a key of CHIPS), its result in words, and K frames.

    images (K, h, w, 3) uint8 RGB; labels (K, h, w) uint8, 0 unmarked, i + 1 the i-th prompt of the row; truths
    (K, h, w) bool. The first TILES frames are shown.
    """

    text: str
    kind: str
    result: str
    images: np.ndarray
    labels: np.ndarray
    truths: np.ndarray


def draw(title: str, subtitle: str, rows: Sequence[Row]) -> np.ndarray:
    """(H, WIDTH, 3) uint8 RGB: header, then a row a query."""
    pitch = TILE[0] + GAP
    sheet = np.full((HEADER + len(rows) * pitch + MARGIN, WIDTH, 3), PAPER, np.uint8)
    _write(sheet, title, (MARGIN, 44), 1.0, INK, bold=True)
    _write(sheet, subtitle, (MARGIN, 74), 0.52, GREY)
    _draw_legend(sheet)
    for place, row in enumerate(rows):
        _draw_row(sheet, HEADER + place * pitch, row)
    return sheet


def draw_tile(image: np.ndarray, labels: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """TILE + (3,) uint8 RGB: the image with its marked pixels tinted and outlined, the truth as a thin white line."""
    scale = 2
    size = (TILE[1] * scale, TILE[0] * scale)
    tile = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    for number in np.unique(labels[labels > 0]):
        tint = _tint(int(number))
        mask = cv2.resize((labels == number).astype(np.uint8), size, interpolation=cv2.INTER_LINEAR)
        tile[mask > 0] = ((1 - OPACITY) * tile[mask > 0] + OPACITY * np.array(tint)).astype(np.uint8)
        cv2.drawContours(tile, _outlines(mask), -1, tint, 2 * scale - 1, cv2.LINE_AA)
    outer = cv2.resize(truth.astype(np.uint8), size, interpolation=cv2.INTER_LINEAR)
    cv2.drawContours(tile, _outlines(outer), -1, (255, 255, 255), scale - 1, cv2.LINE_AA)
    return cv2.resize(tile, TILE[::-1], interpolation=cv2.INTER_AREA)


def _draw_row(sheet: np.ndarray, top: int, row: Row) -> None:
    cv2.line(sheet, (MARGIN, top - GAP // 2), (WIDTH - MARGIN, top - GAP // 2), LINE, 1)
    _draw_text(sheet, top, row.text)
    baseline = top + TILE[0] - 16
    width = _text_width(row.kind, 0.46) + 16
    cv2.rectangle(sheet, (MARGIN, baseline - 16), (MARGIN + width, baseline + 6), CHIPS[row.kind], -1)
    _write(sheet, row.kind, (MARGIN + 8, baseline - 1), 0.46, PAPER)
    _write(sheet, row.result, (MARGIN + width + 12, baseline), 0.6, INK)
    left = WIDTH - MARGIN - TILES * (TILE[1] + GAP) + GAP
    for image, labels, truth in zip(row.images[:TILES], row.labels, row.truths):
        sheet[top : top + TILE[0], left : left + TILE[1]] = draw_tile(image, labels, truth)
        left += TILE[1] + GAP


def _draw_text(sheet: np.ndarray, top: int, text: str) -> None:
    """The query, large; of several prompts each on a line of its own in the colour of its pixels."""
    prompts = [prompt.strip() for prompt in text.split(";")]
    if len(prompts) == 1:
        for place, line in enumerate(_wrap(text, 0.78, TEXT_WIDTH)):
            _write(sheet, line, (MARGIN, top + 32 + 28 * place), 0.78, INK, bold=True)
        return
    for place, prompt in enumerate(prompts):
        _write(sheet, prompt, (MARGIN, top + 24 + 23 * place), 0.62, tuple(_tint(place + 1)), bold=True)


def _draw_legend(sheet: np.ndarray) -> None:
    """At the right of the title: what the tint and the line mean."""
    right, baseline = WIDTH - MARGIN, 42
    for text, fill in (("truth", [150, 154, 164]), ("marked by the node", [(tint + 255) // 2 for tint in _tint(1)])):
        right -= _text_width(text, 0.5)
        _write(sheet, text, (right, baseline), 0.5, GREY)
        box = (right - 30, baseline - 13, 21, 15)
        cv2.rectangle(sheet, box, fill, -1)
        if text == "truth":
            cv2.rectangle(sheet, (box[0] + 4, box[1] + 3, 13, 9), PAPER, 1)
        else:
            cv2.rectangle(sheet, box, _tint(1), 2)
        right -= 54


def _tint(number: int) -> list[int]:
    """RGB of the prompt with this label."""
    return TINTS[(number - 1) % len(TINTS)].tolist()


def _outlines(mask: np.ndarray) -> Sequence[np.ndarray]:
    return cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)[0]


def _text_width(text: str, scale: float) -> int:
    return cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, scale, 1)[0][0]


def _wrap(text: str, scale: float, width: int) -> list[str]:
    """Lines of whole words no wider than width, where a single word allows it."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and _text_width(longer, scale) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _write(
    sheet: np.ndarray, text: str, corner: tuple[int, int], scale: float, ink: tuple[int, int, int], bold: bool = False
) -> None:
    """Text with its baseline's left end at corner (x, y)."""
    x, y = corner
    above, below = round(30 * scale), round(12 * scale)
    width = min(_text_width(text, scale) + 8, sheet.shape[1] - x)
    cover = np.zeros(((above + below) * FINER, width * FINER), np.uint8)
    thickness = round(FINER * scale * (2.3 if bold else 1.6))
    cv2.putText(
        cover, text, (0, above * FINER), cv2.FONT_HERSHEY_DUPLEX, scale * FINER, 255, thickness, cv2.LINE_AA
    )
    share = cv2.resize(cover, (width, above + below), interpolation=cv2.INTER_AREA)[..., None] / 255.0
    area = sheet[y - above : y + below, x : x + width]
    area[:] = np.round(area * (1.0 - share) + np.array(ink) * share).astype(np.uint8)
