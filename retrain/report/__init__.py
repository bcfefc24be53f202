"""report/index.html of a bundle: what a run came to, in one page that needs no network, and its plots."""

from legoclf.retrain.report.content import Curve, ReportData
from legoclf.retrain.report.page import write_report

__all__ = ["Curve", "ReportData", "write_report"]
