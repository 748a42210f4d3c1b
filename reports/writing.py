"""What a letter looks like: one content, as HTML for mail programs and as plain text.

Mail programs drop SVG and scripts, and some know no more of CSS than colours and widths. So bars
are cells of tables, of a fixed height.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from django.template.loader import render_to_string
from django.utils.text import Truncator
from django.utils.translation import gettext

from mailings.models import Mailing
from messages_app.models import ErrorCode
from reports.models import Recipient
from toolkit.console.numbers import number

HIGH = 96  # pixels of the highest bar
WIDE = 24  # characters of the longest bar in plain text
EXCERPT = 40  # characters of a mailing's text


@dataclass(frozen=True)
class Figure:
    """A number that counts something; its colour is a class of the template."""

    name: str
    value: int
    colour: str = ""

    @property
    def shown(self) -> str:
        """The number in the reader's language."""
        return number(self.value)


@dataclass(frozen=True)
class Bar:
    """One bar of a chart: what it is for, and the figures that it is piled up of, the lowest first.

    Only some bars have their name written below them.
    """

    name: str
    figures: Sequence[Figure]
    is_named: bool = False

    @property
    def total(self) -> int:
        """How much it stands for."""
        return sum(figure.value for figure in self.figures)


@dataclass(frozen=True)
class Table:
    """Rows of texts below headers; the first column is the name of a row."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def named(self) -> list[list[tuple[str, str]]]:
        """Return the rows as [(header, cell)]."""
        return [list(zip(self.headers, row, strict=True)) for row in self.rows]


@dataclass(frozen=True)
class Content:
    """All that a letter says, in the reader's language."""

    subject: str
    title: str
    about: str
    figures: Sequence[Figure]
    chart_title: str = ""
    bars: Sequence[Bar] = ()
    tables: Sequence[Table] = ()
    marks_title: str = ""
    marks: Sequence[tuple[str, str]] = ()  # names, and what is to be copied letter by letter
    notes: Sequence[str] = ()


def whence(recipient: Recipient) -> str:
    """Return why somebody gets a letter, and how they get none."""
    if recipient.pk:
        return gettext(
            "You get this because you are among the recipients of reports in the console."
        )
    return gettext("You get this because the setting REPORT_RECIPIENTS has your address.")


def name_of(mailing: Mailing) -> str:
    """Return how a letter calls a mailing: by its number, and how its text begins."""
    return f"{mailing.pk}. {Truncator(' '.join(mailing.text.split())).chars(EXCERPT)}"


def reason_of(code: str) -> str:
    """Return in words why messages failed."""
    known = code in ErrorCode.values
    return str(ErrorCode(code).label) if known else code or gettext("Unknown")


def as_html(content: Content) -> str:
    """Return a letter as HTML."""
    top = max((bar.total for bar in content.bars), default=0)
    bars = [(bar, _heights(bar, top)) for bar in content.bars]
    return render_to_string(
        "reports/letter.html", {"content": content, "bars": bars if top else []}
    )


def as_text(content: Content) -> str:
    """Return a letter as plain text."""
    lines = [content.title, content.about, ""]
    lines += [f"{figure.name}: {figure.shown}" for figure in content.figures]
    top = max((bar.total for bar in content.bars), default=0)
    if top:
        lines += ["", content.chart_title, ""]
        lines += [_line(bar, top) for bar in content.bars if bar.total]
    for table in content.tables:
        lines += ["", table.title, ""]
        for (_, name), *cells in table.named():
            lines += [name, f"  {', '.join(f'{header}: {cell}' for header, cell in cells)}"]
        lines += [table.note] if table.note else []
    if content.marks:
        lines += ["", content.marks_title, "", *(f"{name}: {text}" for name, text in content.marks)]
    lines += ["", *content.notes]
    return "\n".join(lines)


def _heights(bar: Bar, top: int) -> list[tuple[int, str]]:
    """Return [(pixels, colour)] of a bar from its top to its foot; what is not nothing is seen."""
    parts = [
        (max(2, round(HIGH * figure.value / top)), figure.colour)
        for figure in reversed(bar.figures)
        if figure.value
    ]
    return [(max(1, HIGH - sum(high for high, _ in parts)), "empty"), *parts]


def _line(bar: Bar, top: int) -> str:
    drawn = "█" * max(1, round(WIDE * bar.total / top))
    said = ", ".join(f"{each.shown} {each.name.lower()}" for each in bar.figures if each.value)
    return f"{bar.name}  {drawn:{WIDE}}  {said}"
