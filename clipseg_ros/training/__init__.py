# SPDX-License-Identifier: Apache-2.0
"""Training: a recipe names every number of a run, `train` runs it, the result loads straight into an engine."""
