"""The fake TensorRT's network definition, its tensors and layers, and the ONNX parser that fills it."""

from typing import Any, ClassVar, Dict, List, Optional

import fake_tensorrt_onnx
import fake_tensorrt_parser
from fake_tensorrt_facade import Behaviour, Release, Shape

_EXPLICIT_BATCH = (
    'Assertion failed: !mImporterCtx.network()->hasImplicitBatchDimension() && "This version of the ONNX '
    "parser only supports TensorRT INetworkDefinitions with an explicit batch dimension. Please ensure the "
    'network was created using the EXPLICIT_BATCH NetworkDefinitionCreationFlag."'
)


class ITensor(Behaviour):
    DEFAULTS: ClassVar[Dict[str, Any]] = {
        "allowed_formats": 1,
        "broadcast_across_batch": False,
        "dynamic_range": None,
        "is_execution_tensor": True,
        "is_shape_tensor": False,
        "location": "TensorLocation.DEVICE",
    }

    def __init__(self, release: Release, name: str, shape: List[int], dtype: Any, role: str) -> None:
        super().__init__(release)
        self.name = name
        self._shape = Shape(shape)
        self.dtype = dtype
        self.is_network_input = role == "input"
        self.is_network_output = role == "output"

    @property
    def shape(self) -> Shape:
        return self._shape

    @shape.setter
    def shape(self, value: Any) -> None:
        self._shape = Shape(value)

    def set_dynamic_range(self, low: float, high: float) -> bool:
        self.dynamic_range = (low, high)
        return True

    def reset_dynamic_range(self) -> None:
        self.dynamic_range = None


class ILayer(Behaviour):
    DEFAULTS: ClassVar[Dict[str, Any]] = {"metadata": "", "num_ranks": 1}

    def __init__(
        self,
        release: Release,
        made: fake_tensorrt_parser.Made,
        inputs: List[ITensor],
        outputs: List[ITensor],
    ) -> None:
        super().__init__(release)
        self.name = made.name
        self.node, self.operator = made.node.name, made.node.op_type
        self.kind, self.is_main = made.kind, made.is_main
        kind = release.enum("LayerType." + made.kind)
        self.type = release.enum("LayerType.IDENTITY") if kind is None else kind
        self._inputs = inputs
        self._outputs = outputs
        self.num_inputs = len(inputs)
        self.num_outputs = len(outputs)
        self.reset_precision()

    @property
    def precision(self) -> Any:
        return self._precision

    @precision.setter
    def precision(self, value: Any) -> None:
        self._precision = value
        self.precision_is_set = True

    def reset_precision(self) -> None:
        self._precision = self.release.enum("DataType.FLOAT")
        self.precision_is_set = False

    def get_input(self, index: int) -> Optional[ITensor]:
        return self._inputs[index] if 0 <= index < len(self._inputs) else None

    def get_output(self, index: int) -> Optional[ITensor]:
        return self._outputs[index] if 0 <= index < len(self._outputs) else None

    def get_output_type(self, index: int) -> Any:
        return self._outputs[index].dtype

    def set_output_type(self, index: int, dtype: Any) -> None:
        self._outputs[index].dtype = dtype


class INetworkDefinition(Behaviour):
    DEFAULTS: ClassVar[Dict[str, Any]] = {
        "error_recorder": None,
        "name": "Unnamed Network 0",
        "has_explicit_precision": False,
    }

    def __init__(self, release: Release, builder: Any, flags: int) -> None:
        super().__init__(release)
        self.builder = builder
        self.explicit_batch = self._flag(flags, "EXPLICIT_BATCH") or release.facts.number >= (10, 0)
        always = release.facts.number >= (11, 0)
        self.strongly_typed = self._flag(flags, "STRONGLY_TYPED") or always
        strong = release.enum("NetworkDefinitionCreationFlag.STRONGLY_TYPED")
        self.flags = flags | (1 << int(strong) if always and strong is not None else 0)
        self.has_implicit_batch_dimension = not self.explicit_batch
        self.onnx = b""
        self.inputs: List[ITensor] = []
        self.outputs: List[ITensor] = []
        self.layers: List[ILayer] = []

    def _flag(self, flags: int, name: str) -> bool:
        member = self.release.enum("NetworkDefinitionCreationFlag." + name)
        return member is not None and bool(flags & 1 << int(member))

    def fill(self, content: bytes, model: Any) -> None:
        """Take over a parsed model."""
        release, graph = self.release, model.graph
        self.onnx = content
        initializers = {one.name for one in graph.initializer}
        tensors: Dict[str, ITensor] = {}
        found = fake_tensorrt_onnx.shapes_and_dtypes(
            [one for one in graph.input if one.name not in initializers]
        )
        for name, shape, dtype in found:
            tensors[name] = ITensor(release, name, shape, release.enum("DataType." + dtype), "input")
            self.inputs.append(tensors[name])
        for name, shape, dtype in fake_tensorrt_onnx.shapes_and_dtypes(graph.output):
            tensors[name] = ITensor(release, name, shape, release.enum("DataType." + dtype), "output")
            self.outputs.append(tensors[name])
        for made in fake_tensorrt_parser.parse(release.facts, model):
            for name in made.outputs:
                tensors.setdefault(name, ITensor(release, name, [], release.enum("DataType.FLOAT"), "inner"))
            given = [tensors[name] for name in made.inputs if name in tensors]
            self.layers.append(ILayer(release, made, given, [tensors[name] for name in made.outputs]))

    @property
    def fused(self) -> List[ILayer]:
        """A layer for each node, as an engine has them."""
        return [layer for layer in self.layers if layer.is_main]

    @property
    def num_inputs(self) -> int:
        return len(self.inputs)

    @property
    def num_outputs(self) -> int:
        return len(self.outputs)

    @property
    def num_layers(self) -> int:
        return len(self.layers)

    def get_input(self, index: int) -> Optional[ITensor]:
        return self.inputs[index] if 0 <= index < len(self.inputs) else None

    def get_output(self, index: int) -> Optional[ITensor]:
        return self.outputs[index] if 0 <= index < len(self.outputs) else None

    def get_layer(self, index: int) -> Optional[ILayer]:
        return self.layers[index] if 0 <= index < len(self.layers) else None

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, index: int) -> ILayer:
        if not -len(self.layers) <= index < len(self.layers):
            raise IndexError("Out of bounds")
        return self.layers[index]

    def get_flag(self, flag: Any) -> bool:
        return bool(self.flags & 1 << int(flag))

    def mark_output(self, tensor: ITensor) -> None:
        if tensor not in self.outputs:
            tensor.is_network_output = True
            self.outputs.append(tensor)

    def unmark_output(self, tensor: ITensor) -> None:
        tensor.is_network_output = False
        self.outputs = [one for one in self.outputs if one is not tensor]


