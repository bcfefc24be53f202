"""What a network is trained on: a TPU, GPUs, the CPU, or several machines, as a tf.distribute strategy."""

import glob
import importlib.util
import os
from dataclasses import dataclass
from typing import Any

from legoclf.convert.frozen import import_tensorflow
from legoclf.cores import available_cores
from legoclf.errors import LegoclfError, UsageError
from legoclf.retrain.networks.cluster import WAIT_S, cluster_of_environment, reachable, wait_for_peers

DEVICES = ("auto", "cpu", "gpu", "tpu")

#: Variables that the services which lend TPUs set, and what tells of one in this machine.
_TPU_VARIABLES = ("COLAB_TPU_ADDR", "KUBE_GOOGLE_CLOUD_TPU_ENDPOINTS", "TPU_NAME")
_TPU_FILES = "/dev/accel*"
_TPU_PACKAGE = "libtpu"


@dataclass(frozen=True)
class Devices:
    """What was chosen.

    strategy: a tf.distribute strategy, within whose scope the network and its optimizers are made.
    line: what was chosen and why, for people. worker: this machine's number, of ``workers``.
    """

    strategy: Any
    line: str
    worker: int = 0
    workers: int = 1

    @property
    def is_chief(self) -> bool:
        """Whether this machine is the one that writes results."""
        return self.worker == 0

    def check_batch_size(self, batch_size: int) -> None:
        """Refuse a batch of which some device would get nothing.

        Raises:
            UsageError: with the least that will do.
        """
        replicas = self.strategy.num_replicas_in_sync
        if batch_size < replicas:
            raise UsageError(
                f"a batch of {batch_size} images is too small to share among {replicas} devices: "
                f"give --train_batch_size {replicas} or more, or a larger data set, or --device cpu"
            )


def choose_strategy(device: str = "auto", wait_s: float = WAIT_S) -> Devices:
    """Detect what there is to train on, and take it; to be called before TensorFlow has computed anything.

    With TF_CONFIG it is the machines named there, each with its GPUs or its CPU. Otherwise, under ``auto``,
    a TPU goes before GPUs, and those before the CPU.

    Args:
        device: one of DEVICES; one that was asked for by name must be there.
        wait_s: seconds that other machines are waited for.

    Raises:
        UsageError: there is no such device.
        LegoclfError: it is not in this machine, TF_CONFIG is wrong, or a machine it names did not come.
    """
    if device not in DEVICES:
        raise UsageError(f"--device {device}: expected {', '.join(DEVICES)}")
    # TensorFlow leaves oneDNN's kernels off on CPUs without AVX-512; there MobileNetV2 learns 1.6 times as
    # fast with them (AVX2, 2 cores: 10.6 against 6.5 images/s). It reads this once, when it is imported.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    cluster = cluster_of_environment()
    if cluster is not None and device == "tpu":
        raise UsageError(
            "--device tpu: TF_CONFIG names machines with GPUs or CPUs; unset it, or leave --device out"
        )
    tf = import_tensorflow()
    without_tpu = ""
    if cluster is None and device in ("auto", "tpu"):
        found = _tpu(tf, asked=device == "tpu")
        if isinstance(found, Devices):
            return found
        without_tpu = found
    gpus = _gpus(tf, device)
    if cluster is not None:
        wait_for_peers(cluster, wait_s)
        workers = len(cluster.addresses)
        strategy = _made(tf, tf.distribute.MultiWorkerMirroredStrategy)
        line = f"training on {_named(tf, gpus)}, as machine {cluster.worker + 1} of {workers} (TF_CONFIG)"
        return Devices(strategy, line, cluster.worker, workers)
    strategy = tf.distribute.MirroredStrategy() if len(gpus) > 1 else tf.distribute.get_strategy()
    return Devices(strategy, f"training on {_named(tf, gpus)}{without_tpu}")


