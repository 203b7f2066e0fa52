# SPDX-License-Identifier: Apache-2.0
"""Metrics and benchmarks: integer counts in, ratios out."""
