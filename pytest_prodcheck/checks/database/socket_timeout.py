"""Hang up on a server that is silent: no timeout of a statement reaches a frozen one."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def socket_timeout(descriptor: int, seconds: float) -> Iterator[None]:
    """Ends the connection of *descriptor* when the block takes longer: whoever reads from it
    then learns that it is closed."""
    watched = socket.socket(fileno=socket.dup(descriptor))
    timer = threading.Timer(seconds, _end, [watched])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        watched.close()


def _end(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it ended meanwhile
