# SPDX-License-Identifier: Apache-2.0
"""Where the folder of a model is found: in the package, on the disk, in the Hugging Face cache, on the hub.

`weights` names one of: `demo` (ships with the package), a folder in transformers' format, or a model of the Hugging
Face hub such as `CIDAS/clipseg-rd64-refined`, taken from the local cache or downloaded.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import HFValidationError, HTTPError, LocalEntryNotFoundError

SIDE_FILES = ["*.json", "*.txt"]
HUB_TIMEOUT_S = 5.0


class WeightsError(RuntimeError):
    """Weights that cannot be found or used; the message names them, the place looked in and the remedy."""


def demo_folder() -> Path:
    """The folder of the demo model inside the package."""
    return Path(str(files("clipseg_ros") / "data" / "demo_model"))


def find(weights: str) -> Path:
    """The folder of `weights`; asks the hub only when the cache lacks them. Raises WeightsError."""
    if weights == "demo":
        return demo_folder()
    if Path(weights).expanduser().is_dir():
        return Path(weights).expanduser()
    try:
        return Path(snapshot_download(weights, allow_patterns=[*SIDE_FILES, "*.safetensors"], local_files_only=True))
    except HFValidationError:
        raise WeightsError(f"weights {weights!r}: no such folder, and no name of a model on the hub") from None
    except LocalEntryNotFoundError:
        return download(weights)


def download(weights: str) -> Path:
    """Copy a hub model into the local cache and return its folder. Raises WeightsError within seconds if offline."""
    try:
        # Asked first, because snapshot_download waits for ever on a network that drops packets.
        listing = HfApi().model_info(weights, timeout=HUB_TIMEOUT_S).siblings or []
        safe = any(file.rfilename.endswith(".safetensors") for file in listing)
        return Path(snapshot_download(weights, allow_patterns=[*SIDE_FILES, "*.safetensors" if safe else "*.bin"]))
    except (HTTPError, OSError, HFValidationError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise WeightsError(
            f"weights {weights!r}: not a folder here, and the hub did not give them to the cache "
            f"{constants.HF_HUB_CACHE} ({reason}). Run `python -m clipseg_ros download {weights}` where there is a "
            "network (HF_HOME names the cache), or take the demo model: weights:=demo, --weights demo"
        ) from error
