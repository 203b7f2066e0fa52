# SPDX-License-Identifier: Apache-2.0
"""Whether an image fits the shared memory through which Fast DDS hands it to the processes of one machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

DEFAULT_SEGMENT = 512 * 1024  # bytes, where no profile says more
PROFILES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")  # Fast DDS 2 and 3
ADVICE = "set FASTRTPS_DEFAULT_PROFILES_FILE to config/fastdds_large_images.xml for it, the camera and the listeners"


def segment_size(rmw: str, environment: Mapping[str, str] = os.environ) -> int | None:
    """Bytes of a process's segment; None where another middleware, or a setting that we do not read, decides.

    rmw: the middleware's identifier. A profile without a segment has none to outgrow.
    """
    if not rmw.startswith("rmw_fastrtps") or "FASTDDS_BUILTIN_TRANSPORTS" in environment:
        return None
    file = next((environment[name] for name in PROFILES if environment.get(name)), None)
    if file is None:
        return DEFAULT_SEGMENT
    try:
        sizes = [int(found.text) for found in ElementTree.fromstring(Path(file).read_bytes()).iter() if _is_size(found)]
    except (OSError, ValueError, TypeError, ElementTree.ParseError):  # Fast DDS has its own words for such a file
        return None
    return max(sizes, default=None)


def _is_size(element: ElementTree.Element) -> bool:
    return element.tag.rpartition("}")[2] == "segment_size"


class SizeWatch:
    """Finds the first message that outgrows a segment of `limit` bytes; None never is."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit

    def complaint(self, topic: str, size: int) -> str | None:
        """What to warn of, once; size: bytes of a message's data on the topic."""
        if self._limit is None or size <= self._limit:
            return None
        limit, self._limit = self._limit, None
        return (
            f"an image of {size} bytes on {topic} outgrows the shared-memory segment of {limit} bytes: it goes through "
            f"the network's buffers, slower, and best-effort listeners lose it. {ADVICE}, with a larger segment_size "
            "where that is set already, or lower scores_scale where it is ~/scores"
        )
