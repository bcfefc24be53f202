"""From a frame to the tensor on the CPU and on a fake GPU, and the golden check of both at start-up."""

import sys

import fake_kernels
import numpy as np
import pytest
import tiny_bundle

from legoclf.contract import InputContract
from legoclf.errors import LegoclfError, UsageError
from legoclf.golden import Golden
from legoclf.jetson.frame import PIXEL_FORMATS, Frame, image_shape, to_bgr
from legoclf.jetson.gpu_preprocess import GpuPreprocessor
from legoclf.jetson.preprocessor import CpuPreprocessor, check_preprocessing
from legoclf.preprocess import preprocess

CONTRACT = InputContract(32, 24, "RGB", "squash", "area", 1.0 / 255.0, 0.0)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return fake_kernels.build_driver(tmp_path_factory.mktemp("kernels"))


@pytest.fixture
def kernels(library, cuda):
    return fake_kernels.CpuKernels(library, cuda)


@pytest.fixture
def target(cuda):
    """A stream, and the address of a tensor."""
    stream, address = cuda.create_stream(), cuda.allocate(3 * 24 * 32 * 4)
    yield stream, address
    cuda.free(address)
    cuda.destroy_stream(stream)


@pytest.fixture
def gpu(cuda, kernels, target):
    # It ends before the stream that it is given.
    with GpuPreprocessor(CONTRACT, cuda, kernels) as preprocessor:
        yield preprocessor


@pytest.fixture
def no_opencv(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)


def noise(pixel_format, height=60, width=80, seed=1):
    random = np.random.RandomState(seed)
    image = random.randint(0, 256, image_shape(pixel_format, height, width)).astype(np.uint8)
    return Frame(image, pixel_format, 0, 0.0)


def reference(frame, contract=CONTRACT, roi=None):
    x, y, width, height = roi or (0, 0, frame.width, frame.height)
    return preprocess(to_bgr(frame)[y : y + height, x : x + width, ::-1], contract)


def on_device(cuda, address):
    return cuda.view(address, 3 * 24 * 32 * 4).view(np.float32).reshape(3, 24, 32).copy()


# On the CPU


@pytest.mark.usefixtures("no_opencv")
@pytest.mark.parametrize("order", ["RGB", "BGR"])
@pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
def test_without_opencv_the_cpu_gives_the_reference(pixel_format, order):
    frame, contract = noise(pixel_format), CONTRACT._replace(colour_order=order)
    np.testing.assert_array_equal(CpuPreprocessor(contract).prepare(frame), reference(frame, contract))


@pytest.mark.parametrize("order", ["RGB", "BGR"])
@pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
def test_with_opencv_the_cpu_is_within_one_level_and_a_tenth_on_average(pixel_format, order):
    """What the contract allows another implementation (docs/bundle.md section 3)."""
    pytest.importorskip("cv2", reason="the fast path needs OpenCV")
    frame, contract = noise(pixel_format), CONTRACT._replace(colour_order=order)
    levels = np.abs(CpuPreprocessor(contract).prepare(frame) - reference(frame, contract)) * 255
    assert levels.max() < 1.001
    assert levels.mean() < 0.1


@pytest.mark.usefixtures("no_opencv")
def test_the_cpu_takes_parts_of_one_frame_after_another():
    preprocessor = CpuPreprocessor(CONTRACT)
    frames = [noise("BGRx", seed=seed) for seed in (1, 2)]
    for frame in frames:
        for roi in ((3, 5, 21, 33), None, (79, 59, 1, 1)):
            expected = reference(frame, roi=roi)
            np.testing.assert_array_equal(preprocessor.prepare(frame, roi), expected)


def test_a_frame_is_converted_once_for_all_its_parts(monkeypatch):
    calls = []
    monkeypatch.setattr(
        "legoclf.jetson.preprocessor.to_bgr", lambda frame: calls.append(frame) or to_bgr(frame)
    )
    preprocessor, frame = CpuPreprocessor(CONTRACT), noise("NV12")
    for roi in ((0, 0, 8, 8), (8, 8, 8, 8)):
        preprocessor.prepare(frame, roi)
    assert len(calls) == 1


