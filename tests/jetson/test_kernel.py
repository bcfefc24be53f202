"""The kernels' arithmetic, compiled for the CPU from the source that ships, against the NumPy reference.

All of it is whole-number arithmetic, so equality is asked for, not nearness.
"""

import threading

import fake_cuda
import fake_kernels
import numpy as np
import pytest

from legoclf.contract import GEOMETRIES, RESAMPLES, InputContract
from legoclf.errors import LegoclfError
from legoclf.jetson import cuda_library
from legoclf.jetson.cuda import open_cuda
from legoclf.jetson.frame import PIXEL_FORMATS, Frame, image_shape, nv12_to_bgr, to_bgr, yuyv_to_bgr
from legoclf.jetson.gpu_preprocess import GpuPreprocessor
from legoclf.jetson.kernel_compiler import SOURCE, Kernels, Nvrtc, load_kernels
from legoclf.jetson.kernel_parameters import Fit
from legoclf.preprocess import preprocess

CONTRACT = InputContract(32, 24, "RGB", "squash", "area", 1.0 / 255.0, 0.0)
BGR = {
    "BGR": lambda image: image,
    "BGRx": lambda image: image[:, :, :3],
    "NV12": nv12_to_bgr,
    "YUYV": yuyv_to_bgr,
}

#: Height and width of frames: whole and broken factors, one side longer and the other shorter than the
#: input's, smaller, of the input's size, slivers, one pixel. YUV takes the next even size.
SIZES = [(48, 64), (49, 67), (120, 41), (24, 32), (17, 200), (9, 7), (1, 130), (150, 1), (1, 1), (181, 243)]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return fake_kernels.build_driver(tmp_path_factory.mktemp("kernels"))


def noise(pixel_format, height, width):
    """A frame of noise, in which neighbours differ by as much as they can."""
    if pixel_format in ("NV12", "YUYV"):
        width += width % 2
    if pixel_format == "NV12":
        height += height % 2
    random = np.random.RandomState(height * 1000 + width)
    image = random.randint(0, 256, image_shape(pixel_format, height, width)).astype(np.uint8)
    return Frame(image, pixel_format, 0, 0.0)


def on_gpu(library, contract, frame, roi=None, **options):
    """What the GPU's path makes of a frame, on the CPU."""
    cuda = fake_cuda.FakeCuda()
    kernels = fake_kernels.CpuKernels(library, cuda)
    with GpuPreprocessor(contract, cuda, kernels, **options) as preprocessor:
        tensor = preprocessor.prepare(frame, roi)
    cuda.assert_nothing_leaked()
    return tensor


def reference(contract, frame, roi=None):
    bgr = BGR[frame.pixel_format](frame.image)
    x, y, width, height = roi or (0, 0, frame.width, frame.height)
    return preprocess(bgr[y : y + height, x : x + width, ::-1], contract)


@pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("resample", RESAMPLES)
def test_every_format_and_size_becomes_the_references_tensor(library, pixel_format, geometry, resample):
    contract = CONTRACT._replace(geometry=geometry, resample=resample)
    for height, width in SIZES:
        frame = noise(pixel_format, height, width)
        tensor = on_gpu(library, contract, frame)
        np.testing.assert_array_equal(tensor, reference(contract, frame), str((height, width)))


@pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
@pytest.mark.parametrize("resample", RESAMPLES)
def test_a_part_of_a_frame_is_what_it_is_as_a_frame_of_its_own(library, pixel_format, resample):
    """At odd places too, where a part begins in the middle of what shares its U and V."""
    frame = noise(pixel_format, 90, 120)
    contract = CONTRACT._replace(resample=resample)
    for roi in ((0, 0, 1, 1), (3, 5, 77, 71), (119, 89, 1, 1), (1, 1, 64, 48), (20, 3, 9, 81)):
        tensor = on_gpu(library, contract, frame, roi)
        np.testing.assert_array_equal(tensor, reference(contract, frame, roi), str(roi))


@pytest.mark.parametrize("pixel_format", ["NV12", "YUYV"])
def test_yuv_is_opencvs_within_one_level(library, pixel_format):
    """Every OpenCV may convert in its own way; 4.1.1 to 4.12 on x86 agree with the kernel to the bit."""
    pytest.importorskip("cv2", reason="compares with OpenCV")
    frame = noise(pixel_format, 64, 96)
    contract = CONTRACT._replace(width=96, height=64, scale=1.0)
    expected = to_bgr(frame)[:, :, ::-1].transpose(2, 0, 1).astype(float)
    assert np.abs(on_gpu(library, contract, frame) - expected).max() <= 1


