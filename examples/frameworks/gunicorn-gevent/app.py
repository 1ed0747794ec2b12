"""A shop with two connections to its database. /order takes one, and keeps it when something goes wrong; /report waits for a lock on a file."""
import fcntl

from gevent.lock import BoundedSemaphore

connections = BoundedSemaphore(2)


def order(number):
    connections.acquire()  # could block
    total = int(number) * 5
    connections.release()  # not after an exception
    return f"{total}\n"


def report():
    with open("report.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # could block, and everybody with it
        return "all is well\n"


def application(environ, start_response):
    what, *arguments = environ["PATH_INFO"].strip("/").split("/")
    page = {"order": order, "report": report}[what]
    body = page(*arguments)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body.encode()]
