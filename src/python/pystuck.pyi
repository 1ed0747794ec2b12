"""Find out why this process is stuck, from a shell, without stopping it.

In the program: ``import pystuck; pystuck.run_server()``. From a shell: ``pystuck``.
"""

import os
from types import TracebackType
from typing import Any, Callable, Dict, Literal, Optional, Tuple, Type, Union, final

__version__: str

_Role = Literal["stacks", "locals", "eval"]
_Path = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]

@final
class Server:
    """A place where pystuck listens; made by run_server().

    A context manager that closes it at the end. Dropping the object does not close it.
    """

    @property
    def address(self) -> Union[str, Tuple[str, int], None]:
        """Where it listens: the path of a Unix socket, or (host, port) of TCP; None before its signal has come."""
    @property
    def running(self) -> bool:
        """True while clients can connect."""
    @property
    def error(self) -> Optional[str]:
        """Why it does not listen although its signal came, or cannot; None: nothing is wrong."""
    def close(self) -> None:
        """Stop listening, say goodbye to the clients and remove the socket file. Closing twice does nothing."""
    def __enter__(self) -> "Server": ...
    def __exit__(
        self,
        exc_type: Optional[Type[BaseException]],
        exc: Optional[BaseException],
        tb: Optional[TracebackType],
    ) -> None: ...

def run_server(
    host: Optional[str] = None,
    port: Optional[int] = None,
    *,
    socket: Optional[_Path] = None,
    key: Optional[_Path] = None,
    allow: Optional[Dict[Union[str, int], _Role]] = None,
    mode: Optional[int] = 0o600,
    group: Union[str, int, None] = None,
    eval: bool = True,
    namespace: Optional[Dict[str, Any]] = None,
    gil_timeout: Optional[float] = 1.0,
    max_clients: Optional[int] = 16,
    pam: Union[bool, _Path, None] = False,
    on_fork: Optional[Literal["restart", "ignore"]] = "restart",
    audit: Union[Literal["syslog"], Callable[[Dict[str, Any]], object], None] = ...,
    audit_required: bool = False,
    signal: Optional[int] = None,
    hurry: bool = True,
) -> Server:
    """Let ``pystuck`` look into this process from a shell, and return the Server.

    With no arguments it listens on a Unix socket that only this user and root can use.

    host, port: listen on TCP; a numeric address, 127.0.0.1 and 6666 where one is left out.
    socket: a Unix socket's path (at most 107 bytes); ``{pid}`` in it becomes the process id.
    key: the key file for TCP, made with ``pystuck --keygen``; read again when it changes. No key, no TCP.
    allow: who else may come, and as what: ``{'deploy': 'eval', '@ops': 'stacks', 'key:ci': 'stacks', 1000: 'locals'}``;
        roles are 'stacks' < 'locals' < 'eval'. This user and root may do everything.
    mode, group: of the Unix socket.
    eval: False: no client may evaluate anything. True is an error where pystuck was built without (``make EVAL=no``).
    namespace: names for the prompt, besides ``modules``.
    gil_timeout: seconds after which an answer no longer waits for the GIL.
    max_clients: how many may be connected at a time.
    pam: True: who comes must also pass PAM's account check for the service ``pystuck`` (/etc/pam.d/pystuck); a path: by the
        helper whose socket or program is there.
    on_fork: 'restart': a forked child serves at an address of its own, if the address has the pid in it (the default one has,
        or ``{pid}``); 'ignore': the child closes what it inherited and never serves.
    audit: who is told of connections, refusals, roles, evaluations and ends. 'syslog': the journal, else /dev/log; the
        default on TCP and in a service of systemd. None: nobody; the default elsewhere. A function: it is called with
        one dict for each event, one at a time, on a thread of pystuck's. Its keys, each None where there is nothing to say:
        time (float, seconds since the epoch), action ('connect', 'refuse', 'open', 'deny', 'eval', 'veto', 'late',
        'disconnect', 'keys', 'listen', 'lost'), message (all of it in one line), session, uid, pid (int), key, role, address, listener,
        reason (str), source (str, cut after 4096 bytes), source_bytes (int), source_blake2b (str, hex, of the whole source
        where it was cut), duration (float, seconds), evals, dumps, lost (int). All text is free of control characters
        (but for newlines and tabs in source). At most 256 events wait; what is over that is counted and told by 'lost'.
        The first exception it raises goes to sys.unraisablehook, further ones nowhere.
    audit_required: True: what could not be logged (the log is full, or nobody is there) is not evaluated.
    signal: signal.SIGUSR1, SIGUSR2 or a real-time signal: listen when that comes, and not before; until then there is one sleeping
        thread and no socket. The handler is a native one: it works while the main thread is stuck in C code, with the GIL or without.
        When the server listens, further signals do nothing; when it could not be opened, ``Server.error`` and the audit log
        ('listen') say why, and the next signal tries again. ValueError when the program has a handler for the signal, ignores it
        or has it blocked. close() and the end of the interpreter give the default handler back; in a forked child whose
        address has no pid in it the signal does nothing.
    hurry: True: a client beside threads that compute need not wait for Python's switch interval, 5 ms, each time: while it waits for the
        GIL, and for 20 ms at most, the interval is 53 us, which sys.getswitchinterval() shows. And an evaluation that
        computes lets the program's threads have the GIL every millisecond. False: the interval is never touched, but by ``%atomic``.

    Raises TypeError, ValueError, OSError or PermissionError; the message says what to do.
    """

def stop_server() -> None:
    """Close every Server of this process. Does nothing when there is none."""