def test_all_luma_and_chroma_stay_within_the_levels(library):
    """The extremes of Y, U and V, where the sums of the conversion leave 0..255."""
    levels = np.array([0, 16, 127, 128, 129, 235, 255], np.uint8)
    y, u, v = (axis.ravel() for axis in np.meshgrid(levels, levels, levels))
    image = np.stack([np.stack([y, u], -1), np.stack([y, v], -1)], 1).reshape(7, 98, 2)
    frame = Frame(np.ascontiguousarray(image), "YUYV", 0, 0.0)
    contract = CONTRACT._replace(width=98, height=7, scale=1.0)
    np.testing.assert_array_equal(on_gpu(library, contract, frame), reference(contract, frame))


def test_sums_beyond_32_bits_are_right(library):
    """A divisor of 4 x 2100 x 1600: twice 255 of it is more than 2**32."""
    contract = CONTRACT._replace(width=2100, height=1600, resample="bilinear")
    frame = noise("BGR", 31, 50)
    np.testing.assert_array_equal(on_gpu(library, contract, frame), reference(contract, frame))


@pytest.mark.parametrize("order", ["RGB", "BGR"])
@pytest.mark.parametrize(("scale", "offset"), [(1 / 255.0, 0.0), (2 / 255.0, -1.0), (0.0171, -2.118)])
def test_values_are_the_references_to_the_bit(library, order, scale, offset):
    contract = CONTRACT._replace(colour_order=order, scale=scale, offset=offset)
    frame = noise("BGR", 40, 50)
    np.testing.assert_array_equal(on_gpu(library, contract, frame), reference(contract, frame))


def test_half_is_the_float_rounded_once(library):
    contract = CONTRACT._replace(scale=2 / 255.0, offset=-1.0)
    frame = noise("BGR", 40, 50)
    expected = reference(contract, frame).astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(on_gpu(library, contract, frame, half=True), expected)


@pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
def test_rows_may_be_padded(library, pixel_format):
    frame = noise(pixel_format, 48, 64)
    rows, columns = frame.image.shape[:2]
    padded = np.full((rows, columns + 6, *frame.image.shape[2:]), 99, np.uint8)
    padded[:, :columns] = frame.image
    tensor = on_gpu(library, CONTRACT, frame._replace(image=padded[:, :columns]))
    np.testing.assert_array_equal(tensor, reference(CONTRACT, frame))


@pytest.mark.parametrize(
    "view",
    [lambda image: image[::-1], lambda image: image[:, ::-1], lambda image: image[:, 40:80]],
    ids=["upside down", "mirrored", "cut from a wide one"],
)
def test_any_view_of_an_array_may_be_a_frame(library, view):
    frame = noise("BGR", 48, 256)
    seen = frame._replace(image=view(frame.image))
    np.testing.assert_array_equal(on_gpu(library, CONTRACT, seen), reference(CONTRACT, seen))


# Compiling and loading, by ctypes through stubs of libnvrtc and libcuda


