import pystuck

bind = "unix:web.sock"
workers = 4
timeout = 600


def on_starting(server):
    pystuck.run_server()
