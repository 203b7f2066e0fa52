# SPDX-License-Identifier: Apache-2.0
"""The commands of `python -m clipseg_ros`: each module has add_arguments(parser) and run(args) -> exit code."""
