"""Checks of legoclf itself, of Python and its locale, and of packages that only some commands want."""

import os
import shlex
from typing import Optional

from legoclf import __version__
from legoclf.jetson.doctor.check import Finding, not_here, note, ok, problem
from legoclf.jetson.doctor.facts import Facts
from legoclf.jetson.doctor.packages import version_numbers

#: What `legoclf serve` imports.
SERVE_PACKAGES = ("bottle", "waitress", "prometheus-client")


def check_legoclf(facts: Facts) -> Finding:
    """Installed once, and where the shell finds it."""
    places = facts.packages.get("legoclf", [])
    if len(places) > 1:
        versions = ", ".join("{} in {}".format(place.version, place.folder) for place in places)
        return problem(
            "installed {} times: {}; the first is used".format(len(places), versions),
            "run `{} uninstall -y legoclf` {} times, then install the one you want".format(
                facts.pip, len(places)
            ),
        )
    if not places or os.path.isfile(_home()):
        # As one file, brick.pyz, or out of a checkout.
        return ok("{}, run from {}".format(__version__, _home()))
    if facts.program is None:
        return note(
            "{}; the shell finds no `legoclf`".format(__version__),
            'export PATH="{}:$PATH" (a line for ~/.bashrc)'.format(_scripts(facts)),
        )
    other = _other_python(facts)
    if other is not None:
        return note(
            "{}; but {} runs another Python, {}".format(__version__, facts.program, other),
            "{} -m pip uninstall -y legoclf".format(shlex.quote(other)),
        )
    return ok("{}, {}".format(__version__, facts.program))


def check_python(facts: Facts) -> Finding:
    """What this version can run."""
    version = ".".join(str(part) for part in facts.python)
    if facts.python < (3, 6):
        return problem(
            "{}: older than legoclf runs on".format(version), "install Python 3.6 or later, and legoclf in it"
        )
    if (3, 11) <= facts.python[:2] <= (3, 13):
        return ok("{} ({}): trains and runs".format(version, facts.executable))
    return ok("{} ({}): runs; training takes 3.11 to 3.13".format(version, facts.executable))


def check_locale(facts: Facts) -> Finding:
    """Labels and file names are Unicode, and an old Python cannot write them under LANG=C."""
    if facts.encoding.lower().replace("-", "").replace("_", "") == "utf8":
        return ok(facts.encoding)
    return problem(
        "{}: labels with signs that it lacks cannot be written".format(facts.encoding),
        "unset PYTHONIOENCODING"
        if facts.environ.get("PYTHONIOENCODING")
        else "export LC_ALL=C.UTF-8 (a line for ~/.bashrc)",
    )


def check_serve(facts: Facts) -> Finding:
    """The packages of the page and the REST endpoint."""
    missing = [name for name in SERVE_PACKAGES if facts.installed(name) is None]
    if missing:
        return not_here(
            "{}: only the page and the REST endpoint need {}".format(
                ", ".join(missing), "it" if len(missing) == 1 else "them"
            ),
            "{} install 'legoclf[serve]'".format(facts.pip),
        )
    waitress = facts.installed("waitress")
    if waitress is not None and version_numbers(waitress.version) < (3,):
        # The last for Python 3.6 to 3.8 is 2.x or 3.0.0.
        if facts.python >= (3, 9):
            mend = "{} install --upgrade waitress".format(facts.pip)
        else:
            mend = "serve on localhost, or behind a proxy such as nginx"
        return note("waitress {} has known vulnerabilities".format(waitress.version), mend)
    return ok(_versions(facts, *SERVE_PACKAGES))


def check_mqtt(facts: Facts) -> Finding:
    """The package of the mqtt output."""
    if facts.installed("paho-mqtt") is None:
        return not_here(
            "paho-mqtt: only --output mqtt:// needs it", "{} install 'legoclf[mqtt]'".format(facts.pip)
        )
    return ok(_versions(facts, "paho-mqtt"))


def _versions(facts: Facts, *names: str) -> str:
    found = [(name, facts.installed(name)) for name in names]
    return ", ".join("{} {}".format(name, place.version) for name, place in found if place is not None)


def _home() -> str:
    """The folder or file that this legoclf lies in: two up from the package's module."""
    import legoclf

    return os.path.dirname(os.path.dirname(os.path.abspath(legoclf.__file__)))


def _scripts(facts: Facts) -> str:
    """Where pip has put the program: beside Python, or where --user installs go."""
    beside = os.path.dirname(facts.executable)
    if os.path.exists(os.path.join(beside, "legoclf")):
        return beside
    return os.path.join(os.path.expanduser("~"), ".local", "bin")


def _other_python(facts: Facts) -> Optional[str]:
    """The Python that the program on the PATH runs, if it is another than this one."""
    try:
        with open(facts.program or "", "rb") as stream:
            first = stream.readline(4096).decode("utf-8", "replace").strip()
    except OSError:
        return None
    named = first[2:].strip().strip('"')
    if not first.startswith("#!") or not os.path.isabs(named) or " " in named:
        return None
    # By folder and not by file: a venv's pythons are links to the system's.
    folders = [os.path.realpath(os.path.dirname(path)) for path in (named, facts.executable)]
    return None if folders[0] == folders[1] else named
