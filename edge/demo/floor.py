"""The demo's shop floor: simulators in their own processes, and a TOML file that names them."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from edge.demo.options import DemoOptions
from simulators.launch import Running, simulator

PRESS, PACKER, LEAK_TEST = "press", "packer", "leak-test"
MACHINES = (PRESS, PACKER)
PRESS_CYCLE_S, PACKER_CYCLE_S = 0.5, 0.4


@dataclass(frozen=True, slots=True)
class Floor:
    """Everything that the operator can touch; `truth` is what the agent never sees."""

    press: Running
    packer: Running
    gun_1: Running
    gun_2: Running
    rig: Running
    truth: Path


async def open_floor(stack: AsyncExitStack, folder: Path, options: DemoOptions) -> Floor:
    """Start every simulator; they end with the stack."""
    truth, ports = folder / "truth", folder / "ports"
    truth.mkdir()
    ports.mkdir()
    cycle_s = 1 / options.rate if options.rate else None

    async def start(module: str, name: str, *arguments: str) -> Running:
        told = ("--truth", str(truth / f"{name}.jsonl"), "--seed", str(options.seed))
        return await stack.enter_async_context(simulator(module, *told, *arguments))

    def machine(name: str, usual_s: float) -> tuple[str, ...]:
        return ("--station", name, "--cycle", str(cycle_s or usual_s), "--scrap", "0.05")

    return Floor(
        await start("opcua_press", PRESS, *machine(PRESS, PRESS_CYCLE_S)),
        # Near the end of 32 bits, so that a rollover is part of every demo.
        await start("modbus_packer", PACKER, "--tcp", *machine(PACKER, PACKER_CYCLE_S),
                    "--first-good", str(2**32 - 7)),
        await start("scanner", "gun-1", "--link", str(ports / "gun-1")),
        await start("scanner", "gun-2", "--link", str(ports / "gun-2")),
        await start("testrig", "rig-1", "--link", str(ports / "rig-1"), "--cycle", "1.5"),
        truth,
    )  # fmt: skip


def write_config(folder: Path, floor: Floor, options: DemoOptions, sinks: str) -> Path:
    """config/demo.toml with the simulators' ports in the place of its own, and more sinks."""
    text = sample("demo.toml")
    cycle_ms = round(1000 / options.rate) if options.rate else None
    real = {
        "opc.tcp://127.0.0.1:4840": floor.press.where.endpoint,
        "tcp://127.0.0.1:5020": f"tcp://{floor.packer.where.host}:{floor.packer.where.port}",
        "/tmp/lineside-demo/gun-1": floor.gun_1.where.device,  # noqa: S108
        "/tmp/lineside-demo/gun-2": floor.gun_2.where.device,  # noqa: S108
        "/tmp/lineside-demo/rig-1": floor.rig.where.device,  # noqa: S108
        'ideal_cycle = "500ms"': f'ideal_cycle = "{cycle_ms or 500}ms"',
        'ideal_cycle = "400ms"': f'ideal_cycle = "{cycle_ms or 400}ms"',
        "port = 8080": "port = 0",
    }
    for usual, found in real.items():
        if usual not in text:
            raise LookupError(f"config/demo.toml has no {usual!r} any more")
        text = text.replace(usual, found)
    path = folder / "demo.toml"
    path.write_text(text + sinks, encoding="utf-8")
    return path


def sample(name: str) -> str:
    """A file of config/, from the source tree or from the installed package."""
    package = Path(str(files("edge")))
    for place in (package.parent / "config" / name, package / "samples" / name):
        if place.exists():
            return place.read_text(encoding="utf-8")
    raise FileNotFoundError(f"config/{name}")
