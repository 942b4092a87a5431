"""The report of a run: one HTML file that needs nothing beside it."""

from hvdcells.report.page import renew_report, write_report

__all__ = ["renew_report", "write_report"]
