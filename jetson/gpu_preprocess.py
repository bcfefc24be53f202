"""Preprocessing on the GPU: a raw frame goes up, the network's input is made where the engine reads it."""

from typing import Any, Callable, NamedTuple, Optional, Tuple

import numpy as np

from legoclf.contract import InputContract
from legoclf.errors import LegoclfError, UsageError
from legoclf.jetson.cuda import Cuda
from legoclf.jetson.frame import Frame, image_shape
from legoclf.jetson.kernel_compiler import load_kernels
from legoclf.jetson.kernel_parameters import FORMATS, RGBX, BlockMeans, Fit, Image
from legoclf.jetson.memory_choice import MEMORIES
from legoclf.jetson.preprocessor import Preprocessor, Roi, check_roi
from legoclf.preprocess import Placement, place, to_tensor

#: The kernels count in 32-bit whole numbers; they hold for frames of this side.
MAX_SIDE = 32768

_THREADS = (32, 8)  # a warp writes 32 neighbours of one row


class _Source(NamedTuple):
    """The frame that is on the device: address and bytes from row to row, and what it is made of."""

    address: int
    stride: int
    frame: Frame
    stream: int


class GpuPreprocessor(Preprocessor):
    """By the kernels of kernels/preprocess.cu: the very values of :func:`legoclf.preprocess.preprocess`.

    YUV is converted as ITU-R BT.601 of limited range, in OpenCV's fixed point. A context manager, for the
    thread that made ``cuda``; it ends before the streams it was given. Buffers grow to the largest frame
    and are kept. A frame is uploaded once, however many parts of it are prepared.

    Args:
        contract: the bundle's.
        cuda: from :func:`legoclf.jetson.cuda.open_cuda`; the caller's to close, after this.
        kernels: to launch; None compiles them for the GPU, or takes them from the user's cache.
        half: the tensor is to be FP16.
        memory: how frames go up, one of :data:`legoclf.jetson.memory_choice.MEMORIES`.

    Raises:
        LegoclfError: there is no compiler, or it or the GPU refuses.
    """

    def __init__(
        self,
        contract: InputContract,
        cuda: Cuda,
        kernels: Any = None,
        half: bool = False,
        memory: str = MEMORIES[0],
    ) -> None:
        self._contract = contract
        self._cuda = cuda
        self._own_kernels = kernels is None
        self._kernels = load_kernels(cuda) if kernels is None else kernels
        self._dtype = np.dtype(np.float16 if half else np.float32)
        self._source: Optional[_Source] = None
        self._host: Any = None  # what a queued copy still reads
        self._pinned = np.empty(0, np.uint8)
        self._mapped = np.empty(0, np.uint8)
        self._mapped_address = 0
        self._buffers = {name: _Buffer(cuda) for name in ("frame", "means", "tensor", "values")}
        self.use_memory(memory)
        self._stream = cuda.create_stream()
        levels = np.arange(256, dtype=np.uint8).reshape(1, 256, 1)
        self._values = np.ascontiguousarray(to_tensor(levels, contract).reshape(256).astype(self._dtype))
        self._upload_values()

    def __enter__(self) -> "GpuPreprocessor":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()

    def close(self) -> None:
        """Wait for what is queued, and give back all memory."""
        if self._stream:
            self.forget()
            for buffer in self._buffers.values():
                buffer.free()
            self._cuda.destroy_stream(self._stream)
            if self._own_kernels:
                self._kernels.close()
        self._stream = 0
        self._pinned = self._mapped = np.empty(0, np.uint8)

    def forget(self) -> None:
        """Wait for what is queued, and keep no frame: before a stream is destroyed that this was given."""
        self._wait()
        self._source = self._host = None

    def use_memory(self, memory: str) -> None:
        """Send frames up in another way from now on: one of :data:`legoclf.jetson.memory_choice.MEMORIES`."""
        if memory not in MEMORIES:
            raise UsageError("memory: got {!r}, expected one of {}".format(memory, ", ".join(MEMORIES)))
        self.memory = memory

    def prepare(self, frame: Frame, roi: Optional[Roi] = None) -> np.ndarray:
        shape = (3, self._contract.height, self._contract.width)
        tensor = np.empty(shape, self._dtype)
        address = self._buffers["tensor"].of(tensor.nbytes, self._wait)
        self.prepare_on_device(frame, roi, address, self._stream)
        self._cuda.copy_to_host(tensor, address, self._stream)
        self._cuda.synchronize(self._stream)
        return tensor.astype(np.float32)

    def prepare_on_device(self, frame: Frame, roi: Optional[Roi], target_address: int, stream: int) -> None:
        """Queue all that makes the tensor [3, H, W] of a frame, or of a part of it, at a device address.

        The frame's image must stay as it is until the stream is synchronised.

        Args:
            roi: x, y, width, height in pixels of the frame; None for the whole.
            target_address: of ``3 * H * W`` float32, or float16 if this was made with ``half``.
            stream: on which it is queued.

        Raises:
            UsageError: the part is not inside the frame.
            LegoclfError: the frame is not what its pixel format says; CUDA refuses.
        """
        part = check_roi(frame, roi)
        source = self._uploaded(frame, stream)
        image = Image(
            data=source.address,
            format=FORMATS[frame.pixel_format],
            stride=source.stride,
            rows=frame.height,
        )
        self._launch(image, part, target_address, stream)

    def _wait(self) -> None:
        """Wait until nothing that was queued uses the buffers any more."""
        if self._source is not None:
            self._cuda.synchronize(self._source.stream)

    def _launch(self, image: Image, part: Roi, target: int, stream: int) -> None:
        contract = self._contract
        x, y, width, height = part
        placement = place(height, width, contract)
        top, left, height, width = placement.crop
        _use_part(image, (x + left, y + top, width, height))
        if contract.resample == "area":
            image = self._block_means(image, placement.size, stream)
        fit = self._fit(image, placement, target)
        self._kernels.launch("fit", _blocks(contract.width, contract.height), _THREADS, fit, stream)

    def _block_means(self, image: Image, size: Tuple[int, int], stream: int) -> Image:
        """Docs/bundle.md section 3, step 4a: the image itself where it does not apply."""
        side = min(image.height // size[0], image.width // size[1])
        if side < 2:
            return image
        rows, columns = image.height // side, image.width // side
        left = image.left + (image.width - columns * side) // 2
        top = image.top + (image.height - rows * side) // 2
        _use_part(image, (left, top, columns * side, rows * side))
        means = self._buffers["means"].of(rows * columns * 4, self._wait)
        parameters = BlockMeans(image=image, means=means, side=side)
        self._kernels.launch("block_means", _blocks(columns, rows), _THREADS, parameters, stream)
        return Image(data=means, format=RGBX, stride=columns * 4, rows=rows, width=columns, height=rows)

    def _fit(self, image: Image, placement: Placement, target: int) -> Fit:
        contract, (height, width) = self._contract, placement.size
        averaged = contract.resample == "area"
        return Fit(
            image=image,
            values=self._buffers["values"].address,
            tensor=target,
            half=int(self._dtype == np.float16),
            bgr=int(contract.colour_order == "BGR"),
            out_width=contract.width,
            out_height=contract.height,
            left=placement.origin[1],
            top=placement.origin[0],
            size_width=width,
            size_height=height,
            shrunk_width=min(width, image.width) if averaged else image.width,
            shrunk_height=min(height, image.height) if averaged else image.height,
        )

    def _uploaded(self, frame: Frame, stream: int) -> _Source:
        """The frame on the device; uploaded unless it is there already."""
        source = self._source
        if source is not None and source.frame is frame and source.stream == stream:
            return source
        self.forget()  # the buffers are about to be written, and the host's memory to be let go
        image = _checked(frame)
        if self.memory == "pageable":
            flat, stride = _flat(image)
            self._host, address = flat, self._buffers["frame"].of(flat.nbytes, self._wait)
            self._cuda.copy_to_device(address, flat, stream)
        else:
            address, stride = self._staged(image, stream)
        self._source = _Source(address, stride, frame, stream)
        return self._source

    def _staged(self, image: np.ndarray, stream: int) -> Tuple[int, int]:
        """Address and bytes from row to row of the frame, by way of page-locked memory."""
        if self.memory == "pinned":
            if self._pinned.size < image.size:
                self._pinned = self._cuda.pinned_empty((image.size,), np.uint8)
            staged = self._pinned[: image.size]
        else:
            if self._mapped.size < image.size:
                self._mapped, self._mapped_address = self._cuda.mapped_empty((image.size,), np.uint8)
            staged = self._mapped[: image.size]
        staged.reshape(image.shape)[...] = image
        stride = image.size // image.shape[0]
        if self.memory == "mapped":
            return self._mapped_address, stride
        self._host, address = staged, self._buffers["frame"].of(image.size, self._wait)
        self._cuda.copy_to_device(address, staged, stream)
        return address, stride

    def _upload_values(self) -> None:
        address = self._buffers["values"].of(self._values.nbytes, self._wait)
        self._cuda.copy_to_device(address, self._values, self._stream)
        self._cuda.synchronize(self._stream)


class _Buffer(object):
    """Device memory that grows as it must."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self._nbytes = 0
        self.address = 0

    def of(self, nbytes: int, wait: Callable[[], None]) -> int:
        """Its address, with room for so many bytes; ``wait`` is called before what it was is freed."""
        if nbytes > self._nbytes:
            if self.address:
                wait()
            self.free()
            self.address, self._nbytes = self._cuda.allocate(nbytes), nbytes
        return self.address

    def free(self) -> None:
        if self.address:
            self._cuda.free(self.address)
        self.address = self._nbytes = 0


def _use_part(image: Image, part: Roi) -> None:
    image.left, image.top, image.width, image.height = part


def _blocks(columns: int, rows: int) -> Tuple[int, int]:
    return -(-columns // _THREADS[0]), -(-rows // _THREADS[1])


def _checked(frame: Frame) -> np.ndarray:
    """The frame's image; LegoclfError if it is not what the pixel format says."""
    image = frame.image
    expected = image_shape(frame.pixel_format, frame.height, frame.width)
    if image.dtype != np.uint8 or image.shape != expected or max(image.shape) > MAX_SIDE or not image.size:
        raise LegoclfError(
            "a {} frame: got {} {}, expected uint8 {} with sides of 1 to {}".format(
                frame.pixel_format, image.dtype, list(image.shape), list(expected), MAX_SIDE
            )
        )
    return image


def _flat(image: np.ndarray) -> Tuple[np.ndarray, int]:
    """All bytes of an image in one row, with what lies between its rows; and the bytes from row to row.

    An image whose rows are padded goes up as it stands; copying the padding costs less than repacking.
    """
    row_bytes = image.size // image.shape[0]
    stride = image.strides[0]
    if image.flags.c_contiguous:
        return image.reshape(-1), row_bytes
    packed = image[0].flags.c_contiguous and row_bytes <= stride < 2 * row_bytes
    if not packed:
        return np.ascontiguousarray(image).reshape(-1), row_bytes
    nbytes = (image.shape[0] - 1) * stride + row_bytes
    flat = np.lib.stride_tricks.as_strided(image, (nbytes,), (1,), writeable=False)
    return flat, stride
