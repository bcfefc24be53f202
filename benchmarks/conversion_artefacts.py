"""Everything that a conversion makes of a trained head, each by itself, as `legoclf` makes it."""

import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from legoclf.bundle import FROZEN_GRAPH, ONNX_MODEL, SAVED_MODEL, Bundle
from legoclf.convert import artefacts, frozen, onnx_graph
from legoclf.convert.engine.build import BuildConfig
from legoclf.convert.engine.command import default_batch
from legoclf.convert.engine.trials import Plan, try_precisions
from legoclf.convert.novelty import Novelty, novelty_of
from legoclf.convert.saved_model import write_saved_model
from legoclf.errors import LegoclfError
from legoclf.jetson.cuda import open_cuda
from legoclf.jetson.engine_identity import Machine, tensorrt_version, this_machine
from legoclf.jetson.tensorrt_api import find_tensorrt
from legoclf.retrain.feature_vector import FeatureVector, load_feature_vector

if TYPE_CHECKING:
    from onnx import ModelProto

LOGGER = logging.getLogger(__name__)

#: The GPU that engines are built for where none is here and TensorRT builds for others: a desktop's.
_ELSEWHERE = "8.9"

_HEAD = ("head.weight", "head.bias")


@dataclass(frozen=True)
class Origin:
    """What a bundle was trained as.

    Attributes:
        vector: the feature vector.
        weights: float32 [D, C].
        bias: float32 [C].
        input_size: what the vector was asked for with; None: it told its own.
        novelty: None if the graphs give none.
    """

    vector: FeatureVector
    weights: np.ndarray
    bias: np.ndarray
    input_size: int | None
    novelty: Novelty | None = None


@dataclass(frozen=True)
class Made:
    """What a step made: its files by name in the bundle, and what the step records of them."""

    files: Mapping[str, bytes]
    record: Mapping[str, Any] | None = None

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(map(len, self.files.values()))


Make = Callable[[], Made]


def origin_of(bundle: Bundle, model: "ModelProto", cache_dir: Path) -> Origin:
    """The feature vector and the head of a bundle.

    Raises:
        LegoclfError: `legoclf retrain` did not make it, or its feature vector cannot be had here as it was.
    """
    from onnx import numpy_helper

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    module = bundle.provenance.get("module")
    if not isinstance(module, dict) or any(name not in constants for name in _HEAD):
        raise LegoclfError("`legoclf retrain` did not make this bundle: its feature vector is not told")
    found = []
    for size in (None, bundle.contract.width):
        try:
            vector = load_feature_vector(module.get("handle"), input_size=size, cache_dir=cache_dir)
        except LegoclfError as error:
            found.append(str(error))
            continue
        if vector.identity == module.get("identity"):
            weights, bias = (numpy_helper.to_array(constants[name]) for name in _HEAD)
            return Origin(vector, weights, bias, size, novelty_of(model))
        found.append("converted here it is another: other weights, or other versions of the converters")
    raise LegoclfError(f"the feature vector {module.get('handle')}: {found[0]}; retrain to compare with it")


def convert_anew(origin: Origin) -> None:
    """Freeze the feature vector and convert it to ONNX, as the first `legoclf retrain` with it does."""
    with tempfile.TemporaryDirectory() as empty:
        load_feature_vector(origin.vector.handle, input_size=origin.input_size, cache_dir=Path(empty))


def head_makers(bundle: Bundle, model: "ModelProto", origin: Origin) -> dict[str, Make]:
    """How the graphs are made of the feature vector and the head, by their names in tables."""
    final = bundle.provenance.get("final_tensor_name", frozen.FINAL_TENSOR_NAME)
    metadata = {entry.key: entry.value for entry in model.metadata_props}

    def frozen_graph() -> Made:
        features = frozen.read_frozen(origin.vector.frozen_path)
        graph = frozen.attach_head(features, origin.weights, origin.bias, final, origin.novelty)
        return Made({FROZEN_GRAPH: frozen.serialize(graph)})

    def onnx_fp32() -> Made:
        import onnx

        features = onnx.load(origin.vector.onnx_path)
        whole = onnx_graph.attach_onnx_head(features, origin.weights, origin.bias, metadata, origin.novelty)
        return Made({ONNX_MODEL: onnx_graph.serialize(whole)})

    return {"frozen graph": frozen_graph, "ONNX": onnx_fp32}


def saved_model_maker(bundle: Bundle) -> Make:
    """How the SavedModel is made of the bundle's frozen graph.

    Raises:
        BundleError: the bundle holds no frozen graph.
    """
    path = bundle.file(FROZEN_GRAPH)
    final = bundle.provenance.get("final_tensor_name", frozen.FINAL_TENSOR_NAME)

    def saved_model() -> Made:
        with tempfile.TemporaryDirectory() as folder:
            write_saved_model(frozen.read_frozen(path), folder, bundle.labels, final)
            files = [found for found in sorted(Path(folder).rglob("*")) if found.is_file()]
            return Made(
                {f"{SAVED_MODEL}/{each.relative_to(folder).as_posix()}": each.read_bytes() for each in files}
            )

    return saved_model


def onnx_makers(
    model: "ModelProto", planned: Sequence[np.ndarray], calibrated: Sequence[np.ndarray] | None
) -> dict[str, Make]:
    """How the graphs for devices are made of model.onnx.

    Args:
        planned: float32 [3, H, W] each, to plan FP16 on and to check INT8 on.
        calibrated: likewise, to calibrate INT8 on; None: no INT8.
    """

    def made(artefact: artefacts.Artefact) -> Made:
        return Made({artefact.name: artefact.data}, artefact.record)

    makers: dict[str, Make] = {
        "jetson-inference ONNX": lambda: made(artefacts.jetson_inference_artefact(model)),
        "FP16 ONNX": lambda: made(artefacts.fp16_artefact(model, planned)),
    }
    if calibrated is not None:
        makers["INT8 ONNX"] = lambda: made(artefacts.int8_artefact(model, calibrated, planned))
    return makers


class EngineBuilder:
    """Builds engines into a bundle: for this machine's GPU, else for another where TensorRT can.

    Attributes:
        what: the TensorRT, and the GPU it builds for.

    Raises:
        LegoclfError: there is no TensorRT here, or no GPU and no way to build without.
    """

    def __init__(self) -> None:
        self._api = find_tensorrt()
        capability = ""
        try:
            cuda = open_cuda()
        except LegoclfError:
            known = self._api.compute_capabilities
            if not known:
                raise
            capability = _ELSEWHERE if _ELSEWHERE in known else known[-1]
            self._machine = Machine(tensorrt_version(self._api), "", "", capability, "")
            self.what = f"{self._api.name}, for a GPU of compute capability {capability}, which is not here"
        else:
            with cuda:
                self._machine = this_machine(self._api, cuda)
            self.what = f"{self._api.name}, for the {self._machine.gpu} here"
        self._config = BuildConfig(compute_capability=capability)

    def build(self, bundle: Bundle, precision: str) -> int:
        """Build one, with no timing cache, in place of any of the kind; its size in bytes.

        Raises:
            LegoclfError: it cannot be built, or the bundle lacks the graph.
        """
        config = self._config._replace(batch=default_batch(bundle))
        plan = Plan(bundle, self._machine, [precision], config, "always", None, None)
        [trial] = try_precisions(plan, self._api, None, LOGGER.info)
        if trial.engine is None:
            raise LegoclfError(trial.note)
        return trial.engine.size