@pytest.mark.parametrize(
    "roi", [(-1, 0, 4, 4), (0, -1, 4, 4), (77, 0, 4, 4), (0, 57, 4, 4), (0, 0, 0, 4), (0, 0, 4, 0)]
)
def test_a_part_outside_the_frame_is_refused_with_the_frames_size(roi, gpu):
    for preprocessor in (CpuPreprocessor(CONTRACT), gpu):
        with pytest.raises(UsageError, match=r"got {},{},{},{} .*80x60 pixels".format(*roi)):
            preprocessor.prepare(noise("BGR"), roi)


# On the GPU


def test_the_tensor_is_there_when_the_stream_is_synchronised(cuda, gpu, target):
    stream, address = target
    frame = noise("NV12")
    gpu.prepare_on_device(frame, None, address, stream)
    assert np.isnan(on_device(cuda, address)).all()  # nothing was waited for
    cuda.synchronize(stream)
    np.testing.assert_array_equal(on_device(cuda, address), reference(frame))


@pytest.mark.parametrize("memory", ["pageable", "pinned", "mapped"])
def test_every_memory_gives_each_frame_its_own_tensor(cuda, gpu, target, memory):
    """Large after small, small after large: buffers grow, and keep nothing of the frame before."""
    stream, address = target
    gpu.use_memory(memory)
    for seed, (height, width) in enumerate([(24, 32), (120, 160), (50, 66), (240, 64)]):
        frame = noise("YUYV", height, width, seed)
        gpu.prepare_on_device(frame, None, address, stream)
        cuda.synchronize(stream)
        np.testing.assert_array_equal(on_device(cuda, address), reference(frame))


@pytest.mark.parametrize("memory", ["pageable", "pinned", "mapped"])
def test_frames_may_follow_before_the_stream_was_synchronised(cuda, gpu, target, memory):
    stream, _ = target
    gpu.use_memory(memory)
    frames = [noise("BGR", 24 * size, 32 * size, size) for size in (2, 5, 5, 7)]
    addresses = [cuda.allocate(3 * 24 * 32 * 4) for _ in frames]
    for frame, at in zip(frames, addresses):
        gpu.prepare_on_device(frame, None, at, stream)
    cuda.synchronize(stream)
    for frame, at in zip(frames, addresses):
        np.testing.assert_array_equal(on_device(cuda, at), reference(frame))
        cuda.free(at)


def test_parts_of_one_frame_share_its_upload(cuda, gpu, target):
    stream, address = target
    frame = noise("BGRx", 150, 200)
    before = cuda.calls.count("copy_to_device")
    # The third needs more scratch memory than the second.
    for roi in ((0, 0, 30, 30), (30, 10, 64, 48), (30, 10, 91, 71), None):
        gpu.prepare_on_device(frame, roi, address, stream)
    cuda.synchronize(stream)
    assert cuda.calls.count("copy_to_device") - before == 1


def test_parts_of_one_frame_have_tensors_of_their_own_in_one_batch(cuda, gpu):
    rois = [(0, 0, 64, 60), (10, 5, 20, 20), (16, 12, 64, 48)]
    nbytes = 3 * 24 * 32 * 4
    batch, stream, frame = cuda.allocate(nbytes * len(rois)), cuda.create_stream(), noise("NV12")
    for index, roi in enumerate(rois):
        gpu.prepare_on_device(frame, roi, batch + index * nbytes, stream)
    cuda.synchronize(stream)
    for index, roi in enumerate(rois):
        np.testing.assert_array_equal(on_device(cuda, batch + index * nbytes), reference(frame, roi=roi))
    gpu.forget()
    cuda.free(batch)
    cuda.destroy_stream(stream)


def test_a_frame_on_another_stream_is_uploaded_there(cuda, gpu, target):
    stream, address = target
    frame = noise("BGR")
    gpu.prepare_on_device(frame, None, address, stream)
    np.testing.assert_array_equal(gpu.prepare(frame), reference(frame))


def test_an_image_that_was_written_anew_is_a_new_frame(gpu):
    """Some sources fill one array again and again: the frame, not its array, says what is new."""
    frame = noise("BGR")
    gpu.prepare(frame)
    again = frame._replace(sequence=1)
    again.image[:] = 255 - again.image
    np.testing.assert_array_equal(gpu.prepare(again), reference(again))


def test_blocks_are_averaged_in_a_kernel_of_their_own_only_where_both_sides_halve(gpu, kernels):
    gpu.prepare(noise("BGR", 47, 64))
    assert kernels.launched == ["fit"]
    gpu.prepare(noise("BGR", 48, 64))
    assert kernels.launched == ["fit", "block_means", "fit"]


