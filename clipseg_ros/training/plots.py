# SPDX-License-Identifier: Apache-2.0
"""How a run went, as a picture: the loss of every step and, where it was validated, the IoU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from clipseg_ros.training import log

SMOOTHED = 50  # at most that many means of equal spans make the thick line


def curves(out: Path) -> Path:
    """Draw out/curves.png from out/log.csv and out/validation.csv; returns its path. ValueError without steps."""
    losses, validated = log.read(out / log.LOSSES), log.read(out / log.VALIDATION)
    if not losses:
        raise ValueError(f"{out / log.LOSSES}: no steps to draw")
    rows = 2 if validated else 1
    figure = Figure(figsize=(8.0, 3.0 * rows), layout="constrained")
    FigureCanvasAgg(figure)  # needs no screen, whatever matplotlib is set to
    axes = figure.subplots(rows, 1, squeeze=False, sharex=True)[:, 0]
    steps, values = np.array([row[:2] for row in losses]).T
    axes[0].plot(steps, values, color="0.75", linewidth=0.8)
    axes[0].plot(*(means(one) for one in (steps, values)), color="tab:blue", linewidth=2.0)
    axes[0].set_ylabel("loss")
    if validated:
        axes[1].plot(*np.array(validated).T, color="tab:orange", marker="o", markersize=3.0)
        axes[1].set_ylabel("IoU")
        axes[1].set_ylim(0.0, 1.0)
    axes[-1].set_xlabel("step")
    figure.savefig(out / "curves.png", dpi=120)
    return out / "curves.png"


def means(values: np.ndarray) -> np.ndarray:
    """Means of SMOOTHED equal spans of the values, or the values where there are fewer."""
    return np.array([span.mean() for span in np.array_split(values, min(SMOOTHED, len(values)))])
