"""A sheet of the paper kit as one HTML page that needs nothing else: no script, no request, black on white, A4.

Whatever a person wrote passes through `text`: nothing that a caller says becomes a part of the page.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from itertools import chain

from consoles.catalogue import Words, incident_type_names, paper_words
from consoles.paper import CallLine, IncidentEntry, Sheet, place_of
from consoles.telephones import Telephone, of_region
from dispatch.core.terms import Assignment, Location, Priority, Unit
from routing.regions import region_facts

TASHKENT = timezone(timedelta(hours=5))
"""Wall clocks of the country; it has no summer time."""
LANGUAGES: Mapping[str, tuple[str, ...]] = {"UZ-QR": ("kaa", "uz-Latn", "ru")}
OTHERWISE = ("uz-Latn", "ru")
"""Languages of a region's page: each word stands there in each of them."""
CALL_LINES, UNIT_LINES = 24, 30
TEXT_MAX = 600
"""Of what one caller or one note says; a page must stay printable."""

_UNSEEN = dict.fromkeys([*range(32), 127, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2066, 0x206A)], " ")
"""Control characters, and those that turn the direction of what follows them."""

STYLE = """
@page { size: A4; margin: 12mm 10mm 14mm }
* { box-sizing: border-box }
body { font: 9.5pt/1.3 'Noto Sans', 'DejaVu Sans', Arial, sans-serif; color: #000; background: #fff; margin: 0 auto;
  max-width: 190mm }
header { border: 2pt solid #000; padding: 2mm 3mm; margin: 2mm 0 }
h1 { font-size: 15pt; margin: 0 } h2 { font-size: 12pt; margin: 6mm 0 1.5mm; border-bottom: 1.5pt solid #000 }
.moment { font-size: 26pt; font-weight: bold; letter-spacing: .5pt; margin: 1mm 0 }
.mode, .warn { font-weight: bold; border: 1.5pt solid #000; padding: 0 1.5mm; display: inline-block }
table { width: 100%; border-collapse: collapse; table-layout: fixed; overflow-wrap: anywhere }
th, td { border: .5pt solid #000; padding: .7mm 1.2mm; text-align: left; vertical-align: top }
th { background: #e8e8e8; font-size: 7pt; print-color-adjust: exact; -webkit-print-color-adjust: exact }
thead { display: table-header-group } tr, .incident { break-inside: avoid }
.incident { border: 1pt solid #000; margin: 0 0 3mm; padding: 1.5mm 2mm }
.incident h3 { margin: 0 0 1mm; font-size: 11pt } .incident p { margin: .6mm 0 } .incident table { margin-top: 1mm }
.P1 { border-width: 3pt } .P1 h3 b:first-child { background: #000; color: #fff; padding: 0 1.5mm;
  print-color-adjust: exact; -webkit-print-color-adjust: exact }
.said { white-space: pre-wrap } .quiet { font-size: 8pt } .form td { height: 9mm } .form { break-before: page }
ul { list-style: none; padding: 0 } li { border-bottom: .5pt solid #000; padding: 1.5mm 0; font-size: 12pt }
"""

ENDING = "</body></html>\n"


