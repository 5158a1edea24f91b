"""Real servers for tests, each a process of its own on a free port, and what reads back from them.

mosquitto and victoria-metrics are those of the demo. InfluxDB 1.6 is here for its engine, which rejects what
victoria-metrics swallows; `v2_front` puts the v2 write API before it, which 1.6 has not.
"""

import asyncio
import contextlib
import gzip
import http.client
import json
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from simulators.far_ends import (
    FarEnd,
    answers_http,
    free_port,
    mosquitto,
    program_path,
    running,
    victoria_metrics,
)

__all__ = [
    "FarEnd", "Front", "Heard", "certificates", "free_port", "heard", "influxd", "mosquitto",
    "mosquitto_password", "query_influx", "session", "v2_front", "victoria_metrics", "victoria_values",
]  # fmt: skip


# --- MQTT -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Heard:
    """One message as mosquitto_sub got it."""

    topic: str
    qos: int
    retained: bool
    payload: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.payload)


def mosquitto_password(file: Path, user: str, password: str) -> None:
    """Write a password file with one user."""
    program = program_path("mosquitto_passwd") or "mosquitto_passwd"
    subprocess.run([program, "-c", "-b", str(file), user, password], check=True, capture_output=True)


async def heard(port: int, topic: str, count: int, *options: str, within_s: float = 10.0) -> list[Heard]:
    """The next `count` messages, or fewer when no more come in time."""
    wanted = ["-t", topic, "-q", "1", "-C", str(count), "-W", str(int(within_s)), "-F", "%r|%q|%t|%x"]
    process = await asyncio.create_subprocess_exec(
        "mosquitto_sub", "-V", "5", "-p", str(port), *wanted, *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        out, errors = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode in (0, 27), errors.decode()
    return [_heard(line) for line in out.decode().splitlines()]


def _heard(line: str) -> Heard:
    retained, qos, topic, payload = line.split("|", 3)
    return Heard(topic, int(qos), retained == "1", bytes.fromhex(payload))


async def session(port: int, name: str, topic: str, *options: str) -> tuple[str, ...]:
    """A durable session that collects from now on; give the answer to `heard` as its options."""
    durable = ("-i", name, "-c", "-x", "3600", *options)
    await heard(port, topic, 1, *durable, "-E")
    return durable


def certificates(folder: Path, *, authority_usage: bool = True) -> None:
    """ca.crt, and srv.* for localhost and 127.0.0.1, and cli.* for a client, all signed by it.

    Without `authority_usage`, ca.crt does not say what it is for, as those of many a plant.
    """

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)

    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    # Python 3.13 checks certificates strictly (RFC 5280, VERIFY_X509_STRICT): all of these are needed.
    usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign") if authority_usage else ()
    openssl("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=test-ca", *usage)
    identifiers = "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    names = f"subjectAltName=DNS:localhost,IP:127.0.0.1\n{identifiers}"
    (folder / "names").write_text(names, encoding="ascii")
    for name, common in (("srv", "localhost"), ("cli", "edge-01")):
        openssl("req", *new_key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={common}")
        openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", f"{name}.crt", "-days", "2", "-extfile", "names",
        )  # fmt: skip


# --- InfluxDB -------------------------------------------------------------------------------

_INFLUX_CONF = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:{port}"
"""


@contextlib.asynccontextmanager
async def influxd(folder: Path, database: str = "edge") -> AsyncIterator[FarEnd]:
    """InfluxDB 1.6 with one database."""

    def make(port: int) -> FarEnd:
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "influx.conf"
        config.write_text(_INFLUX_CONF.format(rpc=free_port(), port=port, folder=folder), encoding="utf-8")
        return FarEnd(["influxd", "run", "-config", str(config)], port, folder, _answers_ping)

    async with running(make) as server:
        created = f"/query?q={quote(f'CREATE DATABASE {database}')}"
        await asyncio.to_thread(_influx, server.port, "POST", created)
        yield server


async def _answers_ping(port: int) -> bool:
    return await answers_http(port, "/ping")


def _influx(port: int, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def query_influx(port: int, query: str, database: str = "edge") -> list[dict[str, Any]]:
    """The rows of an InfluxQL query, times in nanoseconds; tags of a GROUP BY are not in them."""
    wanted = urlencode({"db": database, "epoch": "ns", "q": query})
    status, body = _influx(port, "GET", f"/query?{wanted}")
    assert status == 200, body
    result = json.loads(body)["results"][0]
    assert "error" not in result, result
    rows = []
    for series in result.get("series", []):
        rows += [dict(zip(series["columns"], values, strict=True)) for values in series["values"]]
    return rows


def victoria_values(port: int, match: str) -> dict[str, list[tuple[int, float]]]:
    """Metric with its labels, as JSON text, to (milliseconds, value); `match` is a selector.

    A series that a query missed stays hidden for some 9 s, so what was just written is made visible first.
    """
    _influx(port, "GET", "/internal/force_flush")
    _, body = _influx(port, "GET", f"/api/v1/export?{urlencode({'match[]': match})}")
    found = {}
    for line in body.splitlines():
        series = json.loads(line)
        key = json.dumps(series["metric"], sort_keys=True)
        found[key] = list(zip(series["timestamps"], series["values"], strict=True))
    return found


@dataclass
class Front:
    """InfluxDB 2's write API before a 1.6: what it answers, and what a test makes it answer."""

    url: str
    token: str
    """What a write must have; empty: nothing."""
    largest: int = 50_000_000
    """A body above this gets 413."""
    forced: int = 0
    """A status that every write gets, whatever it holds."""
    requests: list[tuple[int, int, str]] = field(default_factory=list)
    """Of every write: the status, the number of lines, the content encoding."""


@contextlib.contextmanager
def v2_front(influx: FarEnd, token: str = "s3cret") -> Iterator[Front]:
    """Serve `/api/v2/write` and `/ping` on a free port; a bucket is a database of 1.6."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30
        wbufsize = 65_536  # one segment an answer: two would wait for a delayed ACK, 40 ms

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            self._answer(204 if self.path == "/ping" else 404, b"")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            encoding = self.headers.get("Content-Encoding", "")
            text = gzip.decompress(body) if encoding == "gzip" else body
            status, words = self._write(text)
            front.requests.append((status, text.count(b"\n") + 1, encoding))
            self._answer(status, json.dumps({"code": "test", "message": words}).encode() if words else b"")

        def _write(self, text: bytes) -> tuple[int, str]:
            parts = urlsplit(self.path)
            wanted = parse_qs(parts.query)
            if parts.path != "/api/v2/write":
                return 404, "path not found"
            if front.forced:
                return front.forced, "the test says so"
            if front.token and self.headers.get("Authorization") != f"Token {front.token}":
                return 401, "unauthorized access"
            if len(text) > front.largest:
                return 413, "unable to read data: points batch is too large"
            assert wanted["precision"] == ["ns"]
            path = f"/write?{urlencode({'db': wanted['bucket'][0], 'precision': 'ns'})}"
            status, answer = _influx(influx.port, "POST", path, text)
            words = json.loads(answer).get("error", "") if answer else ""
            return (422 if "conflict" in words else status), words

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    front = Front(f"http://127.0.0.1:{server.server_port}", token)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield front
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
