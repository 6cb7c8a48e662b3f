"""What an entry in the hosts file does, for one process: WXGATE_HOSTS names a host, and where it is found.

Python imports this at its start, from PYTHONPATH. As another process may have port 443, the port is the test's.
"""

import os
import socket

host, address, port = os.environ["WXGATE_HOSTS"].split()
real = socket.getaddrinfo


def getaddrinfo(name, service, *args, **kwargs):
    if name == host:
        name, service = address, int(port)
    return real(name, service, *args, **kwargs)


socket.getaddrinfo = getaddrinfo
