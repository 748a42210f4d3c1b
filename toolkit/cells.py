"""Cells of CSV files that people open in a spreadsheet, which takes some texts for formulas.

A spreadsheet that opens a file of ours must not run what somebody has written into a tag or a text
(CSV injection, OWASP).
"""

# Their full-width forms begin a formula, too, where East Asian input methods are used.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
QUOTE = "'"


def as_text(cell: str) -> str:
    """Return a cell that a spreadsheet shows as it is, with an apostrophe before it if need be."""
    return QUOTE + cell if cell.startswith(FORMULA_STARTS) else cell


def as_written(cell: str) -> str:
    """Return what `as_text` was given: a file of ours can be sent back to us as it is."""
    return cell[1:] if cell.startswith(QUOTE) and cell[1:].startswith(FORMULA_STARTS) else cell
