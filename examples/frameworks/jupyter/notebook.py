import queue, threading

jobs, results = queue.Queue(), queue.Queue()


def work():
    while True:
        number = jobs.get()
        results.put(100 / number)  # a ZeroDivisionError ends the thread


threading.Thread(target=work, daemon=True).start()
for number in (4, 2, 0, 5):
    jobs.put(number)
print([results.get() for _ in range(4)])  # could block
