# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What the commands that alert observers have in common."""

from __future__ import annotations

__all__ = ("AlertJudge", "alert_flags", "alert_options", "alert_table", "make_alert_judge", "with_alerts")

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from lsst.daf.butler import Butler
from lsst.ra.pipe.execution import ImageReport, RunRequest
from lsst.ra.pipe.execution.service import ServiceSettings

from ._progress import console
from ._queue_options import show_text

if TYPE_CHECKING:
    # Its package is imported when it is wanted.
    from lsst.ra.pipe.sinks.alerts import Alert, AlertRules

_OBSERVER = "lsst.ra.pipe.sinks.alerts:observe_service"
"""Observer of the live service."""

_STYLES = {"info": "blue", "warning": "yellow", "critical": "bold red"}


def alert_options[F: Callable[..., Any]](command: F) -> F:
    """Add the options that say what observers are alerted of.

    Parameters
    ----------
    command
        Body of a command; it takes ``alerts`` and ``no_alerts``.
    """
    for decorator in (
        click.option("--no-alerts", is_flag=True, help="Judge nothing by alert rules."),
        click.option(
            "--alerts",
            multiple=True,
            metavar="[INSTRUMENT=]FILE",
            help="Alert rules instead of $RA_PIPE_DIR/config/alerts/<instrument>.yaml.",
        ),
    ):
        command = decorator(command)
    return command


def with_alerts(settings: ServiceSettings, alerts: Iterable[str], *, no_alerts: bool) -> ServiceSettings:
    """Have the live service alert observers, or not.

    Parameters
    ----------
    settings
        Settings of the service.
    alerts
        Files of rules, as the option has them.
    no_alerts
        Whether there are to be none.

    Returns
    -------
    settings
        The same with rules and observer.

    Raises
    ------
    AlertRuleError
        Raised if anything is wrong with the rules.
    click.BadParameter
        Raised if a file is for no instrument of the service.
    """
    from lsst.ra.pipe.sinks.alerts import load_instrument_rules

    observers = tuple(name for name in settings.observers if name != _OBSERVER)
    if no_alerts:
        return settings.model_copy(update={"observers": observers})
    files = settings.alerts | dict(_parse(text, settings.instruments) for text in alerts)
    for name in settings.instruments:
        if (file := files.get(name)) != "":
            load_instrument_rules(name, file)
    return settings.model_copy(update={"alerts": files, "observers": (*observers, _OBSERVER)})


def alert_flags(settings: ServiceSettings) -> list[str]:
    """Return the options with which a command does as settings say.

    Parameters
    ----------
    settings
        Settings of the service, from `with_alerts` if it alerts observers.
    """
    if _OBSERVER not in settings.observers:
        return ["--no-alerts"]
    return [part for name, file in settings.alerts.items() for part in ("--alerts", f"{name}={file}")]


class AlertJudge:
    """Judges the exposures of a run by alert rules, in their order.

    Parameters
    ----------
    request
        What is run.
    rules
        The rules.
    """

    def __init__(self, request: RunRequest, rules: AlertRules) -> None:
        self._request = request
        self._rules = rules
        self._reports: list[ImageReport] = []

    def __call__(self, report: ImageReport) -> None:
        """Take down that an exposure was gathered.

        Parameters
        ----------
        report
            What became of an image.
        """
        if report.detector is None and report.run:
            self._reports.append(report)

    def finish(self) -> tuple[Alert, ...]:
        """Judge the exposures, log the alerts, and print them.

        Returns
        -------
        told
            Alerts that open, are repeated or close.
        """
        if not self._reports:
            return ()
        from lsst.ra.pipe.sinks.alerts import AlertMemory, AlertObserver, log_alert, recall_exposures

        told: list[Alert] = []

        def tell(alert: Alert) -> None:
            log_alert(alert)
            told.append(alert)

        reports = sorted(self._reports, key=lambda report: report.exposure)
        butler = Butler.from_config(self._request.repository, writeable=False)
        try:
            earlier = recall_exposures(
                butler,
                self._rules,
                instrument=self._request.instrument,
                before=reports[0].exposure,
                collections=[self._request.output],
            )
            rules = {self._request.instrument: self._rules}
            observer = AlertObserver(butler, rules, AlertMemory(earlier), on_alert=tell)
            for report in reports:
                observer(report)
        finally:
            butler.close()
        if told:
            console.print(alert_table("Alerts", told))
        return tuple(told)


def make_alert_judge(request: RunRequest, alerts: Iterable[str], *, no_alerts: bool) -> list[AlertJudge]:
    """Make what judges the exposures of a run.

    Parameters
    ----------
    request
        What is run.
    alerts
        Files of rules, as the option has them.
    no_alerts
        Whether there are to be none.

    Returns
    -------
    judges
        One, or none.

    Raises
    ------
    AlertRuleError
        Raised if anything is wrong with the rules.
    click.BadParameter
        Raised if a file is for another instrument.
    """
    if no_alerts:
        return []
    from lsst.ra.pipe.sinks.alerts import load_instrument_rules

    files = dict(_parse(text, (request.instrument,)) for text in alerts)
    rules = load_instrument_rules(request.instrument, files.get(request.instrument))
    return [AlertJudge(request, rules)]


def alert_table(title: str, alerts: Iterable[Alert]) -> Table:
    """Tabulate alerts.

    Parameters
    ----------
    title
        Title of the table.
    alerts
        What to tabulate.
    """
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for name in ("severity", "alert", "day", "seq", "since", "what"):
        table.add_column(
            name, justify="right" if name in ("seq", "since") else "left", no_wrap=name != "what"
        )
    for alert in alerts:
        table.add_row(
            Text(alert.severity.value, style=_STYLES[alert.severity.value]),
            Text(f"{alert.rule}" if alert.state == "open" else f"{alert.rule} ({alert.state.value})"),
            str(alert.day_obs),
            str(alert.seq_num),
            str(alert.since % 100_000),
            Text(show_text(alert.message)),
        )
    return table


def _parse(text: str, instruments: tuple[str, ...]) -> tuple[str, str]:
    name, equals, file = text.partition("=")
    if equals and name in instruments:
        return name, file
    if len(instruments) == 1:
        return instruments[0], text
    raise click.BadParameter(
        f"expected INSTRUMENT=FILE with one of {', '.join(instruments)}; got {text!r}", param_hint="--alerts"
    )