def test_a_frame_that_is_not_what_its_format_says_is_refused(gpu):
    image = np.zeros((60, 80, 4), np.uint8)
    with pytest.raises(
        LegoclfError, match=r"a BGR frame: got uint8 \[60, 80, 4\], expected uint8 \[60, 80, 3\]"
    ):
        gpu.prepare(Frame(image, "BGR", 0, 0.0))


def test_a_yuv_frame_of_an_odd_width_is_refused(gpu):
    with pytest.raises(LegoclfError, match="a YUYV frame of 81x60: its width must be even"):
        gpu.prepare(Frame(np.zeros((60, 81, 2), np.uint8), "YUYV", 0, 0.0))


def test_an_unknown_memory_is_refused(gpu):
    with pytest.raises(UsageError, match="got 'managed', expected one of pageable, pinned, mapped"):
        gpu.use_memory("managed")


def test_the_end_waits_for_what_is_queued_and_gives_all_back(cuda, kernels, target):
    stream, address = target
    with GpuPreprocessor(CONTRACT, cuda, kernels) as preprocessor:
        preprocessor.prepare_on_device(noise("BGR"), None, address, stream)
    assert cuda.live == (1, 1, 0)  # the target and its stream
    preprocessor.close()


# The golden check


def golden_of(contract):
    images = tiny_bundle.golden_images()
    tensors = np.stack([preprocess(image, contract) for image in images])
    answers = np.zeros((len(images), 2), np.float32)  # no network here
    return Golden(images, tensors, answers, answers, 1.0, 0.1, 1e-3, 0.02)


def test_the_gpu_passes_without_a_difference(gpu):
    result = check_preprocessing(gpu, golden_of(CONTRACT), CONTRACT)
    assert result == (0.0, 0.0, True, "")


@pytest.mark.parametrize("geometry", ["squash", "centre-crop", "pad"])
def test_the_cpu_passes(geometry):
    contract = CONTRACT._replace(geometry=geometry, scale=2 / 255.0, offset=-1.0)
    result = check_preprocessing(CpuPreprocessor(contract), golden_of(contract), contract)
    assert (result.passed, result.reason) == (True, "")


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("colour_order", "BGR", "input.colour_order BGR, the golden tensors were made with RGB"),
        ("geometry", "pad", "input.geometry pad, the golden tensors were made with squash"),
        ("resample", "bilinear", "input.resample bilinear, the golden tensors were made with area"),
        ("scale", 1 / 127.5, "input.scale 0.00784.*, the golden tensors were made with 0.0039215"),
        ("offset", -0.5, "input.offset -0.5, the golden tensors were made with -?0.0"),
    ],
)
def test_an_altered_contract_is_told_by_the_field(field, value, told):
    altered = CONTRACT._replace(**{field: value})
    result = check_preprocessing(CpuPreprocessor(altered), golden_of(CONTRACT), altered)
    assert not result.passed
    assert result.levels_max > 1
    with pytest.raises(LegoclfError, match=told):
        raise LegoclfError(result.reason)


def test_another_input_size_is_told():
    altered = CONTRACT._replace(width=30)
    result = check_preprocessing(CpuPreprocessor(altered), golden_of(CONTRACT), altered)
    assert not result.passed
    assert "[4, 3, 24, 32], the contract says [4, 3, 24, 30]" in result.reason


def test_a_device_that_prepares_otherwise_is_told_by_how_much():
    def mirrored(frame):
        return preprocess(frame.image[:, ::-1, ::-1], CONTRACT)

    result = check_preprocessing(mirrored, golden_of(CONTRACT), CONTRACT)
    assert not result.passed
    assert (
        "on average (bounds 1 and 0.1): the contract fits the golden tensors, so this device" in result.reason
    )


def test_a_mean_beyond_its_bound_does_not_pass_though_no_level_is_beyond():
    def brighter(frame):
        return preprocess(frame.image[:, :, ::-1], CONTRACT) + np.float32(0.5 / 255)

    result = check_preprocessing(brighter, golden_of(CONTRACT), CONTRACT)
    assert not result.passed
    assert result.levels_max < 1


def test_no_number_is_no_pass():
    def broken(frame):
        return np.full((3, 24, 32), np.nan, np.float32)

    assert not check_preprocessing(broken, golden_of(CONTRACT), CONTRACT).passed
