"""Who may send orders: tokens, wrong ones, and the table in the line's file."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.board.clients import ADDRESSES, LONGEST, PAUSE_S, SHORTEST, TRIES, Clients, Unknown, load_clients
from edge.config import load
from edge.config.tables import ClientTable
from edge.contract import Secret
from edge.errors import BoardRefused, ConfigError
from tests.board.agent import write_line

ERP, MES = "0123456789abcdef0123456789abcdef", "mes.token~of+32/characters-long=="
HOME = "127.0.0.1"


class Watch:
    """Time as the test moves it."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def clients(watch: Watch) -> Clients:
    return Clients({"erp": ERP, "mes": MES}, watch)


def unknown(clients: Clients, *authorization: str, address: str = HOME) -> Unknown:
    with pytest.raises(Unknown) as caught:
        clients.sender(authorization, address)
    return caught.value


# --- tokens -----------------------------------------------------------------------------------------


def test_each_client_is_known_by_its_token(clients: Clients) -> None:
    assert clients
    assert not Clients({})
    for header, name in [
        (f"Bearer {ERP}", "erp"),
        (f"bearer  {ERP} ", "erp"),
        (f"BEARER {MES}", "mes"),
    ]:
        assert clients.sender([header], HOME) == name


@pytest.mark.parametrize(
    "authorization",
    [(), ("",), ("Bearer",), ("Bearer  ",), (ERP,), (f"Basic {ERP}",), (f"Bearer {ERP}",) * 2],
)
def test_without_a_token_nobody_is_known(clients: Clients, authorization: tuple[str, ...]) -> None:
    refused = unknown(clients, *authorization)
    assert (refused.status, refused.headers) == (401, {"WWW-Authenticate": 'Bearer realm="lineside"'})
    assert "Authorization: Bearer TOKEN" in str(refused)


@pytest.mark.parametrize("token", [ERP[:-1], ERP + "0", ERP.upper(), "\xe9", "\udc80", "x" * 10_000])
def test_a_wrong_token_is_refused_and_never_repeated(clients: Clients, token: str) -> None:
    refused = unknown(clients, f"Bearer {token}")
    assert refused.status == 401
    assert refused.headers["WWW-Authenticate"] == 'Bearer realm="lineside", error="invalid_token"'
    assert str(refused) == "no client has this token"


@given(st.text())
def test_whatever_is_sent_is_refused(header: str) -> None:
    with contextlib.suppress(Unknown):
        raise AssertionError(Clients({"erp": ERP}).sender([header], header))


# --- wrong ones -------------------------------------------------------------------------------------


def test_after_some_wrong_tokens_an_address_waits(clients: Clients, watch: Watch) -> None:
    for _ in range(TRIES):
        assert unknown(clients, "Bearer wrong").status == 401
    refused = unknown(clients, "Bearer wrong")
    assert (refused.status, refused.headers) == (429, {"Retry-After": "1"})
    assert unknown(clients, f"Bearer {ERP}").status == 429, "a guess that is right is not told either"
    assert clients.sender([f"Bearer {ERP}"], "192.0.2.7") == "erp", "others are heard"
    watch.now_s += PAUSE_S
    assert unknown(clients, "Bearer wrong").status == 401
    assert unknown(clients, "Bearer wrong").status == 429
    watch.now_s += PAUSE_S
    assert clients.sender([f"Bearer {ERP}"], HOME) == "erp"


def test_a_right_token_and_a_missing_one_are_not_counted(clients: Clients) -> None:
    for _ in range(2 * TRIES):
        clients.sender([f"Bearer {ERP}"], HOME)
        assert unknown(clients).status == 401
    assert clients.sender([f"Bearer {ERP}"], HOME) == "erp"


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("", "no address", False),
    ],
)
def test_a_machine_is_one_address(clients: Clients, first: str, second: str, together: bool) -> None:
    for _ in range(TRIES):
        unknown(clients, "Bearer wrong", address=first)
    assert (unknown(clients, "Bearer wrong", address=second).status == 429) is together


