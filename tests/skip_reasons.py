"""A pytest option that fails a run in which a test was skipped for an unexpected reason.

``pytest --only-skip-for GPU --only-skip-for CIFAR-10`` fails if any test is skipped whose reason contains neither text.
"""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option ``--only-skip-for``."""
    parser.addoption(
        "--only-skip-for",
        action="append",
        default=[],
        metavar="TEXT",
        help="fail if a test is skipped whose reason does not contain TEXT; may be given several times",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Start collecting reasons if the option is given."""
    allowed = config.getoption("only_skip_for")
    if allowed:
        config.pluginmanager.register(SkipReasons(allowed))


class SkipReasons:
    """Collect the tests and modules that were skipped for a reason that is not allowed, and fail the run.

    Parameters
    ----------
    allowed : list of str
        Texts of which a reason must contain one; case does not matter.
    """

    def __init__(self, allowed: list[str]) -> None:
        self._allowed = [text.lower() for text in allowed]
        self._unexpected: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Look at the outcome of a test."""
        self._add(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Look at the outcome of collecting a module, which ``importorskip`` may skip."""
        self._add(report)

    def _add(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
            if not any(text in reason.lower() for text in self._allowed):
                self._unexpected.append(f"{report.nodeid}: {reason}")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Turn the exit status of a run that passed into a failure."""
        if self._unexpected and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name the tests."""
        if self._unexpected:
            terminalreporter.section("tests skipped for a reason that --only-skip-for does not allow", red=True)
            for line in self._unexpected:
                terminalreporter.line(line)