@pytest.fixture
def device(library, tmp_path, monkeypatch):
    """CUDA by ctypes with the stubs below it, and a cache of its own."""
    monkeypatch.setenv("LEGOCLF_CUDART", library)
    monkeypatch.setenv("LEGOCLF_NVRTC", fake_kernels.build_nvrtc(tmp_path))
    monkeypatch.setenv("LEGOCLF_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("NVRTC_STUB_LOG", str(tmp_path / "compiled"))
    with open_cuda() as cuda:
        yield cuda


def compiled(tmp_path):
    """The architectures that were compiled for, in order."""
    log = tmp_path / "compiled"
    return log.read_text().split() if log.exists() else []


@pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
def test_from_the_frame_to_the_tensor_through_nvrtc_and_the_driver(device, pixel_format):
    frame = noise(pixel_format, 100, 130)
    with GpuPreprocessor(CONTRACT, device) as preprocessor:
        np.testing.assert_array_equal(preprocessor.prepare(frame), reference(CONTRACT, frame))


def test_the_kernels_are_compiled_once_for_a_gpu(device, tmp_path, monkeypatch):
    for _ in range(2):
        load_kernels(device).close()
    assert compiled(tmp_path) == ["compute_53"]
    monkeypatch.setenv("CUDART_STUB_CAPABILITY", "7.2")
    load_kernels(device).close()
    assert compiled(tmp_path) == ["compute_53", "compute_72"]


def test_another_nvrtc_compiles_anew(device, tmp_path, monkeypatch):
    load_kernels(device).close()
    monkeypatch.setenv("NVRTC_STUB_VERSION", "11.4")
    load_kernels(device).close()
    assert compiled(tmp_path) == ["compute_53", "compute_53"]


def test_a_damaged_cache_is_compiled_anew(device, tmp_path):
    load_kernels(device).close()
    (cached,) = (tmp_path / "cache" / "kernels").iterdir()
    cached.write_bytes(b"")
    load_kernels(device).close()
    assert compiled(tmp_path) == ["compute_53", "compute_53"]
    assert cached.read_bytes().startswith(b"compiled by")


def test_a_cache_that_cannot_be_written_is_no_error(device, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("LEGOCLF_CACHE_DIR", str(tmp_path / "file"))
    load_kernels(device).close()


def test_a_newer_nvrtc_makes_machine_code(device, tmp_path, monkeypatch):
    monkeypatch.setenv("LEGOCLF_NVRTC", fake_kernels.build_nvrtc(tmp_path / "cache", cubin=True))
    load_kernels(device).close()
    assert compiled(tmp_path) == ["sm_53"]


@pytest.fixture(autouse=True)
def cache_folder(tmp_path):
    (tmp_path / "cache").mkdir()


def test_a_gpu_that_nvrtc_does_not_know_is_told_with_its_words(device, monkeypatch):
    monkeypatch.setenv("CUDART_STUB_CAPABILITY", "3.5")
    with pytest.raises(
        LegoclfError,
        match=r"NVRTC 10.2: preprocess.cu does not compile for compute capability 3.5: "
        r"NVRTC_ERROR_COMPILATION: preprocess.cu\(1\): error: it was told not to; name .* LEGOCLF_NVRTC$",
    ):
        load_kernels(device)


@pytest.mark.parametrize(
    ("call", "number", "told"),
    [
        ("cuModuleLoadData", 2, r"cuModuleLoadData failed: error \(2\); close other programs"),
        ("cuModuleGetFunction", 500, r"cuModuleGetFunction failed: CUDA_ERROR_NOT_FOUND \(500\)$"),
        (
            "cuLaunchKernel",
            700,
            r"cuLaunchKernel failed: CUDA_ERROR_ILLEGAL_ADDRESS \(700\); .*start it again",
        ),
    ],
)
def test_the_drivers_errors_are_told(device, monkeypatch, call, number, told):
    monkeypatch.setenv("KERNEL_STUB_FAIL", "{}={}".format(call, number))
    with pytest.raises(LegoclfError, match="CUDA: " + told):
        GpuPreprocessor(CONTRACT, device).prepare(noise("BGR", 8, 8))
    monkeypatch.delenv("KERNEL_STUB_FAIL")


def test_an_image_that_the_driver_refuses_is_told(device):
    with pytest.raises(LegoclfError, match=r"cuModuleLoadData failed: CUDA_ERROR_INVALID_IMAGE \(200\)"):
        Kernels(device.driver(), b"\x7fELF of another GPU")


def test_another_thread_may_not_launch(device):
    kernels, errors = load_kernels(device), []

    def launch():
        try:
            kernels.launch("fit", (1, 1), (32, 8), Fit(), 0)
        except LegoclfError as error:
            errors.append(str(error))

    thread = threading.Thread(target=launch)
    thread.start()
    thread.join()
    assert errors == ["CUDA: a kernel is launched by a thread that did not load it; load it in each"]


def test_the_module_is_unloaded_at_the_end_and_once(device, tmp_path, monkeypatch):
    monkeypatch.setenv("KERNEL_STUB_LOG", str(tmp_path / "calls"))
    preprocessor = GpuPreprocessor(CONTRACT, device)
    preprocessor.close()
    preprocessor.close()
    assert (tmp_path / "calls").read_text().split() == ["cuModuleLoadData", "cuModuleUnload"]


def test_without_a_compiler_the_mend_is_told(device, monkeypatch):
    monkeypatch.delenv("LEGOCLF_NVRTC")
    for name in ("NVRTC_SONAMES", "FOLDERS", "PACKAGE_FOLDERS"):
        monkeypatch.setattr(cuda_library, name, ())
    monkeypatch.setattr(cuda_library.ctypes.util, "find_library", lambda name: None)
    with pytest.raises(LegoclfError, match="no CUDA compiler .*libnvrtc.so.* found.*LEGOCLF_NVRTC"):
        load_kernels(device)


def test_a_real_nvrtc_takes_the_source():
    """Compiling needs no GPU. Each NVRTC from CUDA 10.2 on knows compute capability 7.5."""
    try:
        nvrtc = Nvrtc(cuda_library.load_nvrtc())
    except LegoclfError as error:
        pytest.skip(str(error))
    with open(SOURCE, "rb") as file:
        assert nvrtc.compile(file.read(), "preprocess.cu", (7, 5))
