"""The front page of a shop. It asks another service for the prices, without a time-out."""
import os

import requests


def prices():
    return requests.get(os.environ["PRICES"]).json()  # could block


def application(environ, start_response):
    body = "".join(f"{item}: {price}\n" for item, price in prices().items())
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body.encode()]
