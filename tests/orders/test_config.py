"""`[orders]` of the line's file."""

from pathlib import Path

import pytest

from edge.config import load
from edge.errors import ConfigError
from tests.board.agent import write_line


def written(folder: Path, table: str) -> Path:
    file = write_line(folder)
    file.write_text(f"{file.read_text()}\n{table}\n")
    return file


def test_a_relative_folder_is_in_the_data_folder(tmp_path: Path) -> None:
    file = written(tmp_path, '[orders]\nfolder = "in/orders"')
    assert load(file).orders_folder == tmp_path / "data/in/orders"
    assert load(file, tmp_path / "other").orders_folder == tmp_path / "other/in/orders"


def test_an_absolute_folder_stays_where_it_is(tmp_path: Path) -> None:
    assert load(written(tmp_path, '[orders]\nfolder = "/srv/orders"')).orders_folder == Path("/srv/orders")


def test_without_a_folder_none_is_watched(tmp_path: Path) -> None:
    assert load(write_line(tmp_path)).orders_folder is None
    assert load(written(tmp_path, "[orders]")).orders_folder is None


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("[orders]\nfolder = 5", "orders.folder: must be text in quotes, found 5"),
        ('[orders]\nfolder = ""', "orders.folder: string should have at least 1 character"),
        ('[orders]\nfolders = "a"', 'orders.folders: is not a key here (did you mean "folder"?)'),
        ('[[orders]]\nfolder = "a"', "orders: must be a table"),
    ],
)
def test_what_is_wrong_is_told_with_its_key(tmp_path: Path, table: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, table))
    assert says in str(caught.value)
