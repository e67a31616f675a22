"""``facerec people calibrate``: how often people are recognized, and which threshold is best."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from cli.enrollment import enrol
from cli.gallery_broadcast import broadcast_gallery_change
from facerec_tasks.errors import NotFound
from facerec_tasks.recognition.gallery import accuracy, operating_point
from facerec_tasks.recognition.gallery.accuracy import Confusion, Rates, Trials
from facerec_tasks.recognition.gallery.calibration import calibrated
from facerec_tasks.recognition.gallery.enrollment import Batch, Enroller, Sample
from facerec_tasks.recognition.gallery.gallery import Gallery, GalleryError
from facerec_tasks.recognition.gallery.photo_folder import NotAFolder, photos_in, photos_of
from facerec_tasks.settings import get_settings
from facerec_tasks.storage.model_files import ModelFiles
from facerec_tasks.storage.people import DEFAULT_ENGINE, People
from facerec_tasks.storage.state_bucket import StateBucket

Photo = Callable[[str], bytes | None]
"""From the id of a photo to its bytes; none for an embedding that came without."""

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


SIZES = (40, 400, 1600, 10_000, 100_000)
"""People of the galleries whose error rates are shown."""


@dataclass(frozen=True)
class GallerySize:
    """Error rates of a gallery of ``people`` like those enrolled, at its own threshold."""

    people: int
    threshold: float
    fpir: float
    fnir: float
    """Not a number where it cannot be measured: nobody has two photos."""
    measured: bool
    """On that many of the enrolled people; otherwise expected by the model of the embedder."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """What was measured and what follows."""

    gallery: Gallery
    trials: Trials
    curve: list[Rates]
    """Over the thresholds."""
    proposed: Gallery | None
    """With the threshold that follows from the target; None with fewer than two people."""
    sizes: list[GallerySize]
    confusions: list[Confusion]

    @classmethod
    def of(cls, gallery: Gallery, trials: Trials, target: float) -> "Calibration":
        proposed = calibrated(gallery.with_target_fpir(target)) if len(gallery) > 1 else None
        return cls(
            gallery,
            trials,
            accuracy.curve(trials, gallery.embedder, gallery.margin),
            proposed,
            [_size(proposed, people) for people in sorted({*SIZES, len(proposed)})]
            if proposed
            else [],
            accuracy.confusions(gallery, trials),
        )

    def rates(self, gallery: Gallery) -> Rates:
        """At the threshold of that gallery, or its embedder's when it names everybody."""
        threshold = gallery.threshold
        if threshold is None:
            threshold = gallery.embedder.threshold
        return accuracy.rates(self.trials, threshold, gallery.margin)

    @property
    def target(self) -> float | None:
        return self.proposed.target_fpir if self.proposed else None


def _size(gallery: Gallery, people: int) -> GallerySize:
    if people > len(gallery):
        return _expected(gallery, people)
    some = calibrated(accuracy.of_some(gallery, people))
    assert some.threshold is not None
    rates = accuracy.rates(accuracy.leave_one_out(some), some.threshold, some.margin)
    return GallerySize(people, some.threshold, rates.fpir, rates.fnir, measured=True)


def _expected(gallery: Gallery, people: int) -> GallerySize:
    effective = gallery.effective_people / len(gallery) * people
    model, margin = gallery.embedder.scores, gallery.margin
    assert gallery.target_fpir is not None
    at = operating_point.threshold_for(model, gallery.target_fpir, effective, margin)
    expected = operating_point.rates(model, effective, margin)
    shifted = round(at + gallery.impostor_shift, 4)
    return GallerySize(
        people, shifted, expected.fpir_at(at), expected.fnir_at(shifted), measured=False
    )


