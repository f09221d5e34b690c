"""A map with named streets for tests: an avenue with two carriageways in Tashkent, its crossings, and its namesake.

Columns run east and rows north in steps of some 200 m. The avenue leads from column 0 to column 10, eastward on row 0,
westward a fifth of a step north of it. Navoiy crosses both carriageways in column 2, Bobur meets the southern one in
column 6 from the south, and on row -1 a lane with a footpath's distance to it runs beside the avenue.
"""

from pathlib import Path

from dispatch.cli import main
from tests.routing.osm_files import Drawn, drawn

ROW, COLUMN = 155.0, 120.0
"""Where the corner of the avenue lies on the sheet."""
AVENUE, NAVOIY, BOBUR = "Amir Temur shoh koʻchasi", "Alisher Navoiy koʻchasi", "Bobur koʻchasi"
NAMES = {"name": AVENUE, "name__ru": "проспект Амира Темура"}
APART = 0.2
"""Between the carriageways, in steps."""


def avenue() -> Drawn:
    """The sheet; nodes are numbered by their row and column."""
    sheet = drawn()
    for column in (0, 2, 4, 6, 10):
        sheet.node(100 + column, ROW, COLUMN + column)
        sheet.node(200 + column, ROW + APART, COLUMN + column)
    for column in (0, 2, 6, 10):
        sheet.node(300 + column, ROW - 2, COLUMN + column)
    sheet.node(402, ROW + 3, COLUMN + 2)
    for column in (0, 10):
        sheet.node(500 + column, ROW - 0.08, COLUMN + column)
    for step, (a, b) in enumerate([(0, 2), (2, 4), (4, 6), (6, 10)]):
        sheet.way(11 + step, [100 + a, 100 + b], highway="primary", oneway="yes", **NAMES)
        sheet.way(21 + step, [200 + b, 200 + a], highway="primary", oneway="yes", **NAMES)
    sheet.way(31, [100, 200], highway="primary")
    sheet.way(32, [110, 210], highway="primary")
    sheet.way(41, [302, 102, 202, 402], name=NAVOIY, name__ru="улица Алишера Навои")
    sheet.way(42, [306, 106], name=BOBUR)
    sheet.way(43, [300, 302, 306, 310], name="Mustaqillik koʻchasi")
    sheet.way(44, [300, 100])
    sheet.way(45, [310, 110])
    sheet.way(46, [500, 510])  # a lane 16 m south of the avenue
    sheet.way(47, [500, 300])
    sheet.way(48, [510, 310])
    _namesake(sheet)
    _district(sheet)
    return sheet


def _namesake(sheet: Drawn) -> None:
    """An avenue of the same name in Samarkand, at the end of a long road without one."""
    sheet.node(600, -672, -1014)
    sheet.node(601, -672, -1010)
    sheet.way(61, [600, 601], highway="primary", **NAMES)
    sheet.way(62, [601, 300], highway="trunk")


def _district(sheet: Drawn) -> None:
    """A district that the avenue leaves in column 5."""
    corners = ((700, -5, -5), (701, -5, 5), (702, 5, 5), (703, 5, -5))
    for number, row, column in corners:
        sheet.node(number, ROW + row, COLUMN + column)
    sheet.ways[71] = ([700, 701, 702], {})
    sheet.ways[72] = ([702, 703, 700], {})
    said = {"type": "boundary", "boundary": "administrative", "admin_level": "6", "name": "Yunusobod tumani"}
    sheet.relations.append(([("w", 71, "outer"), ("w", 72, "outer")], {**said, "name:ru": "Юнусабадский район"}))


def avenue_map(directory: Path) -> Path:
    """The sheet as a map folder, imported by the command itself."""
    extract = avenue().write(directory / "avenue.osm.pbf")
    assert main(["import-map", str(extract), "--map", str(directory / "map")]) == 0
    return directory / "map"
