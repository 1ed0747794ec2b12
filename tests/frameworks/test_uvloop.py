"""Tasks of a loop that is not asyncio's own: uvloop's, whose timers, transports and handles are C. What only those know is not told: until
when a sleep lasts, and the ends of a stream.

Environment: as test_frameworks.py.
"""

from test_frameworks import needs
from test_greenlets import look, plain_place, start  # noqa: F401

PROGRAM = """
import asyncio, os, threading, time, uvloop
import pystuck
server = pystuck.run_server()
tasks = {}

def begin(name, coroutine):
    tasks[name] = asyncio.ensure_future(coroutine)
    tasks[name].set_name(name)

async def sleeper():
    await asyncio.sleep(100000)

async def all_of():
    await asyncio.gather(tasks["sleeper"], tasks["lock-1"])

async def hold(first, second, mine, other):
    async with first:
        mine.set()
        await other.wait()
        await second.acquire()

async def in_time(event):
    await asyncio.wait_for(event.wait(), 100000)

async def sock_read(sock):
    await asyncio.get_running_loop().sock_recv(sock, 1)

async def in_executor(release):
    await asyncio.get_running_loop().run_in_executor(None, release.wait)

async def serve(reader, writer):
    await reader.readline()

async def main():
    import socket
    loop = asyncio.get_running_loop()
    begin("sleeper", sleeper())
    a, b, seen_a, seen_b = asyncio.Lock(), asyncio.Lock(), asyncio.Event(), asyncio.Event()
    begin("lock-1", hold(a, b, seen_a, seen_b))
    begin("lock-2", hold(b, a, seen_b, seen_a))
    begin("gathering", all_of())
    begin("timed", in_time(asyncio.Event()))
    begin("getting", asyncio.Queue().get())
    left, right = socket.socketpair()
    left.setblocking(False)
    begin("socket", sock_read(left))
    release = threading.Event()
    begin("executor", in_executor(release))
    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname())
    begin("stream", reader.readexactly(1))
    child = await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE)  # ends with the program
    begin("child", child.wait())
    await asyncio.sleep(0.05)
    print("READY", flush=True)
    while not os.path.exists("block"): await asyncio.sleep(0.01)
    print("BLOCKED", flush=True)
    while not os.path.exists("stop"): time.sleep(0.01)
    release.set()
    child.kill()
    server.close()
    os._exit(0)

uvloop.install()
asyncio.run(main())
"""

WAITS = {"sleeper": "sleep", "lock-1": "lock", "lock-2": "lock", "gathering": "tasks", "getting": "get", "executor": "executor", "stream": "read",
         "child": "child"}


@needs("uvloop")
def test_tasks_of_uvloop_say_what_they_wait_for(plain_place):  # noqa: F811
    with start(plain_place, PROGRAM) as program:
        program.says("READY")
        answer = look(plain_place, program.pid)
        tasks = {task["name"]: task for task in answer["tasks"]}
        names = {task["id"]: task["name"] for task in answer["tasks"]}
        for name, kind in WAITS.items():
            assert tasks[name]["state"] == "waiting" and tasks[name]["waits_for"]["kind"] == kind, tasks[name]
        assert {names[one] for one in tasks["gathering"]["awaits"]} == {"sleeper", "lock-1"}
        assert tasks["timed"]["waits_for"]["timed"] is True
        assert tasks["socket"]["frames"][-1]["function"] == "sock_read", tasks["socket"]
        circle, = answer["task_deadlocks"]
        assert sorted(names[one] for one in circle["members"]) == ["lock-1", "lock-2"] and circle["confidence"] == "inferred"
        loop, = answer["loops"]
        assert loop["class"] == "Loop" and loop["running"] and loop["tid"] == program.pid, loop
        (plain_place.path / "block").touch()
        program.says("BLOCKED")
        answer = look(plain_place, program.pid)
        running, = (task for task in answer["tasks"] if task["state"] == "running")
        assert answer["loops"][0]["task"] == running["id"] and running["frames"][-1]["function"] == "main"
        (plain_place.path / "stop").touch()
        assert program.process.wait(20) == 0
        program.assert_quiet()
