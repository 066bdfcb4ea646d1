"""The protocol of a virtual BMC: IPMI 2.0 over UDP, as pyghmi speaks it.

pyghmi's own event loop is not used. It keeps one table of sessions for the whole process, by
the client's address and port and the BMC's port: of two BMCs on port 623 that one socket of a
client talks to, one would answer for the other. And a power action would hold up all of it.
Here each BMC has a socket and sessions of its own, found by the number that it gave them.
Everything in this file runs in one thread.
"""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any, Protocol

from pyghmi.ipmi import bmc as pyghmi_bmc
from pyghmi.ipmi.private import constants, serversession
from pyghmi.ipmi.private import session as pyghmi_session

LOGIN = 10.0  # seconds that a client has to log in
IDLE = 60.0  # seconds after which a session that is not used ends, as in the standard
OPERATOR = 3  # the privilege level that may change the power

COMMAND, OPEN, RAKP1, RAKP3 = 0x00, 0x10, 0x12, 0x14  # types of packets
# Answers to the three packets of a login: its types, and codes for "no".
OPENED, RAKP2, RAKP4 = (
    constants.payload_types[name] for name in ("rmcpplusopenresponse", "rakp2", "rakp4")
)
UNKNOWN_USER, WRONG_CODE, NO_SUCH_SUITE = 0x0D, 0x0F, 0x11

CHASSIS, GET_STATUS, CONTROL = 0, 1, 2
ACTIONS = {0: "off", 1: "on", 2: "reset", 3: "reset", 4: "diag", 5: "soft"}  # 2: power cycle

Client = tuple[str, int]


class Code(IntEnum):
    """How a command ended."""

    DONE = 0
    INVALID = 0xCC  # "invalid data field in request"
    PRIVILEGE = 0xD4  # "insufficient privilege level"
    NOT_NOW = 0xD5  # "not supported in present state"
    FAILED = 0xFF  # "unspecified error"


Answer = Callable[[Sequence[int], Code], None]


class Controller(Protocol):
    """What a BMC asks for what is not only talk. None of it may take time."""

    def status(self, node: str, session: Session) -> None:
        """Answer, later, with the power's state."""

    def power(self, node: str, action: str, session: Session) -> None:
        """Do one of ACTIONS and answer, later."""

    def refused(self, node: str, asker: str, why: str) -> None:
        """A login from the address `asker` was refused."""

    def defect(self, error: BaseException) -> None:
        """A packet was more than this can handle."""


class Session(serversession.ServerSession):  # type: ignore[misc]  # pyghmi has no types
    """A client's session with one BMC, from its first packet on."""

    k1: bytes | None = None  # pyghmi drops a command that comes before the login, if this is None
    clientpriv = 2  # a session begins as one of a mere user

    def __init__(self, *given: Any) -> None:
        self.used = time.monotonic()
        self.refused = ""
        self.handshake = b""  # the last packet of the login that was answered
        self._asked: tuple[int, int, int, bytes] | None = None
        self._answered: dict[str, Any] | None = None
        super().__init__(*given)
        # For pyghmi's own loop, which does not run here, and nothing else takes it out again.
        pyghmi_session.Session.bmc_handlers.pop(self.sockaddr, None)

    @property
    def asker(self) -> str:
        """The client's address."""
        address: str = self.sockaddr[0]
        return address

    @property
    def established(self) -> bool:
        """Whether the client has logged in."""
        return bool(self.sessionid)

    def packet(self, kind: int, data: bytearray) -> None:
        """Handle a packet of this session."""
        self.used = time.monotonic()
        if kind == COMMAND:
            self._handle_ipmi2_packet(data)
        elif bytes(data) == self.handshake:
            # Our answer got lost, or came late. It must be the same one: pyghmi would draw
            # new random numbers, and the client may go on with either.
            pyghmi_session._io_sendto(self.socket, self.netpacket, self.sockaddr)
        elif not self.established:
            self.handshake = bytes(data)
            self._handle_ipmi2_packet(data)

    def later(self) -> Answer:
        """What answers the command at hand, if by then the client still waits for it."""
        asked = self._asked

        def answer(data: Sequence[int], code: Code) -> None:
            if self._asked is asked:
                self.send_ipmi_response(data=data, code=int(code))

        return answer

    # -- pyghmi's, where it falls short ------------------------------------------------------

    def create_open_session_response(self, request: bytearray) -> bytearray:
        response: bytearray = super().create_open_session_response(request)
        # pyghmi says yes to every cipher suite, and then uses number 3. (A length of 0: any.)
        proposed = [(request[at + 3], request[at + 4]) for at in (8, 16, 24)]
        if any(length and algorithm != 1 for length, algorithm in proposed):
            self.refused = "no common cipher suite"
            return bytearray([request[0], NO_SUCH_SUITE, 0, 0, *self.clientsessionid])
        return response

    def _got_rakp1(self, data: bytearray) -> None:
        name = bytes(data[28:]).decode(errors="replace")
        if self.authdata.get(name) is None:
            self._refuse(RAKP2, data[0], UNKNOWN_USER, "unknown user")
        else:
            super()._got_rakp1(data)

    def _got_rakp3(self, data: bytearray) -> None:
        super()._got_rakp3(data)
        if self.established:
            return
        # A client that found our proof of the password wrong says so; else its own proof was.
        self._refuse(RAKP4, data[0], WRONG_CODE, "wrong password")

    def _refuse(self, kind: int, tag: int, code: int, why: str) -> None:
        self.send_payload(bytearray([tag, code, 0, 0]) + self.clientsessionid, kind, retry=False)
        if not self.refused:
            self.bmc.control.refused(self.bmc.node, self.asker, why)
        self.refused = why

    def handle_client_request(self, request: dict[str, Any]) -> None:
        asked = (self.seqlun, request["netfn"], request["command"], bytes(request["data"]))
        if asked == self._asked:  # sent again: it is being done, or its answer got lost
            if self._answered is not None:
                super()._send_ipmi_net_payload(**self._answered)
            return
        self._asked, self._answered = asked, None
        super().handle_client_request(request)

    def _send_ipmi_net_payload(self, *_: Any, data: Sequence[int] = (), code: int = 0) -> None:
        self._answered = {"data": data, "code": code}
        super()._send_ipmi_net_payload(data=data, code=code)

    def close_server_session(self) -> None:
        self.bmc.sessions.pop(bytes(self.managedsessionid), None)


