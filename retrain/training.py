"""One run of `legoclf retrain`, from the folder of photos to the bundle.

Each stage is a module: classifier.py trains, finish.py calibrates and tests, export.py writes.
"""

import logging
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from legoclf.bundle import Bundle
from legoclf.convert.frozen import check_final_tensor_name
from legoclf.data.folder import scan_folder
from legoclf.retrain.classifier import NetworkCallback, Ways
from legoclf.retrain.export import check_bundle_place, export
from legoclf.retrain.finish import finish, write_logs
from legoclf.retrain.networks.devices import choose_strategy
from legoclf.retrain.outputs import usable_outputs
from legoclf.retrain.result import Result
from legoclf.retrain.seen import MachineSampler, Summaries
from legoclf.retrain.settings import Settings
from legoclf.retrain.unknown_classes import set_apart

LOGGER = logging.getLogger(__name__)


class Trained(NamedTuple):
    """What a run ends with: the bundle that it wrote, and what stands in it."""

    bundle: Bundle
    result: Result


def retrain(settings: Settings, cache_dir: Path, on_network: NetworkCallback | None = None) -> Trained | None:
    """Train a classifier and write its bundle.

    Args:
        cache_dir: where converted modules are kept.
        on_network: called when a head on frozen features is trained, and when a network is.

    Returns:
        None on a machine of several that train together which is not the one that writes.

    Raises:
        LegoclfError: the data set, the module or an output cannot be used; nothing is written then.
    """
    check_bundle_place(settings.bundle, settings.image_dir)
    check_final_tensor_name(settings.final_tensor_name)
    settings = replace(settings, outputs=usable_outputs(settings.outputs))
    devices = choose_strategy(settings.network.device) if settings.network.learns else None
    dataset = scan_folder(
        settings.image_dir,
        labels="lowercase" if settings.lowercase_labels else "as-written",
        split_hash=settings.split_hash,
        testing_percentage=settings.testing_percentage,
        validation_percentage=settings.validation_percentage,
        strict=settings.strict,
    )
    dataset, unknowns = set_apart(dataset, settings.unknown_classes)
    with ExitStack() as stack:
        summaries = None
        if settings.outputs.summaries_dir is not None and (devices is None or devices.is_chief):
            summaries = stack.enter_context(Summaries(settings.outputs.summaries_dir))
            stack.enter_context(MachineSampler(settings.outputs.summaries_dir))
        graphs = Path(stack.enter_context(TemporaryDirectory(prefix="legoclf-network-")))
        classifier = Ways(settings, cache_dir, devices, summaries, graphs, on_network).train(dataset)
        if devices is not None and not devices.is_chief:
            LOGGER.info("machine %d of %d is done; the first one writes", devices.worker + 1, devices.workers)
            return None
        result = finish(settings, classifier, unknowns)
        bundle = export(settings, result)
        write_logs(settings, classifier, bundle, result.test)
    return Trained(bundle, result)