def test_what_is_remembered_is_bounded(clients: Clients) -> None:
    for _ in range(TRIES):
        unknown(clients, "Bearer wrong", address="192.0.2.1")
    for number in range(2 * ADDRESSES):
        unknown(clients, "Bearer wrong", address=f"10.0.{number // 250}.{number % 250}")
    assert len(clients._failures) == ADDRESSES
    assert unknown(clients, "Bearer wrong", address="192.0.2.1").status == 401, "the oldest is forgotten"


# --- from the file ----------------------------------------------------------------------------------


def table(tmp_path: Path, name: str, token: str) -> ClientTable:
    file = tmp_path / f"{name}.token"
    file.write_text(f"{token}\n")
    file.chmod(0o600)
    return ClientTable(name=name, token=Secret(file=str(file)))


def reason(*tables: ClientTable) -> str:
    with pytest.raises(BoardRefused) as caught:
        load_clients(tables, HOME, 8080)
    return str(caught.value).removeprefix(f"the board cannot be served on {HOME}:8080: ")


def test_tokens_are_read_at_the_start(tmp_path: Path) -> None:
    clients = load_clients([table(tmp_path, "erp", ERP), table(tmp_path, "mes", MES)], HOME, 8080)
    assert clients.sender([f"Bearer {MES}"], HOME) == "mes"
    assert not load_clients([], HOME, 8080)


def test_a_token_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    for token, says in [
        ("", "is shorter than 16 characters and could be guessed"),
        ("x" * (SHORTEST - 1), "is shorter than 16 characters and could be guessed"),
        ("x" * (LONGEST + 1), "is longer than 1,000 characters"),
        ("sixteen characters", "has a character that no header can carry"),
        ("é" * SHORTEST, "has a character that no header can carry"),
    ]:
        words = reason(table(tmp_path, "erp", token))
        assert words.startswith(f"board.client[erp].token {says}"), words
        assert "openssl rand -hex 32" in words
        assert not token or token not in words
    words = reason(table(tmp_path, "erp", ERP), table(tmp_path, "mes", ERP))
    assert words.startswith("board.client[mes].token is also that of erp")
    away = ClientTable(name="erp", token=Secret(file=str(tmp_path / "away")))
    assert reason(away) == f"board.client[erp].token: {tmp_path / 'away'}: No such file or directory"


def faults(tmp_path: Path, text: str) -> list[str]:
    file = write_line(tmp_path)
    file.write_text(f"{file.read_text()}\n{text}")
    with pytest.raises(ConfigError) as caught:
        load(file)
    return [str(fault).removeprefix(f"{file}: ") for fault in caught.value.faults]


def test_all_faults_of_the_table_are_shown_at_once(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        """
        [board]
        port = 100_000
        [[board.client]]
        name = "erp"
        token = "s3cret-s3cret-s3cret"
        [[board.client]]
        name = "e r p"
        token = { file = "/a", env = "B" }
        [[board.client]]
        nmae = "mes"
        token = { env = "MES" }
        [sink.x]
        type = "none"
        """,
    )
    assert len(found) == 7
    for key, says in [
        ("board.port", "less than or equal to 65535"),
        ("board.client[erp].token", "a secret does not belong here; refer to it"),
        ("board.client[e r p].name", "has a character that is not allowed"),
        ("board.client[e r p].token", "give exactly one of credential, env and file"),
        ("board.client[3].name", "is missing"),
        ("board.client[3].nmae", 'did you mean "name"?'),
        ("sink.x.type", 'there is no "none"'),
    ]:
        assert any(one.startswith(f"{key}: ") and says in one for one in found), (key, found)
    assert "s3cret" not in str(found)


def test_a_name_stands_for_one_client(tmp_path: Path) -> None:
    one = '[[board.client]]\nname = "erp"\ntoken = { env = "ERP" }\n'
    assert faults(tmp_path, one * 3) == [
        "board.client: names erp twice; each client has a name and a secret of its own"
    ]


def test_clients_of_a_valid_file(tmp_path: Path) -> None:
    file = write_line(tmp_path)
    assert load(file).board.client == []
    file.write_text(f'{file.read_text()}\n[[board.client]]\nname = "erp"\ntoken = {{ env = "ERP" }}\n')
    assert [client.name for client in load(file).board.client] == ["erp"]
