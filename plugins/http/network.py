"""Connections to addresses that the policy allows.

Every ``timeout`` here is a point in time (``monotonic`` seconds), not a length: it bounds a call as a whole, however
many pieces its request and its answer come in. httpcore only hands it through.
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any

import httpcore

from trimtab.api import CallError
from trimtab.plugins.http.policy import Policy

Found = list[tuple[socket.AddressFamily, tuple[Any, ...]]]


class Network(httpcore.NetworkBackend):
    """Connects for one policy. ``ended``: since it was last set to False, the other side has closed a connection."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.resource = policy.resource
        self.ended = False

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002 - httpcore's interface
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> Stream:
        """Look the host up, check what is found, and connect to that: the name is not looked up a second time."""
        ends = _given(timeout)
        found = resolve(host, port, ends)
        for _family, address in found:
            self._policy.check_address(host, port, address[0])
        for untried in range(len(found), 1, -1):
            share = monotonic() + (ends - monotonic()) / untried
            try:
                return Stream(_connected(*found[-untried], share), self)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue  # the host has another address
        return Stream(_connected(*found[-1], ends), self)


@dataclass(slots=True)
class Stream(httpcore.NetworkStream):
    """One connection."""

    _socket: socket.socket
    _network: Network

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return what has come, waiting for something; nothing at the end."""
        try:
            self._socket.settimeout(_left(timeout))
            data = self._socket.recv(max_bytes)
        except TimeoutError:
            raise httpcore.ReadTimeout from None
        except OSError as error:
            raise httpcore.ReadError(_reason(error)) from None
        self._network.ended |= not data
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send everything."""
        rest = memoryview(buffer)
        try:
            while rest:
                self._socket.settimeout(_left(timeout))
                rest = rest[self._socket.send(rest) :]
        except TimeoutError:
            raise httpcore.WriteTimeout from None
        except OSError as error:
            raise httpcore.WriteError(_reason(error)) from None

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> Stream:
        """Go on encrypted, with a server that proves to be the one that was asked for."""
        try:
            self._socket.settimeout(_left(timeout))
            return Stream(ssl_context.wrap_socket(self._socket, server_hostname=server_hostname), self._network)
        except ssl.SSLCertVerificationError as error:
            expected = f"{self._network.resource}: expected a certificate of {server_hostname}"
            message = f"{expected}, got one that does not do ({error.verify_message})"
            raise CallError("ConnectionError", f"{message}; set verify to a file with the CA's certificate") from None
        except TimeoutError:
            raise httpcore.ConnectTimeout from None
        except OSError as error:
            raise httpcore.ConnectError(_reason(error)) from None
        finally:
            self._socket.close()  # it was taken over, or is of no use

    def get_extra_info(self, info: str) -> Any:
        """Say whether something can be read, which means of an idle connection that the other side has closed it."""
        if info != "is_readable":
            return None
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))


def resolve(host: str, port: int, ends: float) -> Found:
    """Return the addresses of a host. Raises httpcore's ``ConnectError`` or ``ConnectTimeout``.

    A resolver cannot be interrupted, neither by a signal nor a timeout, so a thread waits for it. Addresses, in any
    spelling, need none.
    """
    try:
        return _look_up(host, port, socket.AI_NUMERICHOST)
    except OSError:
        answers: SimpleQueue[Found | OSError] = SimpleQueue()
    Thread(target=_answer, args=(host, port, answers), name="resolver", daemon=True).start()
    try:
        found = answers.get(timeout=max(ends - monotonic(), 0))
    except Empty:
        raise httpcore.ConnectTimeout from None
    if isinstance(found, OSError):
        raise httpcore.ConnectError(f"the name cannot be resolved: {_reason(found)}")
    return found


def _answer(host: str, port: int, answers: SimpleQueue[Found | OSError]) -> None:
    try:
        answers.put(_look_up(host, port, 0))
    except OSError as error:
        answers.put(error)
    except UnicodeError:
        answers.put(OSError("it is no name"))


def _look_up(host: str, port: int, flags: int) -> Found:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [(family, address) for family, _type, _protocol, _name, address in found]


def _connected(family: socket.AddressFamily, address: tuple[Any, ...], ends: float) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.settimeout(_left(ends))
        made.connect(address)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException as error:
        made.close()
        if isinstance(error, TimeoutError):
            raise httpcore.ConnectTimeout from None
        if isinstance(error, OSError):
            raise httpcore.ConnectError(_reason(error)) from None
        raise
    return made


def _given(timeout: float | None) -> float:
    if timeout is None:
        raise TypeError("expected the time at which the call ends, got none")
    return timeout


def _left(timeout: float | None) -> float:
    left = _given(timeout) - monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
