"""The list of system calls: its numbers are the kernel's, and the filter is what it should be."""

import re
import struct
from pathlib import Path

import pytest

from cfdapo.problems.sandbox.syscalls import (
    ALLOWED,
    ARCHITECTURES,
    FCNTL,
    FCNTL_COMMANDS,
    filter_program,
)

HEADERS = {
    0: Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    # aarch64 has the generic numbers; some names there have a prefix, or end otherwise.
    1: Path("/usr/include/asm-generic/unistd.h"),
}
EPERM, ALLOW, KILL = 0x00050001, 0x7FFF0000, 0x80000000


@pytest.mark.parametrize("column", HEADERS)
def test_numbers_are_the_kernel_s(column):
    if not HEADERS[column].is_file():
        pytest.skip(f"no {HEADERS[column]}")
    pattern = r"#define __NR(?:3264)?_(\w+)\s+(\d+)$"
    numbers = dict(re.findall(pattern, HEADERS[column].read_text(), re.MULTILINE))
    if column == 1:
        numbers["newfstatat"] = numbers.pop("fstatat")
    for name, row in {**ALLOWED, "fcntl": FCNTL}.items():
        expected = numbers.get(name)
        assert row[column] == (None if expected is None else int(expected)), name


def verdict(program: bytes, architecture: int, number: int, argument: int = 0) -> int:
    """Run the filter as the kernel does: seccomp's data is number, architecture, ip, arguments."""
    data = struct.pack("=IIQ6Q", number, architecture, 0, 0, argument, 0, 0, 0, 0)
    accumulator, at = 0, 0
    while True:
        code, if_true, if_false, operand = struct.unpack_from("=HBBI", program, at * 8)
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, operand)
        elif code == 0x15:
            at += if_true if accumulator == operand else if_false
        else:
            assert code == 0x06
            return operand


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_the_filter_lets_through_what_is_listed(machine):
    architecture, column = ARCHITECTURES[machine]
    program = filter_program(machine)
    listed = {row[column] for row in ALLOWED.values()}
    for number in range(600):
        if number != FCNTL[column]:
            expected = ALLOW if number in listed else EPERM
            assert verdict(program, architecture, number) == expected
            # The x32 ABI of x86_64.
            assert verdict(program, architecture, number | 0x40000000) == EPERM
    for command in range(1100):
        expected = ALLOW if command in FCNTL_COMMANDS else EPERM
        assert verdict(program, architecture, FCNTL[column], command) == expected
        # The kernel reads 32 bits.
        assert verdict(program, architecture, FCNTL[column], command | 1 << 40) == expected
    assert verdict(program, 0x40000003, 0) == KILL  # 32-bit calls


def test_unknown_architectures_are_refused():
    with pytest.raises(OSError, match="riscv64"):
        filter_program("riscv64")
