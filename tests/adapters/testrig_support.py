"""What the tests of rigs share."""

from adapters._rig_checksum import compute
from adapters.testrig import Settings
from edge.contract import Step, TestResult

LINE = b"unit=U-0001;program=LEAK;revision=B;number=1;leak=0.12:mbar:0:0.5;result=PASS"
RESULT = TestResult("U-0001", "LEAK", True, "B", "1", (Step("leak", 0.12, "mbar", 0.0, 0.5),))


def settings(port: str = "/dev/serial/by-id/rig", **keys: object) -> Settings:
    return Settings.model_validate({"type": "testrig", "port": port, **keys})


def summed(line: bytes) -> bytes:
    return line + b"*%02X" % compute("xor", line)
