"""Images read once more, whole: those that break off, how large they are, what they are made of.

``load`` reads headers alone. Here each file is decoded, a JPEG at a reduced scale, in the time that
there is; what was not reached is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from headstart import events
from headstart.auditing.audit import Audit, Audited, AuditTools, Suspect
from headstart.auditing.spots import Spots
from headstart.cores import usable_cores
from headstart.preprocessing.image_files import open_image
from headstart.preprocessing.images import decode_one
from headstart.preprocessing.samples import UnreadableImage
from headstart.types import Dataset, Finding, ImageSpec

AT_ONCE, A_THREAD = 256, 32
TINY_SHARE = 8  # times smaller than usual, and …
TINY_PIXELS = 32  # … smaller than this: an icon among photographs
_SPEC = ImageSpec(32, 3, (0.5,) * 3, (0.5,) * 3, "bilinear", 32, 3, "squash")
_MODES = {"1": "grey", "L": "grey", "LA": "grey", "I": "16-bit grey", "CMYK": "CMYK"}


@dataclass
class Seen:
    """What was seen of N images.

    Attributes:
        sizes: Height and width of each that can be read, by place.
        forms: How many are grey, colour and so on.
        several: Places of files of several frames.
        broken: Places of those that cannot be read, with the reason.
        num: How many were looked at.
    """

    sizes: dict[int, tuple[int, int]] = field(default_factory=dict)
    forms: Counter[str] = field(default_factory=Counter)
    several: list[int] = field(default_factory=list)
    broken: dict[int, str] = field(default_factory=dict)
    num: int = 0


def audit_image_files(dataset: Dataset, tools: AuditTools) -> list[Audited]:
    """Decode every image and tell what is odd.

    Args:
        dataset: Of images.
        tools: Says when the time is up.
    """
    spots = Spots(dataset)
    seen = _look(dataset, spots, tools)
    total = len(spots)
    found = list(_broken(dataset, spots, seen))
    if seen.sizes:
        found.append(Audited(Finding("size", "note", (), _sizes(seen, total))))
        found += _tiny(spots, seen)
    if seen.several:
        suspects = [Suspect(spots.spot(i), "several frames") for i in seen.several]
        names = [spots.name(i) for i in seen.several[:100]]
        plural = "files have" if len(names) > 1 else "file has"
        sentence = (
            f"{len(seen.several):,} {plural} several frames, such as {names[0]}: the first of "
            "them is read."
        )
        found.append(Audited(Finding("size", "note", names, sentence), suspects))
    return found


def _look(dataset: Dataset, spots: Spots, tools: AuditTools) -> Seen:
    """Decode images until the time is up."""
    seen = Seen()

    def look(places: range) -> list[tuple[int, tuple[int, int] | None, str, bool]]:
        return [(place, *_look_at(dataset, spots, place)) for place in places]

    total = len(spots)
    with ThreadPoolExecutor(usable_cores()) as pool:
        for start in range(0, total, AT_ONCE):
            if tools.is_over():
                break
            here = range(start, min(start + AT_ONCE, total))
            parts = [here[i : i + A_THREAD] for i in range(0, len(here), A_THREAD)]
            for place, size, form, is_several in chain.from_iterable(pool.map(look, parts)):
                seen.num += 1
                if size is None:
                    seen.broken[place] = form
                    continue
                seen.sizes[place] = size
                seen.forms[form] += 1
                if is_several:
                    seen.several.append(place)
            events.emit("task", name="read images", done=seen.num, total=total)
    return seen


def _look_at(
    dataset: Dataset, spots: Spots, place: int
) -> tuple[tuple[int, int] | None, str, bool]:
    """Return the size of an image, its form, and whether it has several frames.

    Returns:
        Of one that cannot be read no size, and the reason for its form.
    """
    spot = spots.spot(place)
    try:
        content = dataset.split(spot.split).samples.read(spot.index)
        if not isinstance(content, bytes):
            shape = content.shape
            is_grey = len(shape) == 2 or shape[2] == 1
            return (shape[0], shape[1]), "grey" if is_grey else "colour", False
        image = open_image(content)
        form, is_several = _form(image.mode, image.has_transparency_data), _frames(image)
        size = image.size[1], image.size[0]
        decode_one(content, _SPEC)
    except UnreadableImage as error:
        return None, error.reason, False
    return size, form, is_several


def _form(mode: str, has_transparency: bool) -> str:
    if has_transparency:
        return "partly transparent"
    return "16-bit grey" if mode.startswith("I;16") else _MODES.get(mode, "colour")


def _frames(image: object) -> bool:
    """Return whether a file holds several frames; a camera's second picture does not count."""
    is_animated = getattr(image, "is_animated", False)
    return bool(is_animated) and getattr(image, "format", "") in ("GIF", "WEBP", "PNG", "TIFF")


def _broken(dataset: Dataset, spots: Spots, seen: Seen) -> Iterator[Audited]:
    if not seen.broken:
        return
    names = [spots.name(i) for i in seen.broken]
    share = (len(seen.broken) + len(dataset.bad_samples)) / (len(spots) + len(dataset.bad_samples))
    is_refused = share > dataset.max_bad_fraction
    first = next(iter(seen.broken.values()))
    plural = "s begin" if len(names) > 1 else " begins"
    done = (
        f"A training stops over them: with those that cannot be opened they are {share:.1%}, more "
        f"than the limit of {dataset.max_bad_fraction:.4g}. Repair or remove them."
        if is_refused
        else "A training leaves them out."
    )
    sentence = (
        f"{len(names):,} image{plural} well and cannot be read to the end, such as {names[0]} "
        f"({first}). {done}"
    )
    suspects = [Suspect(spots.spot(i), why) for i, why in seen.broken.items()]
    finding = Finding("unreadable", "error" if is_refused else "warning", names, sentence)
    yield Audited(finding, suspects, leave_out=True)


def _sizes(seen: Seen, total: int) -> str:
    sizes = np.array(list(seen.sizes.values()))
    areas = sizes.prod(axis=1)
    least, most = sizes[areas.argmin()], sizes[areas.argmax()]
    if (sizes == sizes[0]).all():
        told = f"all have {sizes[0][1]:,} x {sizes[0][0]:,} pixels"
    else:
        height, width = np.median(sizes, axis=0).astype(int).tolist()
        told = (
            f"from {least[1]:,} x {least[0]:,} to {most[1]:,} x {most[0]:,} pixels, usually "
            f"{width:,} x {height:,}"
        )
    forms = ", ".join(f"{number:,} {form}" for form, number in seen.forms.most_common())
    if len(seen.forms) == 1:
        forms = f"all {next(iter(seen.forms))}"
    rest = "" if seen.num == total else f" Of {total:,}, more were not looked at in the time."
    return f"{len(sizes):,} images: {told}; {forms}.{rest}"


def _tiny(spots: Spots, seen: Seen) -> list[Audited]:
    """Return images that are much smaller than usual, as icons and placeholders are."""
    places = np.array(list(seen.sizes))
    sides = np.array([min(size) for size in seen.sizes.values()])
    tiny = places[(sides < TINY_PIXELS) & (sides * TINY_SHARE <= np.median(sides))]
    if not len(tiny):
        return []
    names = [spots.name(int(i)) for i in tiny[:100]]
    suspects = [
        Suspect(spots.spot(int(i)), "{1} x {0} pixels".format(*seen.sizes[int(i)])) for i in tiny
    ]
    number = f"{len(tiny):,} image{'s are' if len(tiny) > 1 else ' is'}"
    sentence = (
        f"{number} much smaller than the others, such as {names[0]} ({suspects[0].reason}). Look "
        "whether they show anything: placeholders and icons teach nothing."
    )
    return [Audited(Finding("size", "warning", names, sentence), suspects)]


AUDIT = Audit(
    "images",
    "Can every image be read, and how large are they?",
    lambda dataset: dataset.schema.facts.is_looked_at,
    audit_image_files,
    in_runs=False,
)