class ParserError(Behaviour):
    def __init__(self, release: Release, refusal: fake_tensorrt_onnx.Refusal) -> None:
        super().__init__(release)
        self._refusal = refusal

    def code(self) -> Any:
        return self.release.enum("ErrorCode." + self._refusal.code) or self.release.enum(
            "ErrorCode.INVALID_NODE"
        )

    def desc(self) -> str:
        return self._refusal.text

    def file(self) -> str:
        return "ModelImporter.cpp"

    def line(self) -> int:
        return 726

    def func(self) -> str:
        return self._refusal.function

    def node(self) -> int:
        return self._refusal.node

    def node_name(self) -> str:
        return self._refusal.name

    def node_operator(self) -> str:
        return self._refusal.operator

    def local_function_stack(self) -> List[str]:
        return []

    def local_function_stack_size(self) -> int:
        return 0

    def __str__(self) -> str:
        one = self._refusal
        place = "In node {} with name: {} and operator: {} ".format(one.node, one.name, one.operator)
        code = str(self.code()).split(".")[-1]
        return "{}({}): {}: {}".format(place if one.node >= 0 else "", one.function, code, one.text)

    __repr__ = __str__


class OnnxParser(Behaviour):
    DEFAULTS: ClassVar[Dict[str, Any]] = {"flags": 0}

    def __init__(self, release: Release, network: INetworkDefinition, logger: Any) -> None:
        super().__init__(release)
        self._network = network
        self._logger = logger
        self._errors: List[ParserError] = []

    def parse(self, model: bytes, path: Optional[str]) -> bool:
        if not self._network.explicit_batch:
            refused = [fake_tensorrt_onnx.Refusal("INVALID_VALUE", _EXPLICIT_BATCH, function="importModel")]
            return self._report(refused)
        try:
            loaded = fake_tensorrt_onnx.load(model)
        except ValueError as error:
            code = "MODEL_DESERIALIZE_FAILED"
            refused = [fake_tensorrt_onnx.Refusal(code, str(error), function="deserializeOnnxModel")]
            return self._report(refused)
        refused = list(fake_tensorrt_onnx.refusals(self.release.facts, loaded))
        if not refused:
            self._network.fill(model, loaded)
        return self._report(refused)

    def parse_from_file(self, model: str) -> bool:
        try:
            with open(model, "rb") as file:
                return self.parse(file.read(), model)
        except OSError:
            code, text = "MODEL_DESERIALIZE_FAILED", "Failed to open file: {}".format(model)
            return self._report([fake_tensorrt_onnx.Refusal(code, text, function="parseFromFile")])

    def supports_operator(self, op_name: str) -> bool:
        return op_name in self.release.facts.operators

    def set_flag(self, flag: Any) -> None:
        self.flags |= 1 << int(flag)

    def clear_flag(self, flag: Any) -> None:
        self.flags &= ~(1 << int(flag))

    def get_flag(self, flag: Any) -> bool:
        return bool(self.flags & 1 << int(flag))

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> Optional[ParserError]:
        return self._errors[index] if 0 <= index < len(self._errors) else None

    def clear_errors(self) -> None:
        self._errors = []

    def _report(self, refused: List[fake_tensorrt_onnx.Refusal]) -> bool:
        for one in refused:
            error = ParserError(self.release, one)
            self._errors.append(error)
            self.release.log(self._logger, "ERROR", str(error))
        return not refused
