"""Text from result files, which may be a stranger's, on its way into a table, a page or a terminal."""

import html
from typing import Any

from legoclf.benchmarks.device.result import Result, parse, to_json
from legoclf.errors import printable


def escaped(value: object) -> str:
    """For HTML, between tags or in a quoted attribute."""
    return html.escape(printable(str(value)))


def cell(value: object) -> str:
    """For a cell of a Markdown table: can neither end the cell nor begin HTML or code."""
    return printable(str(value)).replace("|", "\\|").replace("<", "&lt;").replace("`", "'")


def fit_for_markdown(result: Result) -> Result:
    """The result with each of its texts as :func:`cell` has it."""
    return parse(_cells(to_json(result)), result.kind)


def _cells(record: Any) -> Any:
    if isinstance(record, str):
        return cell(record)
    if isinstance(record, list):
        return [_cells(each) for each in record]
    if isinstance(record, dict):
        return {cell(name): _cells(each) for name, each in record.items()}
    return record
