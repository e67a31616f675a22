"""``facerec load``: a load generator."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli.load_client import LoadClient, RequestOutcome
from cli.load_report import lines, summarize, write
from cli.workload import Workload, photos, read_predictions

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_Command = TypeVar("_Command", bound=Callable[..., Any])
_POSITIVE = click.FloatRange(min=0, min_open=True)


def _option(name: str, *more: str, **settings: Any) -> Callable[[_Command], _Command]:
    """An option whose words may be joined by dashes or by underscores."""
    spelled = [f"--{name.replace('_', '-')}", *([f"--{name}"] if "_" in name else []), *more]
    return click.option(*spelled, **settings)


@click.command()
@_option(
    "num_request",
    type=click.IntRange(1),
    help="Number of photos to send; a smaller folder is sent repeatedly.",
)
@_option("duration", type=_POSITIVE, help="Send for this many seconds.")
@_option(
    "rate", type=_POSITIVE, help="Send this many photos a second, without waiting for answers."
)
@_option(
    "concurrency",
    type=click.IntRange(1),
    default=100,
    help="Most requests at a time.",
    show_default=True,
)
@_option("url", required=True, help="Address of the web tier, such as http://127.0.0.1:8000")
@_option("image_folder", type=_FOLDER, required=True, help="Folder with the photos to send.")
@_option(
    "prediction_file", type=_FILE, help="CSV with the columns Image,Results: the expected names."
)
@_option("api_key", envvar="FACEREC_API_KEY", help="API key (FACEREC_API_KEY).")
@_option(
    "out",
    type=click.Path(path_type=Path),
    help="Folder to write a report, all requests and a plot to.",
)
@_option("json", "as_json", is_flag=True, help="Print one JSON object.")
def load(
    num_request: int | None,
    duration: float | None,
    rate: float | None,
    concurrency: int,
    url: str,
    image_folder: Path,
    prediction_file: Path | None,
    api_key: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Send many photos concurrently and summarize the answers.

    Exits with 1 when a request failed or a prediction was wrong.
    """
    if num_request is None and duration is None:
        raise click.UsageError("say how many: --num_request or --duration")
    try:
        found = photos(image_folder)
        predictions = read_predictions(prediction_file) if prediction_file else {}
    except (FileNotFoundError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    url = url if "://" in url else f"http://{url}"
    began = time.monotonic()
    workload = Workload(found, requests=num_request, duration=duration, rate=rate)
    sent = _send(LoadClient(url, concurrency, api_key), workload, num_request)
    report = summarize(sent, predictions, time.monotonic() - began)
    if out is not None:
        write(out, report, sent)
    click.echo(json.dumps(asdict(report)) if as_json else lines(report))
    if report.failed or report.wrong:
        sys.exit(1)


def _send(sender: LoadClient, workload: Workload, total: int | None) -> list[RequestOutcome]:
    """With a progress bar on standard error: standard output holds the report alone."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("photos", total=total)
        return sender.send(workload, lambda: progress.advance(bar))
