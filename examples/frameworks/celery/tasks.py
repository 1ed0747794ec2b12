"""Sends letters. A thread hands the counters to another service, with the lock on them; the pool is forked meanwhile."""
import os
import threading

import celery
import celery.signals
import pystuck
import requests

app = celery.Celery("tasks", broker="filesystem://", broker_transport_options={"data_folder_in": "queue", "data_folder_out": "queue"})
counters, counters_lock = {"letters": 0}, threading.Lock()


def report():
    with counters_lock:
        requests.post(os.environ["METRICS"], json=counters)


@celery.signals.worker_init.connect
def begin(**_):
    pystuck.run_server()
    threading.Thread(target=report, name="metrics", daemon=True).start()


@app.task
def letter(name):
    with counters_lock:  # could block
        counters["letters"] += 1
