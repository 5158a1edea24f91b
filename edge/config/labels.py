"""`[labels]`: what a plant's own labels mean, and how those of others are read. Its page is labels.md."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from edge.config.faults import Faults, nearest
from edge.config.tables import Name, Text
from edge.contract import Settings
from edge.patterns import MOST_STEPS, check_pattern
from edge.production.alias import ALSO, MAIN
from edge.production.gs1 import GS, as_gtin
from edge.production.iso15434 import EOT, RS
from edge.production.label import Alias, Label, LabelRules
from edge.production.scanning import LONGEST, describe, read_label
from edge.production.verbs import COMMANDS, is_command

LONGEST_ALIAS = 256
"""Characters of a plant's own label."""
MOST_ALIASES = 50
MOST_ITEMS = 10_000

MEANS = {
    "badge": "E", "job": "J", "lot": "L", "serial": "S", "tool": "T", "pack": "P", "scrap": "X",
    "downtime": "D", "quantity": "Q", "command": "C",
}  # fmt: skip
Means = Literal["badge", "job", "lot", "serial", "tool", "pack", "scrap", "downtime", "quantity", "command"]


def _stand_in(text: str) -> str:
    if text.isalnum() or not (text.isascii() and text.isprintable()):
        raise ValueError('must hold a character that is no letter and no digit, such as "{GS}" or "^]"')
    return text


def _pattern(text: str) -> str:
    check_pattern(text, LONGEST_ALIAS)
    return text


StandIn = Annotated[str, Field(min_length=1, max_length=8), AfterValidator(_stand_in)]
Item = Annotated[Text, Field(description="As orders name it.")]
Example = Annotated[str, Field(min_length=1, max_length=LONGEST)]


class AliasTable(Settings):
    """`[[labels.alias]]`: a plant's own label."""

    name: Name
    """It is told with every fault of such a label, and recorded with what was read."""
    pattern: Annotated[str, AfterValidator(_pattern)]
    """A regular expression that matches the whole label. Its named groups are what is meant; without any,
    the whole label is the name."""
    means: Means
    """What such a label names."""
    value: Text | None = None
    """What it names whatever is on it: `value = "START"` of a command."""
    item: Item | None = None
    """What it is one of, where the label itself does not say."""
    example: Annotated[list[Example], Field(min_length=1, max_length=20)] | Example
    """A label as the gun sends it, or several: each is tried when the file is checked."""

    @property
    def examples(self) -> list[str]:
        return [self.example] if isinstance(self.example, str) else list(self.example)


class LabelsTable(Settings):
    """`[labels]`, without its aliases."""

    aim: Literal["optional", "required"] = "optional"
    """Whether a label without an AIM identifier before it is refused."""
    gs1: Literal["marked", "unmarked"] = "marked"
    """Whether digits are read as GS1 where only their check digit speaks for it."""
    end: Literal["required", "optional"] = "required"
    """Whether an ISO 15434 message must have its end (RS EOT)."""
    serials: Literal["with-item", "alone"] = "with-item"
    """How a unit is named: by item number and serial, or by the serial, where no two items share one."""
    gs: StandIn | None = None
    """What the gun sends in place of the control character GS (0x1D)."""
    rs: StandIn | None = None
    """The same of RS (0x1E)."""
    eot: StandIn | None = None
    """The same of EOT (0x04)."""
    items: Annotated[dict[str, Item], Field(max_length=MOST_ITEMS)] = Field(default_factory=dict)
    """From a GTIN or a part number to the item or material as orders name it."""


def build_labels(table: Mapping[str, Any], faults: Faults) -> tuple[LabelRules, tuple[str, ...]]:
    """The rules, and in words what each example means."""
    aliases = _aliases(table.get("alias", []), faults)
    rest = {key: value for key, value in table.items() if key != "alias"}
    own = faults.check(LabelsTable, rest, "labels", ["alias"]) or LabelsTable()
    rules = LabelRules(
        tuple(_alias(one, faults) for one in aliases), _items(own.items, faults), own.aim == "required",
        own.gs1 == "unmarked", own.end == "optional", own.serials == "alone", _stand_ins(own, faults),
    )  # fmt: skip
    return rules, tuple(words for one in aliases for words in _tried(one, rules, faults))