@click.command()
@click.argument("folder", required=False, type=FOLDER)
@click.option("--strangers", type=FOLDER, help="Photos of people who are not enrolled.")
@click.option(
    "--target-fpir",
    type=click.FloatRange(0, 0.5, min_open=True),
    help="Share of strangers that may be given a name. Default: the gallery's own, or 0.01.",
)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("calibration.png"),
    show_default=True,
    help="File to plot the error rates to: png, svg or pdf.",
)
@click.option(
    "--apply",
    "apply_it",
    is_flag=True,
    help="Set the gallery's threshold by this target from now on.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def calibrate(
    folder: Path | None,
    strangers: Path | None,
    target_fpir: float | None,
    plot: Path,
    apply_it: bool,
    as_json: bool,
) -> None:
    """Measure recognition on your own photos: error rates by threshold.

    Uses the enrolled photos, or those of FOLDER (NAME/*.jpg; without AWS). Each is searched for
    among all others: once as a new photo of its person (FNIR, the share that is not named
    correctly) and once without its person, as a photo of a stranger (FPIR, the share that is given
    a name). FNIR needs several photos of at least some people.
    """
    gallery, photo = _of_folder(folder) if folder else _enrolled()
    trials = accuracy.leave_one_out(gallery)
    if strangers:
        trials = accuracy.concatenated(trials, _of_strangers(gallery, strangers))
    target = target_fpir or gallery.target_fpir or operating_point.DEFAULT_TARGET_FPIR
    found = Calibration.of(gallery, trials, target)
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
    return calibrated(batch.gallery), bytes_of.get


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

    marks = {"now": found.rates(found.gallery).threshold}
    if found.proposed:
        marks["proposed"] = found.rates(found.proposed).threshold
    pairs = [
        (confusion, (photo(confusion.photos[0]), photo(confusion.photos[1])))
        for confusion in found.confusions[: accuracy_plot.MOST_PAIRS]
    ]
    accuracy_plot.draw(path, found.curve, marks, pairs)


def _as_dict(found: Calibration) -> dict[str, Any]:
    return {
        "engine": found.gallery.engine,
        "precision": found.gallery.precision,
        "people": len(found.gallery),
        "photos": len(found.gallery.photos),
        "target_fpir": found.target,
        "now": without_nan(asdict(found.rates(found.gallery))),
        "proposed": without_nan(asdict(found.rates(found.proposed))) if found.proposed else None,
        "sizes": [without_nan(asdict(size)) for size in found.sizes],
        "confusions": [asdict(confusion) for confusion in found.confusions],
    }


def without_nan(values: dict[str, Any]) -> dict[str, Any]:
    """Rounded, for JSON, which has no "not a number"."""
    return {
        name: (None if math.isnan(value) else round(value, 4)) if type(value) is float else value
        for name, value in values.items()
    }


def _as_text(found: Calibration) -> str:
    gallery = found.gallery
    lines = [
        f"{len(gallery)} people, {len(gallery.photos)} photos, "
        f"engine {gallery.engine} {gallery.precision}",
        _line("now", found.rates(gallery)),
        _line(f"for an FPIR of {_percent(found.target or 0)}", found.rates(found.proposed))
        if found.proposed
        else "no threshold to propose: two people at least are needed",
        *_table(found.sizes),
        "worst confusions:" if found.confusions else "no two people to confuse",
        *(f"  {c.distance:.3f}  {c.names[0]} and {c.names[1]}" for c in found.confusions),
    ]
    return "\n".join(lines)


def _table(sizes: list[GallerySize]) -> list[str]:
    if not sizes:
        return []
    lines = [f"{'people':>9}{'threshold':>11}{'FPIR':>14}{'FNIR':>14}"]
    for size in sizes:
        shares = f"{_percent(size.fpir):>14}{_percent(size.fnir):>14}"
        how = "measured" if size.measured else "expected"
        lines.append(f"{size.people:9,}{size.threshold:11.3f}{shares}  {how}")
    return lines


def _line(label: str, rates: Rates) -> str:
    return (
        f"{label}: threshold {rates.threshold:.3f}: right {_percent(rates.right)}, "
        f"wrong {_percent(rates.wrong)}, strangers named {_percent(rates.fpir)}"
    )


def _percent(share: float) -> str:
    return "not measured" if math.isnan(share) else f"{100 * share:.1f} %"


def _apply(found: Calibration) -> None:
    if found.target is None:
        raise click.ClickException("there is nothing to apply")
    target = found.target
    changed = People(StateBucket(get_settings())).edit(lambda known: _at(known, found, target))
    broadcast_gallery_change()
    click.echo(f"the threshold is {changed.threshold:g} now, and follows the target", err=True)


def _at(gallery: Gallery, found: Calibration, target: float) -> Gallery:
    measured, enrolled = (f"{g.engine} {g.precision}" for g in (found.gallery, gallery))
    if measured != enrolled:
        raise GalleryError(f"measured with {measured}, enrolled with {enrolled}")
    return gallery.with_target_fpir(target)
