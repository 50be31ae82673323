"""docs/states.md is what the event table says."""

from __future__ import annotations

from pathlib import Path

from conformance.tcp import diagram
from conformance.tcp.states import OTHER_ROWS, SEGMENT_ROWS, State

PAGE = Path(__file__).parents[2] / "docs" / "states.md"

# Figure 5 of RFC 9293, the arrows that a segment causes, and notes 1 to 3.
FIGURE = """
LISTEN SYN-RECEIVED, SYN-SENT SYN-RECEIVED, SYN-SENT ESTABLISHED, SYN-RECEIVED ESTABLISHED, SYN-RECEIVED LISTEN,
ESTABLISHED CLOSE-WAIT, FIN-WAIT-1 FIN-WAIT-2, FIN-WAIT-1 CLOSING, FIN-WAIT-1 TIME-WAIT, FIN-WAIT-2 TIME-WAIT,
CLOSING TIME-WAIT, LAST-ACK CLOSED,
CLOSED LISTEN, CLOSED SYN-SENT, LISTEN CLOSED, LISTEN SYN-SENT, SYN-SENT CLOSED, SYN-RECEIVED FIN-WAIT-1,
ESTABLISHED FIN-WAIT-1, CLOSE-WAIT LAST-ACK, TIME-WAIT CLOSED
"""


def test_the_page_is_drawn_from_the_table():
    assert PAGE.read_text() == diagram.document(), "run: python -m conformance.tcp.diagram > docs/states.md"


def test_every_arrow_of_figure_5_is_there():
    drawn = {(str(origin), str(to)) for origin, to in diagram.moves()}
    figure = {tuple(arrow.split()) for arrow in FIGURE.replace("\n", " ").split(",")}
    assert figure <= drawn
    # Beyond the figure: resets and give-ups to CLOSED, MAY-2, a FIN with the ACK of the SYN, and a FIN that comes
    # with the acceptable ACK of ours.
    beyond = {(o, t) for o, t in drawn - figure if t != "CLOSED"}
    assert beyond == {("TIME-WAIT", "SYN-RECEIVED"), ("SYN-RECEIVED", "CLOSE-WAIT")}


def test_every_row_has_its_line():
    text = diagram.document()
    assert text.count("\n| ") == len(SEGMENT_ROWS) + len(OTHER_ROWS) + len({row.check for row in SEGMENT_ROWS}) + 1
    assert all(f'state "{state}"' in text for state in State)
