"""``facerec load``: the workload generator."""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli.workload import Report, Sender, Sent, photos, read_predictions, repeated, summarise

CONCURRENCY = 100

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option(
    "--num_request",
    "--num-request",
    "count",
    type=click.IntRange(1),
    required=True,
    help="How many photos to send; the folder is begun anew when it has fewer.",
)
@click.option("--url", required=True, help="Address of the web tier, such as http://127.0.0.1:8000")
@click.option("--image_folder", "--image-folder", "folder", type=_FOLDER, required=True)
@click.option(
    "--prediction_file",
    "--prediction-file",
    "prediction_file",
    type=_FILE,
    help="CSV with the columns Image,Results: who is on each photo.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1),
    default=CONCURRENCY,
    show_default=True,
    help="Requests at once.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
def load(
    count: int,
    url: str,
    folder: Path,
    prediction_file: Path | None,
    concurrency: int,
    as_json: bool,
) -> None:
    """Send many photos at once and count what comes back.

    Exits with 1 when a request failed or a prediction was wrong.
    """
    try:
        chosen = list(repeated(photos(folder), count))
        predictions = read_predictions(prediction_file) if prediction_file else {}
    except (FileNotFoundError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    began = time.monotonic()
    sent = _send_all(Sender(url, concurrency), chosen, concurrency)
    report = summarise(sent, predictions, time.monotonic() - began)
    click.echo(json.dumps(asdict(report)) if as_json else lines(report))
    if report.failed or report.wrong:
        sys.exit(1)


def lines(report: Report) -> str:
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


def _send_all(sender: Sender, chosen: list[Path], concurrency: int) -> list[Sent]:
    with _progress() as progress, ThreadPoolExecutor(concurrency) as pool:
        bar = progress.add_task("photos", total=len(chosen))
        sent = []
        for done in as_completed([pool.submit(sender.send, photo) for photo in chosen]):
            sent.append(done.result())
            progress.advance(bar)
        return sent


def _progress() -> Progress:
    """On standard error, so that standard output holds the report alone."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )
