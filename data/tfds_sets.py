"""Data sets of TensorFlow Datasets: fetched and read by it, an image at a time, into class folders."""

import contextlib
import difflib
import logging
import os
import re
import sys
import unicodedata
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from http.client import HTTPException
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np

from legoclf.data.fetching import SOCKET_TIMEOUT_S, socket_timeout
from legoclf.errors import ImageError, LegoclfError, UsageError, missing_package
from legoclf.image_header import read_header
from legoclf.progress import Progress
from legoclf.split import SPLIT_FOLDERS, TRAIN

LOGGER = logging.getLogger(__name__)

TFDS_PREFIX = "tfds:"
SERVERS_TRIED = 3

_NAME = re.compile(
    TFDS_PREFIX + r"(?P<set>\w+)(/(?P<config>[\w+.-]+))?(:(?P<version>(\d+|\*)(\.(\d+|\*)){2}))?", re.ASCII
)
# What file systems refuse or give a meaning to; a label is the name of a folder.
_UNFIT_FOR_FOLDERS = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]+')
_LONGEST_FOLDER_NAME = 100
_EXTENSIONS = {"JPEG": ".jpg", "PNG": ".png", "BMP": ".bmp", "WebP": ".webp"}


class TfdsSet(NamedTuple):
    """A prepared data set. ``builder``: TFDS's; ``image``, ``label``: features; ``folders``: one a class."""

    name: str
    builder: Any
    image: str
    label: str
    folders: list[str]


def tfds_folder_name(name: str) -> str:
    """The name of the folder for ``tfds:NAME``, ``tfds:NAME/CONFIG`` or either with ``:VERSION``.

    Raises:
        UsageError: ``name`` has another form.
    """
    parts = _parts(name)
    given = [part for part in (parts["set"], parts["config"], parts["version"]) if part]
    return "-".join(["tfds", *given]).replace("*", "x")


def open_tfds_set(name: str, cache_dir: Path) -> TfdsSet:
    """Find a data set, refuse one that is not for image classification, and have TFDS fetch it if need be.

    Args:
        name: ``tfds:`` and the name, as TFDS writes it.
        cache_dir: legoclf's; TFDS keeps its files below, unless ``$TFDS_DATA_DIR`` names another folder.

    Raises:
        UsageError: no data set has that name.
        LegoclfError: TFDS is not installed, the set has not one image and one class label, or it cannot be
            fetched; the message says how to bring it.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise missing_package("tensorflow-datasets", "tfds") from error
    # TFDS tells of every file that it opens, and warns of its own use of its own old names.
    logging.getLogger("absl").setLevel(logging.ERROR)
    data_dir = Path(os.environ.get("TFDS_DATA_DIR") or cache_dir / "tensorflow_datasets").expanduser()
    builder = _builder(tfds, name, data_dir)
    image, label = _image_and_label(tfds, name, builder.info)
    if not builder.is_prepared():
        _fetch(tfds, name, builder, data_dir)
    return TfdsSet(name, builder, image, label, class_folders(builder.info.features[label].names))


def write_tfds_set(source: TfdsSet, folder: Path, images_a_class: int | None = None) -> dict[str, Any]:
    """Write the images below ``folder``: where the set comes split, in ``train/<class>/``,
    ``validation/<class>/`` and ``test/<class>/``, as far as it has them; else in ``<class>/``.

    A JPEG, PNG, BMP or WebP is written as it is stored; another image as PNG. One image is held at a time.

    Args:
        folder: to fill.
        images_a_class: keep the first so many of each class in each set, and stop reading when all are full.

    Returns:
        What the set is and how many images of each class were written, for JSON.

    Raises:
        LegoclfError: the files of TFDS cannot be read, or no image has a label.
        OSError: an image cannot be written.
    """
    splits = source.builder.info.splits
    places = _places([split for split in splits if _is_labelled(source, split)])
    if not places:
        raise LegoclfError(f"--dataset {source.name}: no image of it has a label; choose another data set")
    left_out = ", ".join(sorted(set(splits) - set(places)))
    if left_out:
        LOGGER.info("%s: left out: %s, no labelled train, validation or test", source.name, left_out)
    most = sys.maxsize if images_a_class is None else images_a_class * len(source.folders)
    total = sum(min(splits[split].num_examples, most) for split in places)
    LOGGER.info("%s: writing up to %d images to %s", source.name, total, folder.parent)
    with Progress(f"writing {source.name}", total) as progress:
        images = {
            split: dict(_write_split(source, split, folder / place, images_a_class, progress))
            for split, place in places.items()
        }
    return _description(source, images)


def class_folders(names: Iterable[str]) -> list[str]:
    """A folder name for each class name: the same where a file system takes it, and no two alike.

    Two names that differ only in case would be one folder on some systems: the later gets its index.
    """
    folders: list[str] = []
    taken: set[str] = set()
    for index, name in enumerate(names):
        written = _UNFIT_FOR_FOLDERS.sub("_", unicodedata.normalize("NFC", name).strip("/\\ "))
        folder = written.lstrip(".")[:_LONGEST_FOLDER_NAME].rstrip(" .") or f"class {index}"
        while folder.casefold() in taken:
            folder += f"-{index}"
        taken.add(folder.casefold())
        folders.append(folder)
    return folders


def _parts(name: str) -> dict[str, str | None]:
    match = _NAME.fullmatch(name)
    if match is None:
        raise UsageError(
            f"--dataset {name}: expected tfds:NAME, tfds:NAME/CONFIG, or either with :VERSION, "
            "as in tfds:cifar10_corrupted/fog_1:1.0.0"
        )
    return match.groupdict()


def _builder(tfds: Any, name: str, data_dir: Path) -> Any:
    try:
        return tfds.builder(name.removeprefix(TFDS_PREFIX), data_dir=str(data_dir))
    except Exception as error:  # TFDS has a class for each thing that it does not find
        raise UsageError(f"--dataset {name}: {_why_not_found(tfds, name, error)}") from error


def _why_not_found(tfds: Any, name: str, error: Exception) -> str:
    parts = _parts(name)
    known = tfds.list_builders(with_community_datasets=False)
    if parts["set"] not in known:
        return f"TensorFlow Datasets has no {parts['set']}; {_nearest(str(parts['set']), known)}"
    configs = list(tfds.builder_cls(parts["set"]).builder_configs)
    if parts["config"] is not None and parts["config"] not in configs:
        nearest = _nearest(parts["config"], configs) if configs else "leave it out"
        return f"{parts['set']} has no config {parts['config']}; {nearest}"
    return _one_line(error)


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, 3) or [other for other in known if name in other][:3]
    if near:
        return f"the nearest: {', '.join(near)}"
    return "its names are at https://www.tensorflow.org/datasets/catalog/overview"


def _image_and_label(tfds: Any, name: str, info: Any) -> tuple[str, str]:
    """The features to learn from: those the set names for it, else its only image and only class label.

    Of several class labels, the one called ``label`` counts, as all sets of TFDS call the main one.
    """
    features = dict(info.features) if isinstance(info.features, tfds.features.FeaturesDict) else {}
    images = [key for key, feature in features.items() if _is_image(tfds, feature)]
    labels = [
        key
        for key, feature in features.items()
        if isinstance(feature, tfds.features.ClassLabel) and feature.num_classes
    ]
    match info.supervised_keys:
        case (str() as image, str() as label) if image in images and label in labels:
            return image, label
    labels = ["label"] if "label" in labels else labels
    if len(images) == len(labels) == 1:
        return images[0], labels[0]
    has = ", ".join(f"{key} ({type(feature).__name__})" for key, feature in sorted(features.items()))
    raise LegoclfError(
        f"--dataset {name}: not for image classification: expected one image (Image of 8 or 16 bits) "
        f"and one label (ClassLabel), it has {has or type(info.features).__name__}; choose another data set"
    )


def _is_image(tfds: Any, feature: Any) -> bool:
    """Whether it is a picture; float values are no picture but stand bit by bit in a PNG of four channels."""
    if not isinstance(feature, tfds.features.Image) or isinstance(feature, tfds.features.LabeledImage):
        return False
    return np.dtype(feature.np_dtype).kind == "u"


def _fetch(tfds: Any, name: str, builder: Any, data_dir: Path) -> None:
    LOGGER.info("%s: TensorFlow Datasets fetches it and keeps it in %s", name, data_dir)
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        _refuse_unreachable(builder.url_infos or ())
        # TFDS tells of its steps on stdout, where --json prints.
        with socket_timeout(), _requests_timeout(), contextlib.redirect_stdout(sys.stderr):
            builder.download_and_prepare()
    except Exception as error:  # what a set's own code raises may be anything
        raise LegoclfError(_by_hand(name, data_dir, error)) from error


def _refuse_unreachable(addresses: Iterable[str]) -> None:
    """Raise where none of a few servers answers: TFDS tries for minutes before it gives up."""
    servers = {urlsplit(address).netloc: address for address in addresses if address.startswith("http")}
    tried = list(servers.values())[:SERVERS_TRIED]
    if tried and not any(map(_is_reachable, tried)):
        raise ConnectionError(f"no answer from {', '.join(tried)}")


def _is_reachable(address: str) -> bool:
    """Whether a server answers there, be it with a refusal."""
    try:
        request = urllib.request.Request(address, method="HEAD")
        urllib.request.urlopen(request, timeout=SOCKET_TIMEOUT_S).close()
    except urllib.error.HTTPError:
        return True
    except (OSError, HTTPException, ValueError):
        return False
    return True


@contextlib.contextmanager
def _requests_timeout() -> Iterator[None]:
    """TFDS downloads with requests, which waits for ever whatever the sockets' default is."""
    import requests

    plain = requests.Session.request

    def request(session: Any, method: str, url: str, **options: Any) -> Any:
        return plain(session, method, url, **{"timeout": SOCKET_TIMEOUT_S, **options})

    requests.Session.request = request
    try:
        yield
    finally:
        requests.Session.request = plain


def _by_hand(name: str, data_dir: Path, error: Exception) -> str:
    parts = _parts(name)
    command = " ".join(
        ["tfds build", str(parts["set"])] + ([f"--config {parts['config']}"] if parts["config"] else [])
    )
    return (
        f"--dataset {name}: cannot be had ({_one_line(error)}); on a connected machine run: {command} "
        f"--data_dir DIR, and put DIR/{parts['set']} here as {data_dir / str(parts['set'])}, "
        "or set TFDS_DATA_DIR to the folder that holds it"
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _examples(source: TfdsSet, split: str) -> Generator[tuple[bytes, int], None, None]:
    """The encoded image and the class index of each example, in the order of the files."""
    import tensorflow_datasets as tfds

    decoders = tfds.decode.PartialDecoding(
        {source.image: True, source.label: True}, {source.image: tfds.decode.SkipDecoding()}
    )
    # A small set would be cached in memory, and several files read by turns.
    config = tfds.ReadConfig(try_autocache=False, interleave_cycle_length=1)
    try:
        examples = source.builder.as_dataset(
            split=split, shuffle_files=False, decoders=decoders, read_config=config
        )
        for example in examples.as_numpy_iterator():
            yield example[source.image], int(example[source.label])
    except Exception as error:  # TensorFlow's errors share no base with those of TFDS
        raise LegoclfError(
            f"--dataset {source.name}: {source.builder.data_path} cannot be read ({_one_line(error)}); "
            "delete that folder, and the next run makes it anew"
        ) from error


def _is_labelled(source: TfdsSet, split: str) -> bool:
    """Whether the first example has a class: those of a contest's secret test set have -1."""
    with contextlib.closing(_examples(source, split)) as examples:
        return next((label >= 0 for _, label in examples), False)


def _places(splits: Sequence[str]) -> dict[str, str]:
    """Split → folder of its classes; ``""`` for all where there is no train with another to set beside it."""
    known = {split: SPLIT_FOLDERS[split.lower()] for split in splits if split.lower() in SPLIT_FOLDERS}
    if TRAIN in known.values() and len(set(known.values())) > 1:
        return known
    return dict.fromkeys(known or splits, "")


def _write_split(
    source: TfdsSet, split: str, folder: Path, images_a_class: int | None, progress: Progress
) -> Counter[str]:
    """Write the images of one split and count them by folder."""
    written: Counter[str] = Counter()
    left_out = 0
    room = sys.maxsize if images_a_class is None else images_a_class * len(source.folders)
    with contextlib.closing(_examples(source, split)) as examples:
        for index, (data, label) in enumerate(examples):
            name = source.folders[label] if label >= 0 else ""
            if written[name] == images_a_class:
                continue
            file = _as_file(data) if name else None
            if file is None:
                left_out += 1
                continue
            (folder / name).mkdir(parents=True, exist_ok=True)
            (folder / name / f"{split}-{index:05d}{file.extension}").write_bytes(file.data)
            written[name] += 1
            room -= 1
            progress.advance()
            if not room:
                break
    if left_out:
        LOGGER.warning("%s: %d images of %s have no label or cannot be read", source.name, left_out, split)
    return written


class _File(NamedTuple):
    data: bytes
    extension: str


def _as_file(data: bytes) -> _File | None:
    """The image as it is stored, or as PNG where legoclf does not read its format; None: no image."""
    with contextlib.suppress(ImageError):
        return _File(data, _EXTENSIONS[read_header(data, "image").format])
    try:
        from PIL import Image
    except ImportError as error:
        raise missing_package("pillow", "train") from error
    buffer = BytesIO()
    try:
        with Image.open(BytesIO(data)) as picture:
            picture.convert("RGBA").save(buffer, "PNG")
    except Exception:  # Pillow's decoders raise whatever broken data leads them to
        return None
    return _File(buffer.getvalue(), ".png")


def _description(source: TfdsSet, images: dict[str, dict[str, int]]) -> dict[str, Any]:
    info = source.builder.info
    licence = info.redistribution_info.license if info.redistribution_info else ""
    return {
        "name": source.name,
        "source": "tensorflow_datasets",
        "version": info.full_name,
        "homepage": info.homepage,
        "licence": licence or "not stated",
        "images": images,
    }
