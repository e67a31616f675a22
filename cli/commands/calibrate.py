"""``facerec people calibrate``: how often people are recognized, and which threshold is best."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from cli.enrolment import enrol
from cli.friendly_errors import friendly_errors
from cli.gallery_broadcast import broadcast_gallery_change
from facerec_tasks.errors import NotFound
from facerec_tasks.recognition.gallery import accuracy
from facerec_tasks.recognition.gallery.accuracy import Confusion, Rates, Trials
from facerec_tasks.recognition.gallery.enrolment import Batch, Enroller, Sample
from facerec_tasks.recognition.gallery.gallery import Gallery, GalleryError
from facerec_tasks.recognition.gallery.photo_folder import NotAFolder, photos_in, photos_of
from facerec_tasks.recognition.session import ModelMissing
from facerec_tasks.settings import get_settings
from facerec_tasks.storage.model_files import ModelFiles
from facerec_tasks.storage.people import DEFAULT_ENGINE, People
from facerec_tasks.storage.state_bucket import StateBucket

Photo = Callable[[str], bytes | None]
"""From the id of a photo to its bytes; none for an embedding that came without."""

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@dataclass(frozen=True, eq=False)
class Calibration:
    """What was measured and what follows."""

    gallery: Gallery
    trials: Trials
    measured: list[Rates]
    """Over the thresholds."""
    proposed: Rates | None
    confusions: list[Confusion]

    @classmethod
    def of(cls, gallery: Gallery, trials: Trials, most_false: float) -> "Calibration":
        measured = accuracy.curve(trials, gallery.embedder, gallery.margin)
        proposed = accuracy.proposal(measured, gallery.embedder, most_false)
        return cls(gallery, trials, measured, proposed, accuracy.confusions(gallery, trials))

    @property
    def now(self) -> Rates:
        """With the gallery's threshold, or with its engine's when it names everybody."""
        threshold = self.gallery.threshold
        if threshold is None:
            threshold = self.gallery.embedder.threshold
        return accuracy.rates(self.trials, threshold, self.gallery.margin)


@click.command()
@click.argument("folder", required=False, type=FOLDER)
@click.option("--strangers", type=FOLDER, help="Photos of people who are not enrolled.")
@click.option(
    "--most-false",
    type=click.FloatRange(0, 1),
    default=0.01,
    show_default=True,
    help="Share of strangers that may be given a name.",
)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("calibration.png"),
    show_default=True,
    help="Where to draw the error rates: png, svg or pdf.",
)
@click.option("--apply", "apply_it", is_flag=True, help="Use the proposed threshold from now on.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def calibrate(
    folder: Path | None,
    strangers: Path | None,
    most_false: float,
    plot: Path,
    apply_it: bool,
    as_json: bool,
) -> None:
    """Measure on one's own photos how well people are recognized; propose a threshold.

    Uses the photos that are enrolled, or those of FOLDER (NAME/*.jpg; no AWS). Each is held against
    all others: as a new photo of its person, and with its person left out as a photo of a stranger.
    Several photos of at least some people are needed for the first.
    """
    with friendly_errors(GalleryError, ModelMissing, NotAFolder, OSError):
        gallery, photo = _of_folder(folder) if folder else _enrolled()
        trials = accuracy.leave_one_out(gallery)
        if strangers:
            trials = accuracy.concatenated(trials, _of_strangers(gallery, strangers))
        found = Calibration.of(gallery, trials, most_false)
        _draw(plot, found, photo)
        click.echo(json.dumps(_as_dict(found), indent=2) if as_json else _as_text(found))
        click.echo(f"drawn in {plot}", err=True)
        if apply_it:
            _apply(found)


def _enrolled() -> tuple[Gallery, Photo]:
    people = People(StateBucket(get_settings()))

    def photo(photo_id: str) -> bytes | None:
        try:
            return people.photo(photo_id) if photo_id else None
        except NotFound:  # removed since the gallery was read
            return None

    return people.gallery(), photo


def _of_folder(folder: Path) -> tuple[Gallery, Photo]:
    """Takes every photo with one face: a gate would leave only the easy ones to be measured."""
    enroller = Enroller.load(DEFAULT_ENGINE, get_settings().models_dir)
    batch = Batch(enroller, Gallery.empty(DEFAULT_ENGINE), strict=False)
    enrol(batch, photos_of(folder))
    bytes_of = {s.digest: s.photo for samples in batch.samples.values() for s in samples}
    return batch.gallery, bytes_of.get


def _of_strangers(gallery: Gallery, folder: Path) -> Trials:
    model_files = ModelFiles(StateBucket(get_settings()), get_settings())
    enroller = Enroller(model_files.recognizer(gallery))
    looked_at = [enroller.examine(p.read_bytes(), strict=False) for p in photos_in(folder)]
    embeddings = [found.embedding for found in looked_at if isinstance(found, Sample)]
    if not embeddings:
        raise NotAFolder(f"{folder} holds no photos of a face")
    return accuracy.search_strangers(gallery, np.stack(embeddings))


def _draw(path: Path, found: Calibration, photo: Photo) -> None:
    from cli import accuracy_plot  # matplotlib takes a second, and no other command needs it

    marks = {"now": found.now.threshold}
    if found.proposed:
        marks["proposed"] = found.proposed.threshold
    pairs = [
        (confusion, (photo(confusion.photos[0]), photo(confusion.photos[1])))
        for confusion in found.confusions[: accuracy_plot.MOST_PAIRS]
    ]
    accuracy_plot.draw(path, found.measured, marks, pairs)


def _as_dict(found: Calibration) -> dict[str, Any]:
    return {
        "engine": found.gallery.engine,
        "precision": found.gallery.precision,
        "people": len(found.gallery),
        "photos": len(found.gallery.photos),
        "now": _plain(found.now),
        "proposed": _plain(found.proposed) if found.proposed else None,
        "confusions": [asdict(confusion) for confusion in found.confusions],
    }


def _plain(rates: Rates) -> dict[str, float | None]:
    """JSON has no "not a number"."""
    return {k: None if math.isnan(v) else round(v, 4) for k, v in asdict(rates).items()}


def _as_text(found: Calibration) -> str:
    gallery = found.gallery
    lines = [
        f"{len(gallery)} people, {len(gallery.photos)} photos, "
        f"engine {gallery.engine} {gallery.precision}",
        _line("now", found.now),
        _line("proposed", found.proposed)
        if found.proposed
        else "no threshold to propose: two people at least are needed",
        "worst confusions:" if found.confusions else "no two people to confuse",
        *(f"  {c.distance:.3f}  {c.names[0]} and {c.names[1]}" for c in found.confusions),
    ]
    return "\n".join(lines)


def _line(label: str, rates: Rates) -> str:
    return (
        f"{label}: threshold {rates.threshold:g}: right {_percent(rates.right)}, "
        f"wrong {_percent(rates.wrong)}, strangers named {_percent(rates.false_names)}"
    )


def _percent(share: float) -> str:
    return "not measured" if math.isnan(share) else f"{100 * share:.1f} %"


def _apply(found: Calibration) -> None:
    if found.proposed is None:
        raise click.ClickException("there is nothing to apply")
    threshold = found.proposed.threshold
    People(StateBucket(get_settings())).edit(
        lambda gallery: _with_threshold(gallery, found, threshold)
    )
    broadcast_gallery_change()
    click.echo(f"the threshold is {threshold:g} now", err=True)


def _with_threshold(gallery: Gallery, found: Calibration, threshold: float) -> Gallery:
    measured, enrolled = (f"{g.engine} {g.precision}" for g in (found.gallery, gallery))
    if measured != enrolled:
        raise GalleryError(f"measured with {measured}, enrolled with {enrolled}")
    return gallery.with_threshold(threshold)
