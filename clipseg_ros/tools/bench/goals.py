# SPDX-License-Identifier: Apache-2.0
"""What the package means to reach: on a CPU of two cores, or on one H200. Other devices and cases have no goal."""

from __future__ import annotations

from clipseg_ros.tools.bench.rows import Goal

FULL_SIZE = "full-size"
VGA, HD = (480, 640), (720, 1280)
CLIPSEG_RATIOS = {1: 1.3, 5: 6.0, 20: 18.0}  # by prompts, of transformers' time to ours
COMPILED_RATIO = 1.5  # of one prompt
EXTRA_PROMPT_PERCENT = 3.0  # of the time of one prompt
CAR_RATIOS = {False: 10.0, True: 20.0}  # without and with CRF, of the reference's time to ours on the same GPU
CAR_FRAME_MS = 33.0  # with 5 queries
FRAMES_PER_SECOND = 1500.0  # of 8 cameras in batches
ROS_SHARE_MS = {VGA: 6.0, HD: 14.0}
MANY_CLASSES_PERCENT = 5.0  # more time of 171 classes than of 5, with the published side
IDLE_PERCENT = 2.0  # of a core
MEMORY_GROWTH_PERCENT = 1.0  # resident, from 100 to 1,000 frames: nothing but noise
GPU_FRAME_MS, GPU_FRAME_PROMPTS = 2.0, 5
GPU_IOU = 0.995  # of half precision with fp32


def of_clipseg(device: str, network: str, size: tuple[int, int], prompts: int, variant: str) -> Goal | None:
    """For the engine on a frame (H, W)."""
    if network != FULL_SIZE or size != VGA:
        return None
    if device == "cpu" and variant == "fp32" and prompts in CLIPSEG_RATIOS:
        return Goal("ratio", at_least=CLIPSEG_RATIOS[prompts])
    if (device, variant, prompts) == ("cpu", "fp32, compiled", 1):
        return Goal("ratio", at_least=COMPILED_RATIO)
    if device.startswith("cuda") and variant == "fp16" and prompts == GPU_FRAME_PROMPTS:
        return Goal("value", at_most=GPU_FRAME_MS)
    return None


def of_extra_prompt(device: str, network: str, size: tuple[int, int], variant: str) -> Goal | None:
    """For what a prompt costs beside the first, in percent."""
    if (device, network, size, variant) == ("cpu", FULL_SIZE, VGA, "fp32"):
        return Goal("value", at_most=EXTRA_PROMPT_PERCENT)
    return None


def of_agreement(device: str, variant: str) -> Goal | None:
    """For the masks of a variant against those of fp32."""
    return Goal("value", at_least=GPU_IOU) if device.startswith("cuda") and variant in ("fp16", "bf16") else None


def of_car(device: str, quick: bool, crf: bool) -> Goal | None:
    """For engine car against the reference's flow."""
    return Goal("ratio", at_least=CAR_RATIOS[crf]) if device.startswith("cuda") and not quick else None


def of_car_frame(device: str, quick: bool, queries: int) -> Goal | None:
    """For engine car on a frame, with CRF at half the side: the rate of a camera."""
    return Goal("value", at_most=CAR_FRAME_MS) if device.startswith("cuda") and not quick and queries == 5 else None


def of_many_classes(network: str, way: str) -> Goal | None:
    """For what 171 classes cost engine zegclip beside 5, in percent."""
    asked = network == FULL_SIZE and way == "engine zegclip, side 512"
    return Goal("value", at_most=MANY_CLASSES_PERCENT) if asked else None


def of_cameras(device: str, quick: bool, cameras: int) -> Goal | None:
    """For frames of so many cameras at once."""
    if device.startswith("cuda") and not quick and cameras == 8:
        return Goal("value", at_most=1e3 * cameras / FRAMES_PER_SECOND)
    return None


def of_ros_share(size: tuple[int, int]) -> Goal | None:
    """For what the node adds to the engine's time on an image (H, W)."""
    return Goal("value", at_most=ROS_SHARE_MS[size]) if size in ROS_SHARE_MS else None
