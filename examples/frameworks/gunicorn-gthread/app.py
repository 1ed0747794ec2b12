"""Moves money. The account that pays is locked while another service is asked for its consent; then the other one is locked too."""
import os
import threading

import requests


class Account:
    def __init__(self, name):
        self.name = name
        self.lock = threading.Lock()
        self.balance = 100


accounts = {name: Account(name) for name in ("alice", "bob", "carol")}


def transfer(source, target, amount):
    with source.lock:
        requests.get(os.environ["CONSENT"], timeout=600).raise_for_status()
        with target.lock:  # could block
            source.balance -= amount
            target.balance += amount


def application(environ, start_response):
    source, target = environ["PATH_INFO"].strip("/").split("/")
    transfer(accounts[source], accounts[target], 10)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"done\n"]
