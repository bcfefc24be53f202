"""How findings are shown."""

from legoclf.jetson.doctor.check import Check
from legoclf.jetson.doctor.report import as_json, check_lines, summary_line

LONG = Check(
    "memory", "problem", "400 of 3964 MiB of RAM free: a build takes about 1536", "sudo fallocate -l 4G /x"
)


def test_a_check_begins_with_its_status_and_its_mend_has_a_line():
    assert check_lines(LONG, 8, 100, False) == [
        "problem   memory    400 of 3964 MiB of RAM free: a build takes about 1536",
        "                    mend: sudo fallocate -l 4G /x",
    ]


def test_a_narrow_terminal_has_the_text_wrapped_below_itself():
    assert check_lines(LONG, 6, 50, False) == [
        "problem   memory  400 of 3964 MiB of RAM free: a",
        "                  build takes about 1536",
        "                  mend: sudo fallocate -l 4G /x",
    ]


def test_a_mend_is_not_broken_for_it_is_to_be_copied():
    lines = check_lines(LONG._replace(mend="x " * 200), 6, 50, False)
    assert sum("mend: " in line for line in lines) == 1
    assert lines[-1].endswith("x " * 200)


def test_no_line_is_broken_within_a_path():
    lines = check_lines(Check("disk", "ok", "/a-very/long-path/without-blanks" * 4, ""), 4, 40, False)
    assert any("/a-very/long-path/without-blanks" * 4 in line for line in lines)


def test_colour_is_on_the_status_alone():
    plain, coloured = (check_lines(LONG, 8, 100, colour) for colour in (False, True))
    assert coloured[0] == "\x1b[31;1mproblem\x1b[0m" + plain[0][len("problem") :]
    assert coloured[1:] == plain[1:]


def test_the_summary_counts():
    fine = Check("time", "ok", "2026", "")
    assert summary_line([fine, LONG]) == "1 problem, no notes"
    assert summary_line([fine, fine._replace(status="note")]) == "no problem, 1 note"
    assert summary_line([LONG, LONG]) == "2 problems, no notes"


def test_programs_get_one_object():
    record = as_json([LONG])
    assert record["problems"] == 1
    assert record["checks"] == [
        {"name": "memory", "status": "problem", "what": LONG.what, "mend": "sudo fallocate -l 4G /x"}
    ]
