"""The parts of confinement that Linux offers to the calling process and Python has no function for."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

_SET_NO_NEW_PRIVS, _SET_SECCOMP = 38, 22
_SECCOMP_FILTER = 2
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""Numbers of Landlock's calls: the same on every machine."""
_WANT_VERSION = 1
_RULE_PORT = 2
_BIND, _CONNECT = 1, 2
_CAPABILITY_VERSION = 0x20080522
_DAC_OVERRIDE = 1 << 1
"""To read and write files of other users: which files there are at all is up to Landlock."""

_UNIX, _INET, _INET6, _NETLINK = 1, 2, 10, 16
_STREAM, _DGRAM = 1, 2
_TCP, _UDP = 6, 17
_IO_URING_SETUP = 425
_X32 = 0x4000_0000

_LOAD, _AND, _EQUALS, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
"""Instructions of the filter's machine."""
_NUMBER, _MACHINE, _FAMILY, _TYPE, _PROTOCOL = 0, 4, 16, 24, 32
"""Where the machine finds the number of a call, the processor's kind and the lower halves of the first arguments."""
_ALLOW, _REFUSE = 0x7FFF_0000, 0x0005_0000 | errno.EACCES


@dataclass(frozen=True, slots=True)
class _Machine:
    """A kind of processor: what the kernel calls it, and the number of ``socket()`` there."""

    audit: int
    socket: int


_MACHINES = {"x86_64": _Machine(0xC000_003E, 41), "aarch64": _Machine(0xC000_00B7, 198)}


def is_known_machine() -> bool:
    """Whether calls can be filtered on this kind of processor."""
    return platform.machine() in _MACHINES


def landlock_version() -> int:
    """Return the version of the kernel's Landlock interface; 0: it has none, or it is switched off."""
    if platform.system() != "Linux":
        return 0
    try:
        return _call(_CREATE_RULESET, None, ctypes.c_size_t(0), _WANT_VERSION)
    except OSError:
        return 0


def forbid_new_privileges() -> None:
    """Let no program that this process or its children start have more rights than it has. Linux only."""
    _prctl(_SET_NO_NEW_PRIVS, 1)


def drop_capabilities() -> None:
    """Give up what root may do beyond others, except for reading and writing their files."""
    header = struct.pack("Ii", _CAPABILITY_VERSION, 0)
    sets = ctypes.create_string_buffer(24)
    _checked(_libc().capget(header, sets))
    effective, permitted, _inheritable, *_upper = struct.unpack("6I", sets.raw)
    kept = struct.pack("6I", effective & _DAC_OVERRIDE, permitted & _DAC_OVERRIDE, 0, 0, 0, 0)
    _checked(_libc().capset(header, kept))


def restrict_tcp(ports: Iterable[int]) -> None:
    """Let TCP connections go to these ports only, and none come in. Needs version 4 of Landlock."""
    rules = struct.pack("QQ", 0, _BIND | _CONNECT)
    ruleset = _call(_CREATE_RULESET, rules, ctypes.c_size_t(len(rules)), 0)
    try:
        for port in ports:
            _call(_ADD_RULE, ruleset, _RULE_PORT, struct.pack("QQ", _CONNECT, port), 0)
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def restrict_sockets(*, udp: bool, unix: bool) -> None:
    """Let only such sockets be made: TCP, what asks the kernel for routes, and the ones that are asked for.

    Landlock knows no other protocol than TCP, and nothing of Unix sockets with a path.
    """
    code = _assembled(_filter(_MACHINES[platform.machine()], udp=udp, unix=unix))
    instructions = ctypes.create_string_buffer(code)
    program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(instructions))
    _prctl(_SET_SECCOMP, _SECCOMP_FILTER, program)


_Line = tuple[int, int, str, str]
"""An instruction: code, operand, and the labels to go to if a comparison holds and if not; "" is the next line."""


def _filter(machine: _Machine, *, udp: bool, unix: bool) -> dict[str, list[_Line]]:
    """Return the program, by label. Another interface of the same processor (32 bits, x32) is refused altogether.

    ``io_uring`` is refused too: it makes sockets without a call that a filter sees.
    """
    families = [_INET, _INET6]
    return {
        "start": [
            (_LOAD, _MACHINE, "", ""),
            (_EQUALS, machine.audit, "", "refuse"),
            (_LOAD, _NUMBER, "", ""),
            (_AT_LEAST, _X32, "refuse", ""),
            (_EQUALS, _IO_URING_SETUP, "refuse", ""),
            (_EQUALS, machine.socket, "", "allow"),
            (_LOAD, _FAMILY, "", ""),
            *[(_EQUALS, family, "protocol", "") for family in ([_UNIX, _NETLINK] if unix else [_NETLINK])],
            *[(_EQUALS, family, "type", "") for family in families],
            (_RETURN, _REFUSE, "", ""),
        ],
        "type": [
            (_LOAD, _TYPE, "", ""),
            (_AND, 0xF, "", ""),
            *[(_EQUALS, kind, "protocol", "") for kind in ([_STREAM, _DGRAM] if udp else [_STREAM])],
            (_RETURN, _REFUSE, "", ""),
        ],
        "protocol": [
            (_LOAD, _PROTOCOL, "", ""),
            *[(_EQUALS, protocol, "allow", "") for protocol in ([0, _TCP, _UDP] if udp else [0, _TCP])],
        ],
        "refuse": [(_RETURN, _REFUSE, "", "")],
        "allow": [(_RETURN, _ALLOW, "", "")],
    }


def _assembled(program: dict[str, list[_Line]]) -> bytes:
    places: dict[str, int] = {}
    lines: list[_Line] = []
    for label, block in program.items():
        places[label] = len(lines)
        lines += block

    def jump(label: str, here: int) -> int:
        return places[label] - here - 1 if label else 0

    return b"".join(
        struct.pack("HBBI", code, jump(yes, here), jump(no, here), operand)
        for here, (code, operand, yes, no) in enumerate(lines)
    )


@cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, *arguments: int | bytes) -> None:
    given = [ctypes.c_ulong(each) if isinstance(each, int) else each for each in arguments]
    _checked(_libc().prctl(option, *given, *[ctypes.c_ulong(0)] * (4 - len(given))))


def _call(number: int, *arguments: Any) -> int:
    return _checked(_libc().syscall(ctypes.c_long(number), *arguments))


def _checked(result: int) -> int:
    """Return what a function of the C library returned, or raise its ``OSError``."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