def _aliases(tables: object, faults: Faults) -> list[AliasTable]:
    if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
        faults.add("labels.alias", "must be written with two brackets", "[[labels.alias]]")
        return []
    if len(tables) > MOST_ALIASES:
        faults.add("labels.alias", f"is there {len(tables)} times, at most {MOST_ALIASES}")
    keys = [_key(one.get("name") or place) for place, one in enumerate(tables, 1)]
    found = [faults.check(AliasTable, one, key) for one, key in zip(tables, keys, strict=True)]
    read = [one for one in found if one is not None]
    names = [one.name for one in read]
    for name in dict.fromkeys(names):
        if names.count(name) > 1 or name in ("internal", "gs1", "iso15434"):
            faults.add(f"{_key(name)}.name", "is taken: each alias has a name of its own")
    steps = sum(check_pattern(one.pattern, LONGEST_ALIAS).steps for one in read)
    if steps > MOST_STEPS:
        what = "could together take too long on one label"
        faults.add("labels.alias", what, "bound their repeats: [A-Z]{1,12} instead of [A-Z]+, and no .*")
    return read


def _key(name: object) -> str:
    return f"labels.alias[{name}]"


def _alias(table: AliasTable, faults: Faults) -> Alias:
    letter = MEANS[table.means]
    checked = check_pattern(table.pattern, LONGEST_ALIAS)
    for what, hint in _doubtful_groups(letter, set(checked.pattern.groupindex), table):
        faults.add(f"{_key(table.name)}.pattern", what, hint)
    if letter == "C" and table.value is not None and not is_command(table.value):
        what = f"is {table.value!a}, which is no command"
        faults.add(f"{_key(table.name)}.value", what, nearest(table.value, (*COMMANDS, "BACK20")))
    if table.item is not None and "item" not in ALSO.get(letter, ()):
        faults.add(f"{_key(table.name)}.item", f"says nothing of a {table.means}")
    return Alias(table.name, checked.pattern, letter, table.value or "", table.item or "", checked.longest)


def _doubtful_groups(letter: str, groups: set[str], table: AliasTable) -> Iterable[tuple[str, str]]:
    main = MAIN[letter]
    may = [main, *ALSO.get(letter, ())]
    for group in sorted(groups - set(may)):
        yield f"has a group {group}, which a {table.means} does not have", nearest(group, may)
    if table.value is not None and main in groups:
        yield f"has a group {main} beside the key value", "write one of them"
    if table.value is None and groups & set(may) and main not in groups:
        yield f"names {', '.join(sorted(groups & set(may)))} and not {main}", f"(?P<{main}>...)"


def _tried(table: AliasTable, rules: LabelRules, faults: Faults) -> Iterable[str]:
    for example in table.examples:
        label = read_label(example, rules)
        if isinstance(label, Label) and label.form == table.name:
            if label.letter == "C" and table.value is None and not is_command(label.body):
                what = f"{example!a} is {label.body!a}, which is no command"
                faults.add(f"{_key(table.name)}.example", what, nearest(label.body, (*COMMANDS, "BACK20")))
            yield f"{table.name}: {ascii(example)[1:-1]} is {describe(label)}"
        else:
            what = f"is read as {label.form}: {describe(label)}" if isinstance(label, Label) else label
            faults.add(f"{_key(table.name)}.example", f"{example!a}: {what}", _why(table, example))


def _why(table: AliasTable, example: str) -> str:
    checked = check_pattern(table.pattern, LONGEST_ALIAS)
    matches = len(example) <= checked.longest and checked.pattern.fullmatch(example.strip()) is not None
    return "" if matches else "the pattern does not match all of it"


def _items(table: Mapping[str, str], faults: Faults) -> dict[str, str]:
    """Each under its number as written, and a GTIN also with 14 digits, as labels have it."""
    found = dict(table)
    for number, item in table.items():
        key = f"labels.items.{number}"
        if not 0 < len(number) <= 50 or not number.isprintable():
            faults.add(key, "is no GTIN and no part number: 1 to 50 printable characters")
        gtin = as_gtin(number)
        if gtin is None and number.isascii() and number.isdigit() and len(number) in (13, 14):
            faults.add(key, "has a wrong check digit for a GTIN")
        if gtin is not None and found.setdefault(gtin, item) != item:
            faults.add(key, f"is the GTIN {gtin}, which is {found[gtin]} already")
    return found


def _stand_ins(table: LabelsTable, faults: Faults) -> tuple[tuple[str, str], ...]:
    written = [("gs", table.gs, GS), ("rs", table.rs, RS), ("eot", table.eot, EOT)]
    found = [(key, text, control) for key, text, control in written if text is not None]
    for key, text, _ in found:
        other = next((one for one, longer, _ in found if one != key and text in longer), None)
        if other is not None:
            faults.add(f"labels.{key}", f"is a part of labels.{other}: they cannot be told apart")
    return tuple((text, control) for _, text, control in found)
