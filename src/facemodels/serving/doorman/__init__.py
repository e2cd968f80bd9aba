"""A process at the door, so that health is answered in milliseconds whatever the server works on.

The interpreter runs one thread at a time, and a library may keep it for a tenth of a second, as
libwebp does for 50 million pixels. So no thread of the server can promise when it will answer. The
doorman accepts the connections. Requests for health it answers itself, by what the server's event
loop wrote last; every other connection it hands to the server, with all its bytes unread.

- `program`: the process. It imports the standard library alone, and takes 9 MB.
- `service`: the server's side: `Doorman` starts it, takes connections from it and ends it.
"""
