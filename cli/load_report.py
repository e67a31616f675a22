"""The report of a load run: counts, percentiles, files, a plot."""

import csv
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path

from cli.load_client import RequestOutcome

PERCENTILES = (50, 90, 95, 99)


@dataclass(frozen=True)
class LoadReport:
    """What a run came to."""

    requests: int
    completed: int
    failed: int
    correct: int
    wrong: int
    seconds: float
    """From the first request to the last answer."""
    percentiles: Mapping[str, float]
    """Seconds of the completed requests, ``p50`` to ``p99`` and ``max``; empty when none was."""
    errors: Mapping[str, int]
    """How often each error came."""


def summarize(
    sent: Sequence[RequestOutcome], predictions: Mapping[str, str], seconds: float
) -> LoadReport:
    """Counts and percentiles. A photo without a prediction is neither right nor wrong."""
    completed = [one for one in sent if one.ok]
    judged = [one.answer == predictions[one.image] for one in completed if one.image in predictions]
    return LoadReport(
        requests=len(sent),
        completed=len(completed),
        failed=len(sent) - len(completed),
        correct=sum(judged),
        wrong=len(judged) - sum(judged),
        seconds=seconds,
        percentiles=_percentiles([one.seconds for one in completed]),
        errors=dict(Counter(_error(one) for one in sent if not one.ok)),
    )


def _percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """By nearest rank."""
    if not seconds:
        return {}
    ordered = sorted(seconds)
    ranks = {f"p{p}": math.ceil(p / 100 * len(ordered)) for p in PERCENTILES}
    return {name: ordered[rank - 1] for name, rank in ranks.items()} | {"max": ordered[-1]}


def _error(one: RequestOutcome) -> str:
    return f"{one.status or 'no answer'}: {one.answer.partition(':')[0]}"


def lines(report: LoadReport) -> str:
    """The report as the original users' generator prints it, then the percentiles."""
    percentiles = ", ".join(f"{name} {value:.3f}" for name, value in report.percentiles.items())
    return "\n".join(
        [
            f"Total number of requests: {report.requests}",
            f"Total number of requests completed successfully: {report.completed}",
            f"Total number of failed requests: {report.failed}",
            f"Total number of correct predictions : {report.correct}",
            f"Total number of wrong predictions: {report.wrong}",
            f"Total response time: {report.seconds:.1f} (seconds)",
            f"Response time percentiles (seconds): {percentiles or 'none'}",
            *(f"Failed with {what}: {count}" for what, count in report.errors.items()),
        ]
    )


def write(folder: Path, report: LoadReport, sent: Sequence[RequestOutcome]) -> None:
    """``report.json``, ``requests.csv`` and ``latency.svg`` in a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(asdict(report), indent=2) + "\n")
    with (folder / "requests.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(field.name for field in fields(RequestOutcome))
        rows.writerows(astuple(one) for one in sent)
    _plot(folder / "latency.svg", report, sent)


def _plot(path: Path, report: LoadReport, sent: Sequence[RequestOutcome]) -> None:
    """Latency over time, a dot for each request, failures in red."""
    from matplotlib.figure import Figure  # heavy, and only needed here

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    for ok, color, label in ((True, "tab:blue", "completed"), (False, "tab:red", "failed")):
        chosen = [one for one in sent if one.ok is ok]
        if chosen:
            begun, seconds = [one.began for one in chosen], [one.seconds for one in chosen]
            axes.scatter(begun, seconds, s=9, color=color, label=f"{len(chosen)} {label}")
    for name in ("p50", "p95"):
        if name in report.percentiles:
            value = report.percentiles[name]
            axes.axhline(value, linewidth=0.8, linestyle="--", color="gray")
            axes.annotate(f"{name} {value:.2f} s", (0, value), fontsize=8)
    axes.set(xlabel="sent after (s)", ylabel="answered after (s)", ylim=(0, None))
    axes.legend()
    figure.savefig(path)