class Bmc(pyghmi_bmc.Bmc):  # type: ignore[misc]  # pyghmi has no types
    """One machine's BMC, on one address and nothing else. OSError if that cannot be had."""

    control: Controller

    def __init__(self, node: str, address: str, port: int, passwords: dict[str, str]) -> None:
        # Not pyghmi's __init__: it starts the loop. These are what its methods need.
        self.node = node
        self.sessions: dict[bytes, Session] = {}
        self.authdata = passwords
        self.kg = None
        self.port = port
        self.uuid = uuid.uuid5(uuid.NAMESPACE_OID, f"{node} {address}")
        self.deviceid = self.revision = self.firmwareminor = 0
        self.firmwaremajor, self.ipmiversion = 1, 2
        self.additionaldevices = self.mfgid = self.prodid = 0
        # done, channel 1, IPMI 2.0 only, users have names, again 2.0 only, nothing of a vendor
        self.authcap = bytes([0, 1, 0x80, 0x04, 0x02, 0, 0, 0, 0])
        self.serversocket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.serversocket.bind((address, port))

    def receive(self) -> None:
        """Handle every packet that has come."""
        while True:
            try:
                data, client = self.serversocket.recvfrom(3000, socket.MSG_DONTWAIT)
            except OSError:
                return
            try:
                self._packet(bytearray(data), client)
            except Exception as error:  # noqa: BLE001  # a bad packet must not end the others' BMCs
                self.control.defect(error)

    def sweep(self) -> None:
        """Forget the sessions that their clients have left."""
        now = time.monotonic()
        for number, session in list(self.sessions.items()):
            if now - session.used > (IDLE if session.established else LOGIN):
                del self.sessions[number]
                if not session.established and not session.refused:
                    # Some clients say nothing when they see that the password is wrong.
                    self.control.refused(self.node, session.asker, "the login was not completed")

    def _packet(self, data: bytearray, client: Client) -> None:
        if len(data) < 22 or data[0] != 6 or data[2:4] != b"\xff\x07":
            return  # not IPMI
        kind = data[5] & 0x3F
        if data[4] != 6 or (kind == COMMAND and data[6:10] == bytes(4)):
            self.sessionless_data(data, client)
        elif kind == OPEN:
            self._open(data, client)
        else:
            number = data[6:10] if kind == COMMAND else data[20:24]
            session = self.sessions.get(bytes(number))
            if session and session.sockaddr == client:
                session.packet(kind, data)

    def _open(self, data: bytearray, client: Client) -> None:
        for session in self.sessions.values():
            if session.sockaddr == client and session.handshake == data:
                session.packet(OPEN, data)
                return
        given = (self.authdata, self.kg, client, self.serversocket, data[16:], self.uuid, self)
        session = Session(*given)
        session.handshake = bytes(data)
        if not session.refused:
            self.sessions[bytes(session.managedsessionid)] = session

    # -- commands ----------------------------------------------------------------------------

    def handle_raw_request(self, request: dict[str, Any], session: Session) -> None:
        asked = request["netfn"], request["command"]
        if asked == (CHASSIS, GET_STATUS):
            self.control.status(self.node, session)
        elif asked != (CHASSIS, CONTROL):
            super().handle_raw_request(request, session)
        elif session.clientpriv < OPERATOR:
            session.send_ipmi_response(code=int(Code.PRIVILEGE))
        elif (action := ACTIONS.get(request["data"][0] & 0x0F)) is None:
            session.send_ipmi_response(code=int(Code.INVALID))
        else:
            self.control.power(self.node, action, session)

    def get_system_guid(self) -> uuid.UUID:
        return self.uuid
