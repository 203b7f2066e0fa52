# SPDX-License-Identifier: Apache-2.0
"""`python -m clipseg_ros.tools.calibrate_car --weights W`: thresholds of engine car for a CLIP, on rendered scenes.

Prints the best confidence_threshold for every combination of the options swept, on the validation scenes, then what the
best of them does with one, two and five queries. The numbers of the preset `demo` come from here.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator, Sequence

from clipseg_ros.tools.found import read_options

SWEEP = ("patch_threshold=[0.15, 0.19, 0.23, 0.27]",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    add = parser.add_argument
    add("--weights", default="demo", help="demo, a folder, or a hub model (default: %(default)s)")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    add("--scenes", type=int, default=200, help="of the validation scenes (default: %(default)s)")
    add("--dropped", type=float, default=0.91, help="share of absent queries to drop (default: %(default)s)")
    add("--option", action="append", default=[], metavar="KEY=VALUE", help="of engine car; again for more")
    add("--sweep", action="append", metavar="KEY=[A, B]", help=f"values to try; again for more (default: {SWEEP[0]})")


def run(args: argparse.Namespace) -> int:
    """Print both tables. Raises ValueError, WeightsError, DeviceError."""
    from clipseg_ros import engines
    from clipseg_ros.evaluation import mixed_queries, tabletop
    from clipseg_ros.evaluation.car_calibration import calibrate

    options, swept = read_options(args.option), list(combinations(args.sweep or SWEEP))
    views = mixed_queries.render(tabletop.VALIDATION[: args.scenes])
    alone = [
        call for mix in ("1, present", "1, absent") for call in mixed_queries.calls(views, mixed_queries.MIXES[mix])
    ]
    choices = calibrate(args.weights, args.device, options, swept, alone, args.dropped)
    for choice in choices:
        words = ", ".join(f"{name} {value}" for name, value in choice.options)
        shares = f"IoU {choice.iou:.3f}, kept {choice.kept:.3f}, absent dropped {choice.dropped:.3f}"
        print(f"{words}: confidence_threshold {choice.threshold:g}: {shares}")
    best = max(choices, key=lambda choice: choice.iou)
    chosen = {**options, **dict(best.options), "confidence_threshold": best.threshold}
    print(f"best: {', '.join(f'{name}={value}' for name, value in chosen.items())}")
    engine = engines.create("car", args.weights, args.device, **chosen)
    for mix, counts in mixed_queries.MIXES.items():
        values = mixed_queries.measure(engine, mixed_queries.calls(views, counts)).values()
        print(f"N = {mix}: " + ", ".join(f"{name} {value:.3f}" for name, value in values.items() if value == value))
    return 0


def combinations(sweeps: Sequence[str]) -> Iterator[dict[str, object]]:
    """Every combination of the values of KEY=[A, B]. Raises ValueError for a sweep without a list."""
    listed = read_options(sweeps)
    for name, values in listed.items():
        if not isinstance(values, list) or not values:
            raise ValueError(f"--sweep {name}={values}: expected a list of values, such as {SWEEP[0]}")
    for values in itertools.product(*listed.values()):
        yield dict(zip(listed, values))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    run(parser.parse_args())
