"""A plant's own labels, read by the patterns of the line's file."""

from collections.abc import Mapping, Sequence

from edge.production.label import Alias, Label, LabelRules

MAIN = {
    "E": "badge", "J": "order", "L": "lot", "S": "serial", "T": "tool", "P": "pack",
    "X": "reason", "D": "reason", "Q": "quantity", "C": "command",
}  # fmt: skip
"""By letter: the group that says what is named. A pattern without it takes the whole label."""

ALSO: Mapping[str, Sequence[str]] = {
    "J": ("operation",), "L": ("item", "quantity"), "S": ("item", "lot"), "P": ("item", "lot", "quantity"),
}  # fmt: skip
"""By letter: what else a group may say."""

LONGEST_NAME = 80
MOST_DIGITS = 9


def read_alias(alias: Alias, text: str, rules: LabelRules) -> Label | str | None:
    """What the label means; why it cannot, in words; None where the pattern is not its own."""
    found = alias.pattern.fullmatch(text) if len(text) <= alias.longest else None
    if found is None:
        return None
    parts = {name: value.strip(" ") for name, value in found.groupdict().items() if value is not None}
    if MAIN[alias.letter] not in alias.pattern.groupindex:
        parts[MAIN[alias.letter]] = found[0]
    try:
        return _label(alias, parts, rules)
    except ValueError as fault:
        return f"{alias.name}: {fault}"


def _label(alias: Alias, parts: Mapping[str, str], rules: LabelRules) -> Label:
    """Raises ValueError in words."""
    name = _printable(alias.value or parts.get(MAIN[alias.letter], ""), MAIN[alias.letter])
    body, letter = _body(alias.letter, name, parts), alias.letter
    item = parts.get("item") or alias.item
    lot = name if letter == "L" else parts.get("lot")
    quantity = parts.get("quantity") if letter != "Q" else None
    return Label(
        letter, body, alias.name,
        rules.item_of(_printable(item, "item")) if item else None,
        _printable(lot, "lot") if lot else None,
        (_number(quantity, "quantity") or None) if quantity else None,
    )  # fmt: skip


def _body(letter: str, name: str, parts: Mapping[str, str]) -> str:
    """As the house's own labels write it: capitals for orders and commands, no leading zeros."""
    if letter == "J" and (operation := parts.get("operation")):
        return f"{name.upper()}-{_number(operation, 'operation')}"
    if letter == "Q":
        return str(_number(name, "quantity"))
    return name.upper() if letter in "JC" else name


def _printable(text: str, what: str) -> str:
    if not text or len(text) > LONGEST_NAME or not text.isprintable():
        raise ValueError(f"its {what} is empty, longer than {LONGEST_NAME} characters or not printable")
    return text


def _number(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS):
        raise ValueError(f"its {what} is no whole number of at most {MOST_DIGITS} digits")
    return int(text)
