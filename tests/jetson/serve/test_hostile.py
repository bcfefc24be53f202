"""`legoclf serve`, as a process of its own, under attack: others are answered all the while, its memory is
bounded, and it opens no file.

The attack is seeded, so that a finding can be had again. The short form is in `make test`, the whole in
`make slow`: 10 000 requests, 100 slow connections and a gigabyte, about a minute on two cores.
"""

import contextlib
import os
import re
import shutil
import socket
import sys
import time
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Tuple

import fake_attack
import fake_bombs
import fake_bystander
import fake_server
import numpy as np
import pytest
import tiny_bundle

fake_server.need_packages()
pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="its memory is read in /proc")

SEED = 20240617

#: What its limits allow at most, in MB: one large image at 23 bytes a pixel, eight of Full HD, and uploads
#: thrice (as they came, as text, as bytes).
MOST_MEMORY_MB = (25e6 * 23 + 8 * 2.1e6 * 23 + 3 * 64 * 2**20) / 2**20

#: Tells every file that Python opens, and all else that it does to the file system, in a file opened before.
AUDIT = """
import os, sys
told = os.open({!r}, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
asked = ("open", "os.", "shutil.", "tempfile.", "subprocess.", "glob.")
def note(event, values):
    if event.startswith(asked):
        os.write(told, (event + " " + ascii(values)[:300] + "\\n").encode("ascii"))
sys.addaudithook(note)
"""

#: What strace tells of the same, of libraries too.
CALLS = """open openat creat rename renameat renameat2 unlink unlinkat mkdir mkdirat link linkat symlink
symlinkat execve chmod truncate"""
STRACE = ("-f", "-qq", "-ttt", "-e", "trace=" + ",".join(CALLS.split()))


TOKEN = "0123456789abcdef"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_bundle.write_bundle(tmp_path_factory.mktemp("hostile") / "x.bundle")


@pytest.fixture(scope="module")
def image() -> bytes:
    """A JPEG with something in it to damage."""
    return fake_server.image_file(np.random.RandomState(1).randint(0, 256, (60, 80, 3)).astype(np.uint8))


@pytest.fixture
def image_path(tmp_path: Path, image: bytes) -> str:
    path = tmp_path / "photo.jpg"
    path.write_bytes(image)
    return str(path)


@pytest.fixture(params=[None, TOKEN], ids=["open", "with a token"])
def token(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Optional[str]:
    """What the server asks for. Attackers do not know it; without it they get to all that there is."""
    if request.param is None:
        monkeypatch.delenv("LEGOCLF_TOKEN", raising=False)
    else:
        monkeypatch.setenv("LEGOCLF_TOKEN", request.param)
    found: Optional[str] = request.param
    return found


def warm_up(port: int, image: bytes) -> None:
    """Ask for everything once with the token, so that what Python imports late is imported."""
    shown = {"Authorization": "Bearer " + TOKEN}
    for kind in ("JPEG", "PNG", "BMP", "WEBP"):
        photo = fake_server.photo(0, kind)
        for data in (photo, photo[:-30]):
            fake_server.ask(port, "POST", "/classify", data, dict(shown, **{"Content-Type": "image/x"}))
    for _, (kind, body) in sorted(fake_bombs.bodies(image).items()):
        fake_server.ask(port, "POST", "/classify", body, dict(shown, **{"Content-Type": kind}))
    for path in ("/", "/metrics", "/%ff", "/state", "/static/page.js"):
        fake_server.ask(port, "GET", path, headers=shown)


@contextlib.contextmanager
def slow_connections(port: int, count: int) -> Iterator[None]:
    """So many that each send half a request, or read nothing of what they asked for, while it lasts."""
    post = b"POST /classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nabc"
    many = b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 8
    with contextlib.ExitStack() as stack:
        for number in range(count):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10.0))
            connection.sendall((b"GET /healthz HTTP/1.1\r\nX: ", post, many, b"")[number % 4])
        yield


def attack(port: int, count: int, image: bytes) -> fake_attack.Attacker:
    """Send so many hostile requests; what was answered to them."""
    attacker = fake_attack.Attacker(port)
    attacker.run(fake_attack.requests(SEED, count, image, port))
    return attacker


def check_answers(attacker: fake_attack.Attacker) -> None:
    """Each was refused in order: none found a fault of the program, none got something that is no HTTP."""
    assert attacker.malformed == []
    faults = {kind: counts for kind, counts in attacker.statuses.items() if 500 in counts or 502 in counts}
    assert faults == {}


def check_bystander(bystander: fake_bystander.Bystander) -> None:
    """It was answered each time; /classify may say that it is busy, and when to come again."""
    assert [noted["errors"] for noted in bystander.seen.values()] == [[], []]
    assert set(bystander.seen["/healthz"]["statuses"]) == {"200"}
    assert set(bystander.seen["/classify"]["statuses"]) <= {"200", "503"}
    assert bystander.seen["/classify"]["statuses"]["200"] > 10


def tell(
    seconds: float,
    memory_mb: float,
    peak_mb: float,
    attacker: fake_attack.Attacker,
    bystander: fake_bystander.Bystander,
) -> None:
    """What the attack came to; to be seen with pytest -s."""
    answers: Dict[int, int] = {}
    for counts in attacker.statuses.values():
        for status, count in counts.items():
            answers[status] = answers.get(status, 0) + count
    lines = [
        "{:.0f} s; memory {:.0f} MB before, {:.0f} MB at most".format(seconds, memory_mb, peak_mb),
        "answers, 0 for none: {}".format(dict(sorted(answers.items()))),
    ]
    for path, noted in sorted(bystander.seen.items()):
        times = [bystander.percentile_ms(path, share) for share in (0.5, 0.99, 1.0)]
        what = "{}: {} p50 {:.1f} p99 {:.1f} max {:.1f} ms"
        lines.append(what.format(path, noted["statuses"], *times))
    sys.stdout.write("\n".join(["", *lines, ""]))


def unwanted(calls: List[str]) -> List[str]:
    """Of what was opened or changed all but reading where the page has temperatures, clocks and power from.

    Not so /proc/self, which attackers ask for.
    """
    kernels = re.compile(
        r"""[^'"<]*['"](/sys/|/proc/(?!self)|/var/lib/nvpmodel/status|/etc/nvpmodel.conf)|<\.\.\. openat"""
    )
    changes = re.compile(r"""O_WRONLY|O_RDWR|O_CREAT|, '[wax]|\+""")
    return [call for call in calls if changes.search(call) or not kernels.match(call)]


@pytest.mark.skipif(sys.version_info < (3, 8), reason="Python tells what it opens from 3.8")
def test_under_attack_others_are_answered_memory_is_bounded_and_no_file_is_opened(
    bundle: str, image: bytes, image_path: str, tmp_path: Path, token: Optional[str]
) -> None:
    told = tmp_path / "audit"
    with fake_server.ServerProcess(bundle, ["--listen", "0"], prelude=AUDIT.format(str(told))) as server:
        warm_up(server.port, image)
        before, memory_mb = told.stat().st_size, server.memory_mb("VmRSS")
        assert before > 0
        started_at = time.monotonic()
        bystander = fake_bystander.Bystander(server.port, image_path, token)
        with bystander, slow_connections(server.port, 20):
            attacker = attack(server.port, 1000, image)
        peak_mb = server.memory_mb("VmHWM")
    tell(time.monotonic() - started_at, memory_mb, peak_mb, attacker, bystander)
    check_answers(attacker)
    check_bystander(bystander)
    assert unwanted(told.read_bytes()[before:].decode("ascii").splitlines()) == []
    assert peak_mb < memory_mb + MOST_MEMORY_MB
    assert all(line.rstrip("\n").isprintable() for line in server.lines)


@pytest.mark.slow
def test_the_whole_attack(
    bundle: str, image: bytes, image_path: str, tmp_path: Path, token: Optional[str]
) -> None:
    strace = shutil.which("strace")
    told = tmp_path / "strace"
    before: List[str] = [strace, *STRACE, "-o", str(told)] if strace else []
    with fake_server.ServerProcess(bundle, ["--listen", "0"], before) as server:
        warm_up(server.port, image)
        memory_mb, started_at = server.memory_mb("VmRSS"), time.time()
        bystander = fake_bystander.Bystander(server.port, image_path, token)
        with bystander, slow_connections(server.port, 100):
            attacker = attack(server.port, 10000, image)
            uploads = list(gigabytes(server.port))
        ended_at, peak_mb = time.time(), server.memory_mb("VmHWM")
    tell(ended_at - started_at, memory_mb, peak_mb, attacker, bystander)
    sys.stdout.write("uploads given up after {} bytes\n".format([sent for sent, _ in uploads]))
    check_answers(attacker)
    check_bystander(bystander)
    assert {fake_attack.status_of(answer) for _, answer in uploads} <= {401, 413, 429}
    assert peak_mb < memory_mb + MOST_MEMORY_MB
    if strace:
        assert unwanted(calls_between(told, started_at, ended_at)) == []


def calls_between(told: Path, start: float, end: float) -> List[str]:
    """What strace told of that time, but for signals: "PID TIME call(...) = ..."."""
    lines = [line.split(" ", 2) for line in told.read_text(errors="replace").replace("  ", " ").splitlines()]
    return [line[2] for line in lines if start < float(line[1]) < end and not line[2].startswith("---")]


def gigabytes(port: int) -> Iterator[Tuple[int, bytes]]:
    """Two uploads of a gigabyte: one that tells its length, and one in chunks that does not."""
    head = "POST /classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/jpeg\r\n{}\r\n\r\n"
    length = head.format("Content-Length: {}".format(1 << 30)).encode("ascii")
    yield fake_attack.upload(port, length, 1 << 30)
    chunked = head.format("Transfer-Encoding: chunked").encode("ascii")
    yield fake_attack.upload(port, chunked, 1 << 30, b"10000\r\n" + b"\0" * 65536 + b"\r\n")


@pytest.mark.parametrize(
    ("call", "is_wanted"),
    [
        ("open ('/sys/class/hwmon/hwmon0/name', 'r', 524288)", True),
        ("glob.glob ('/sys/class/hwmon/*', False)", True),
        ('openat(AT_FDCWD, "/proc/stat", O_RDONLY|O_CLOEXEC) = 9', True),
        ("open ('/proc/self/environ', 'r', 524288)", False),
        ("open ('/sys/class/hwmon/hwmon0/name', 'w', 524865)", False),
        ('openat(AT_FDCWD, "/proc/stat", O_RDWR) = 9', False),
        ("open ('/etc/passwd', 'r', 524288)", False),
        ("os.remove ('/tmp/sys/x', -1)", False),
    ],
)
def test_what_an_attack_may_not_open_is_found(call: str, is_wanted: bool) -> None:
    assert unwanted([call]) == ([] if is_wanted else [call])


def test_an_attack_can_be_had_again(image: bytes) -> None:
    first, second = (list(fake_attack.requests(7, 300, image, 80)) for _ in range(2))
    assert first == second
    assert first != list(fake_attack.requests(8, 300, image, 80))
