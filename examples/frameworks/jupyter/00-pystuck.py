import pystuck

pystuck.run_server()
