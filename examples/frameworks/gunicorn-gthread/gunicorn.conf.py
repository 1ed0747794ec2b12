import pystuck

bind = "unix:web.sock"
worker_class = "gthread"
workers = 1
threads = 4


def post_fork(server, worker):
    pystuck.run_server()
