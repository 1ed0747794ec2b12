import pystuck

bind = "unix:web.sock"
worker_class = "gevent"
workers = 1
timeout = 600


def post_fork(server, worker):
    pystuck.run_server()
