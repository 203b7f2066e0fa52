# SPDX-License-Identifier: Apache-2.0
"""Run a benchmark and write what came out: table.txt, results.json, per_class.csv beside the predictions."""

from __future__ import annotations

from dataclasses import replace

from clipseg_ros import engines
from clipseg_ros.evaluation.benchmark import Benchmark
from clipseg_ros.evaluation.passes import Job
from clipseg_ros.evaluation.predictions import weights_digest
from clipseg_ros.evaluation.report import Report


def evaluate(benchmark: Benchmark, job: Job) -> Report | None:
    """The report, written to job.folder; None in processes other than rank 0.

    Predictions that are there are not made again; where all are, nothing is loaded. Raises ValueError: no such engine,
    a limit below 1, a folder of other settings; DatasetError: a data set that is missing or damaged.
    """
    if job.engine not in engines.ENGINES:
        raise ValueError(f"engine {job.engine!r}: expected one of {', '.join(engines.ENGINES)}")
    if job.limit is not None and job.limit < 1:
        raise ValueError(f"--limit {job.limit}: expected at least 1")
    from clipseg_ros.models import hub  # it imports the hub's client, which `--list` need not wait for

    made = {"engine": job.engine, "weights": job.weights, "precision": job.precision, "options": dict(job.options)}
    folder = str(hub.demo_folder()) if job.weights == "demo" else job.weights
    pinned = {"benchmark": benchmark.name, **made, "weights_sha256": weights_digest(folder)}
    outcome = benchmark.kind.run(replace(job, settings=pinned))
    if outcome is None:
        return None
    report = Report(benchmark, outcome, made)
    job.folder.mkdir(parents=True, exist_ok=True)
    (job.folder / "table.txt").write_text(report.text(), encoding="utf-8")
    (job.folder / "results.json").write_text(report.json(), encoding="utf-8")
    if classes := report.per_class():
        (job.folder / "per_class.csv").write_text(classes, encoding="utf-8")
    return report
