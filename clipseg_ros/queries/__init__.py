# SPDX-License-Identifier: Apache-2.0
"""What is looked for: texts -> queries, the active ones with ids that stay, affordances, prompts that are fused."""

from clipseg_ros.queries.entries import MAX_PROMPTS, SOURCES, Entry, Query, QueryError, QuerySet
from clipseg_ros.queries.language import parse

__all__ = ["MAX_PROMPTS", "SOURCES", "Entry", "Query", "QueryError", "QuerySet", "parse"]
