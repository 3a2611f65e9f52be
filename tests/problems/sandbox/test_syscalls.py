"""The list of system calls: its numbers are the kernel's, and the filter is what it should be."""

import re
import struct
from pathlib import Path

import pytest

from cfdapo.problems.sandbox.syscalls import (
    ADDRESSES,
    ALLOWED,
    ARCHITECTURES,
    SOME,
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
    for name, row in {**ALLOWED, **{name: row for name, (row, _) in SOME.items()}}.items():
        expected = numbers.get(name)
        assert row[column] == (None if expected is None else int(expected)), name


def verdict(
    program: bytes, architecture: int, number: int, arguments: dict[int, int] | None = None
) -> int:
    """Run the filter as the kernel does: seccomp's data is number, architecture, ip, arguments."""
    given = [(arguments or {}).get(place, 0) for place in range(6)]
    data = struct.pack("=IIQ6Q", number, architecture, 0, *given)
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
    some = {row[column] for row, _ in SOME.values()}
    for number in set(range(600)) - some:
        expected = ALLOW if number in listed else EPERM
        assert verdict(program, architecture, number) == expected
    for number in range(600):
        # The x32 ABI of x86_64.
        assert verdict(program, architecture, number | 0x40000000) == EPERM
    assert verdict(program, 0x40000003, 0) == KILL  # 32-bit calls


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_some_calls_pass_with_some_arguments_only(machine, name):
    architecture, column = ARCHITECTURES[machine]
    program = filter_program(machine)
    row, arguments = SOME[name]
    fitting = {place: values[-1] for place, values in arguments.items()}
    assert verdict(program, architecture, row[column], fitting) == ALLOW
    for place, values in arguments.items():
        tried = {*values, *range(1100), *(1 << bit for bit in range(32)), 0x5412, 0x8901, 0x80803}
        for value in tried:
            expected = ALLOW if value in values else EPERM
            given = fitting | {place: value}
            assert verdict(program, architecture, row[column], given) == expected
            # The kernel reads 32 bits of an int, and all of an address.
            wide = EPERM if (name, place) in ADDRESSES else expected
            given = fitting | {place: value | 1 << 40}
            assert verdict(program, architecture, row[column], given) == wide


def test_unknown_architectures_are_refused():
    with pytest.raises(OSError, match="riscv64"):
        filter_program("riscv64")