def share_of(strategy: Any) -> tuple[int, int]:
    """Which share of each batch this machine trains on under a strategy: its number, and of how many."""
    if strategy.num_replicas_in_sync == 1:
        return 0, 1
    workers = strategy.num_replicas_in_sync // len(strategy.extended.worker_devices)
    if workers == 1:
        return 0, 1
    resolver = strategy.cluster_resolver
    chiefs = len(resolver.cluster_spec().as_dict().get("chief", []))
    return resolver.task_id + (chiefs if resolver.task_type == "worker" else 0), workers


def tpu_sign() -> str | None:
    """What tells of a TPU: a variable of the environment, a device file or a package; None for nothing."""
    for variable in _TPU_VARIABLES:
        if os.environ.get(variable):
            return variable
    for path in sorted(glob.glob(_TPU_FILES)):
        return path
    return _TPU_PACKAGE if importlib.util.find_spec(_TPU_PACKAGE) else None


def _tpu(tf: Any, asked: bool) -> Devices | str:
    """The TPU, or why it is not used, to be appended to a line; empty if nothing tells of one."""
    sign = tpu_sign()
    if sign is None:
        if asked:
            raise LegoclfError(
                "--device tpu: nothing tells of a TPU (neither "
                f"{', '.join(_TPU_VARIABLES)}, nor {_TPU_FILES}, nor the package {_TPU_PACKAGE}); "
                "leave --device out to train on what there is"
            )
        return ""
    try:
        strategy = _tpu_strategy(tf, sign)
    # Its resolver raises whatever its client, the network and the metadata server raise.
    except Exception as error:
        cause = (str(error).strip() or type(error).__name__).splitlines()[0]
        if asked:
            raise LegoclfError(
                f"--device tpu: {sign} tells of a TPU, but it cannot be used ({cause}); "
                "leave --device out to train on what there is"
            ) from error
        return f"; {sign} tells of a TPU, but it cannot be used ({cause})"
    return Devices(strategy, f"training on a TPU of {strategy.num_replicas_in_sync} cores, told of by {sign}")


def _tpu_strategy(tf: Any, sign: str) -> Any:
    name = os.environ[sign] if sign in _TPU_VARIABLES else "local"
    if sign == "COLAB_TPU_ADDR" and "://" not in name:
        name = f"grpc://{name}"
    resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
    if name != "local":
        # TensorFlow would wait for minutes, and in C++, where Ctrl-C does not reach it.
        address = resolver.master().rpartition("/")[2]
        if not reachable(address):
            raise LegoclfError(f"no answer from {address}")
        tf.config.experimental_connect_to_cluster(resolver)
    tf.tpu.experimental.initialize_tpu_system(resolver)
    return tf.distribute.TPUStrategy(resolver)


def _gpus(tf: Any, device: str) -> list[Any]:
    """The GPUs to train on, which take memory as they need it, and are hidden where they are not wanted."""
    gpus: list[Any] = tf.config.list_physical_devices("GPU")
    if device == "gpu" and not gpus:
        raise LegoclfError(
            "--device gpu: TensorFlow sees no GPU; its CUDA build comes with: "
            "pip install 'legoclf[train-gpu]'; or leave --device out to train on the CPU"
        )
    try:
        if device == "cpu":
            tf.config.set_visible_devices([], "GPU")
            return []
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError as error:
        # TensorFlow has computed already: it goes on with the GPUs as they are.
        if device == "cpu" and gpus:
            raise LegoclfError(f"--device cpu: the GPUs cannot be hidden any more ({error})") from error
    return gpus


def _made(tf: Any, make: Any) -> Any:
    try:
        return make()
    except (RuntimeError, ValueError, tf.errors.OpError) as error:
        cause = str(error).strip().partition("\n")[0]
        raise LegoclfError(f"TF_CONFIG: the machines cannot train together ({cause})") from error


def _named(tf: Any, gpus: list[Any]) -> str:
    if not gpus:
        cores = available_cores()
        return f"the CPU ({cores} core{'s' if cores > 1 else ''})"
    details = [tf.config.experimental.get_device_details(gpu).get("device_name", "GPU") for gpu in gpus]
    if len(gpus) == 1:
        return f"the GPU ({details[0]})"
    return f"{len(gpus)} GPUs ({', '.join(sorted(set(details)))}), each a share of every batch"
