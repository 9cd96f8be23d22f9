"""A test with real parts that fails is tried once more, and both tries are told.

Real machines, viewers and daemons share two cores here, and one in some thousand tests meets a moment that
neither it nor the program is at fault for. Such a test has passed when it passes alone; its first failure is
printed in full, to be looked into, and more than MOST of them fail the run. Tests without real parts have one
try. See docs/decisions/second-try.md.
"""

from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
WITH_REAL_PARTS = ("fuzz", "image", "interop", "libvirt", "qemu")
MOST = 3


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.pluginmanager.hasplugin("rerunfailures"):
        for item in items:
            if item.path.relative_to(TESTS).parts[0] in WITH_REAL_PARTS:
                item.add_marker(pytest.mark.flaky(reruns=1))


def first_failures(config: pytest.Config) -> list[pytest.TestReport]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return list(reporter.stats.get("rerun", [])) if reporter else []


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if len(first_failures(session.config)) > MOST:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    reports = first_failures(config)
    if not reports:
        return
    terminalreporter.section(f"tried a second time: {len(reports)}, of which a run may have {MOST}")
    for report in reports:
        terminalreporter.write_sep("_", f"{report.nodeid} ({report.when})")
        terminalreporter.write_line(str(report.longrepr))