class Page:
    """Renders sheets in certain languages, or in those of each region."""

    def __init__(self, languages: Sequence[str] = ()) -> None:
        self._languages = tuple(languages)
        self._words: Words = paper_words()
        self._types: Words = incident_type_names()
        self._tags: tuple[str, ...] = OTHERWISE
        self._shown: dict[str, str] = {}
        """The words of one page, which stand there thousands of times."""

    def of(self, sheet: Sheet) -> Iterator[str]:
        """The page of a region, piece by piece: a row or an incident is a piece, so that none takes long."""
        self._speak(self._languages or LANGUAGES.get(sheet.region, OTHERWISE))
        names = region_facts()[sheet.region].names if sheet.region in region_facts() else None
        title = " · ".join(dict.fromkeys(names.in_language(tag) for tag in self._tags)) if names else sheet.region
        yield opening(self._tags[0], f"{title} {_clock(sheet.written_at)}")
        yield self._header(sheet, text(f"{title} ({sheet.region})"))
        yield from self._calls(sheet)
        yield from self._incidents(sheet)
        yield from self._units(sheet)
        yield from self._telephones(sheet)
        yield from self._forms()
        yield ENDING

    def index(self, sheets: Sequence[Sheet], folder: str, older: Iterable[str]) -> str:
        """The page that leads to the regions' pages in `folder`, and to older writings."""
        self._speak(self._languages or OTHERWISE)
        first = sheets[0]
        lines = []
        for sheet in sheets:
            name = region_facts()[sheet.region].names.in_language(self._tags[0])
            counts = f"{self.word('paper.incidents')}: {len(sheet.incidents) + sheet.more_incidents}, "
            counts += f"{self.word('paper.calls')}: {len(sheet.calls) + sheet.more_calls}"
            link = f"{folder}/{sheet.region}.html"
            lines.append(f'<li><a href="{text(link)}">{text(name)} ({text(sheet.region)})</a><br>{counts}</li>')
        old = "".join(f'<li class="quiet">{text(each)}</li>' for each in older)
        body = f"{self._header(first, self.word('paper.print'))}<ul>{''.join(lines)}</ul><ul>{old}</ul>"
        return opening(self._tags[0], f"112 {_clock(first.written_at)}") + body + ENDING

    def word(self, name: str) -> str:
        """A word of the catalogue in each language of the page; one that is not there is shown as it is."""
        shown = self._shown.get(name)
        if shown is None:
            shown = self._shown[name] = self._in_languages(self._words.get(name), name.rpartition(".")[2])
        return shown

    def _speak(self, tags: tuple[str, ...]) -> None:
        self._tags = tags
        self._shown.clear()

    def _in_languages(self, names: Mapping[str, str] | None, otherwise: str) -> str:
        return text(" · ".join(dict.fromkeys(names[tag] for tag in self._tags)) if names else otherwise)

    def _header(self, sheet: Sheet, title: str) -> str:
        """`title` is HTML already."""
        service = abs((sheet.service_at - sheet.written_at).total_seconds()) > 60
        lines = [
            f"<h1>{title}</h1>",
            f'<div class="quiet">{self.word("paper.title")} — {self.word("paper.written")}</div>',
            f'<div class="moment">{_clock(sheet.written_at)}</div>',
            f"<p>{self.word('paper.service_time')}: {_clock(sheet.service_at)}</p>" if service else "",
            f"<p><b>{self.word('paper.stale')}</b><br>{self.word('paper.private')}</p>",
            f'<span class="mode">{self.word(f"mode.{sheet.mode}")}</span>' if sheet.mode != "LIVE" else "",
            f' <span class="warn">{self.word("paper.words_away")}</span>' if sheet.words_away else "",
        ]
        return f"<header>{''.join(lines)}</header>"

    def _section(self, name: str, more: int, content: Iterable[str]) -> Iterator[str]:
        yield f"<section><h2>{self.word(name)}</h2>"
        if more:
            yield f'<p class="warn">{self.word("paper.more")}: {more}</p>'
        empty = True
        for piece in content:
            empty = False
            yield piece
        if empty:
            yield f"<p>{self.word('paper.none')}</p>"
        yield "</section>"

    def _table(self, columns: Sequence[tuple[str, int]], rows: Iterable[Sequence[str]]) -> Iterator[str]:
        """Rows of cells that are HTML already; widths in percent. Nothing at all without rows."""
        empty = True
        for row in rows:
            if empty:
                heads = (f'<th style="width:{width}%">{self.word(f"paper.{name}")}</th>' for name, width in columns)
                yield f"<table><thead><tr>{''.join(heads)}</tr></thead><tbody>"
            empty = False
            yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>"
        if not empty:
            yield "</tbody></table>"

    def _calls(self, sheet: Sheet) -> Iterator[str]:
        columns = (("time", 11), ("status", 16), ("place", 26), ("caller", 19), ("words", 28))
        rows = (
            (
                f"{_short(line.call.at, sheet)}<br>{self.word(f'channel.{line.call.channel}')}",
                self.word(f"call.{line.call.status}"),
                self._place(line.call.location),
                self._caller(line),
                self._said(line),
            )
            for line in sheet.calls
        )
        return self._section("paper.calls", sheet.more_calls, self._table(columns, rows))

    def _incidents(self, sheet: Sheet) -> Iterator[str]:
        content = (self._incident(entry, sheet) for entry in sheet.incidents)
        return self._section("paper.incidents", sheet.more_incidents, content)

    def _incident(self, entry: IncidentEntry, sheet: Sheet) -> str:
        incident = entry.incident
        kind = self._in_languages(self._types.get(incident.incident_type), incident.incident_type)
        head = f"<b>{text(incident.priority)}</b> <b>{text(incident.incident_id)}</b> {kind}"
        held = f" — {self.word('paper.held')}" if incident.held else ""
        lines = [
            f"<h3>{head}</h3>",
            f"<p>{_short(incident.opened_at, sheet)} · {self.word(f'priority.{incident.priority}')}",
            f" · {self.word(f'incident.{incident.status}')}{held}</p>",
            f"<p><b>{self.word('paper.place')}:</b> {self._place(incident.location, ' · ')}</p>",
            "".join(self._call(line, sheet) for line in entry.calls),
            f"<p>{self.word('paper.calls')}: + {entry.more_calls}</p>" if entry.more_calls > 0 else "",
            "".join(f'<p class="said">✎ {text(note)}</p>' for note in entry.notes),
        ]
        if entry.lacking:
            lacking = (f"{n.count} × {self.word(f'body.{n.body}')} ({text(n.capability)})" for n in entry.lacking)
            lines.append(f"<p><b>{self.word('paper.lacking')}:</b> {', '.join(lacking)}</p>")
        lines.append(self._assigned(entry.units, sheet))
        urgent = " P1" if incident.priority is Priority.P1 else ""
        return f'<div class="incident{urgent}" id="{text(incident.incident_id)}">{"".join(lines)}</div>'

    def _call(self, line: CallLine, sheet: Sheet) -> str:
        return f'<p class="said">☎ {_short(line.call.at, sheet)} {self._caller(line)} {self._said(line)}</p>'

    def _assigned(self, units: Sequence[Assignment], sheet: Sheet) -> str:
        columns = (
            ("call_sign", 16), ("status", 19), ("sent", 13), ("accepted", 13), ("en_route", 12), ("arrived", 12),
            ("cleared", 15),
        )  # fmt: skip
        rows = [
            (
                f"<b>{text(unit.call_sign)}</b>",
                self.word(f"status.{unit.status}"),
                *(_short(at, sheet) for at in (unit.assigned_at, unit.accepted_at, unit.en_route_at, unit.on_scene_at)),
                "",
            )
            for unit in units
        ]
        return "".join(self._table(columns, rows))

    def _units(self, sheet: Sheet) -> Iterator[str]:
        columns = (("call_sign", 16), ("station", 20), ("status", 22), ("since", 10), ("incident", 12), ("phone", 20))
        contacts = {each.unit_id: each for each in sheet.telephones or () if each.unit_id}
        rows = (self._unit(unit, sheet, contacts.get(unit.unit_id)) for unit in sheet.units)
        return self._section("paper.units", 0, self._table(columns, rows))

    def _unit(self, unit: Unit, sheet: Sheet, contact: Telephone | None) -> tuple[str, ...]:
        lost = f" — <b>{self.word('paper.lost')}</b>" if unit.on_shift and not unit.linked else ""
        return (
            f"<b>{text(unit.call_sign)}</b><br>{self.word(f'body.{unit.body}')}",
            text(unit.station),
            self.word(f"status.{unit.status}") + lost,
            _short(unit.since, sheet),
            text(unit.incident_id or ""),
            "<br>".join(map(text, filter(None, (contact.phone, contact.radio)))) if contact is not None else "",
        )

    def _telephones(self, sheet: Sheet) -> Iterator[str]:
        columns = (("name", 50), ("phone", 30), ("radio", 20))
        beside = {unit.unit_id for unit in sheet.units}  # Theirs stand in the table of units.
        listed = [each for each in of_region(sheet.telephones or (), sheet.region) if each.unit_id not in beside]
        rows = ((text(each.name), text(each.phone), text(each.radio)) for each in listed)
        lacking = "paper.bad_telephones" if sheet.telephone_fault else "paper.no_telephones"
        said = (f'<p class="warn">{self.word(lacking)}</p>',) if sheet.telephones is None else ()
        return self._section("paper.telephones", 0, chain(said, self._table(columns, rows)))

    def _forms(self) -> Iterator[str]:
        calls = (
            ("time", 9),
            ("caller", 18),
            ("place", 25),
            ("words", 24),
            ("priority", 8),
            ("call_sign", 9),
            ("who", 7),
        )
        units = (
            ("time", 9), ("call_sign", 14), ("incident", 13), ("sent", 12), ("en_route", 12), ("arrived", 12),
            ("cleared", 12), ("who", 16),
        )  # fmt: skip
        for form, columns, lines in (("call_form", calls, CALL_LINES), ("unit_form", units, UNIT_LINES)):
            yield f'<section class="form"><h2>{self.word(f"paper.{form}")}</h2>'
            yield from self._table(columns, [[""] * len(columns)] * lines)
            yield "</section>"

    def _place(self, location: Location | None, between: str = "<br>") -> str:
        lines = place_of(location, self._tags)
        return between.join(map(text, lines)) or f"<b>{self.word('paper.no_place')}</b>"

    def _caller(self, line: CallLine) -> str:
        if line.missing:
            return f"[{self.word(f'paper.{line.missing}')}]"
        known = line.caller
        number = (known.number or known.number_as_sent) if known is not None else None
        shown = f"<b>{text(number)}</b>" if number else self.word("paper.no_number")
        return shown + (f" {text(known.name)}" if known is not None and known.name else "")

    def _said(self, line: CallLine) -> str:
        known = line.caller
        said = [] if known is None else [*([known.text] if known.text else []), *known.places]
        return "<br>".join(map(text, said))


def opening(language: str, title: str) -> str:
    """How a page begins; the policy in its head forbids whatever would leave the page."""
    return (
        f'<!doctype html>\n<html lang="{text(language)}"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{text(title)}</title><style>{STYLE}</style></head>\n<body>"
    )


def text(said: str) -> str:
    """What somebody wrote, as text of a page: shortened, without unseen characters, nothing of it markup."""
    shown = said if len(said) <= TEXT_MAX else said[:TEXT_MAX] + "…"
    return html.escape(shown.translate(_UNSEEN).encode("utf-8", "replace").decode(), quote=True)


def _clock(at: datetime) -> str:
    return f"{at.astimezone(TASHKENT):%d.%m.%Y %H:%M:%S}"


def _short(at: datetime | None, sheet: Sheet) -> str:
    """The time of day; with the day when it is another one than that of the page."""
    if at is None:
        return ""
    local, today = at.astimezone(TASHKENT), sheet.service_at.astimezone(TASHKENT).date()
    return f"{local:%H:%M:%S}" if local.date() == today else f"{local:%d.%m. %H:%M}"
