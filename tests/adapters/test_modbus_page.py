"""The page about Modbus names every key, and what it shows as an example is a line that can be run."""

import re
from pathlib import Path

import pytest

from adapters import modbus
from adapters._modbus.units import UnitTable
from edge.config import load
from edge.contract import Settings

PAGE = Path(modbus.__file__).with_suffix(".md").read_text(encoding="utf-8")


@pytest.mark.parametrize("model", [modbus.Settings, UnitTable, modbus.Address, modbus.Switch])
def test_the_page_names_every_key(model: type[Settings]) -> None:
    keys = {field.alias or key for key, field in model.model_fields.items()} - {"type"}
    assert [key for key in sorted(keys) if f"`{key}`" not in PAGE] == []


def test_the_example_is_a_line(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)[:1]
    file = tmp_path / "line.toml"
    file.write_text(f'[line]\nname = "line-1"\n{example}', encoding="utf-8")
    config = load(file, tmp_path)
    (oven,) = config.telemetry
    assert list(oven.signals) == [*(f"zones_{at}" for at in range(8)), "pressure", "program"]


def test_every_order_in_the_page_is_what_words_and_bytes_say() -> None:
    rows = re.findall(r'`"([A-H]+)"` \| `words = "(\w+)"(?:, bytes = "(\w+)")?`', PAGE)
    assert len(rows) == 8
    for order, words, octets in rows:
        base = {"holding": 0, "as": "f32" if len(order) == 4 else "f64"}
        written = base | {"words": words} | ({"bytes": octets} if octets else {})
        both = [modbus.Address.model_validate(keys).form for keys in (base | {"order": order}, written)]
        assert both[0] == both[1]
