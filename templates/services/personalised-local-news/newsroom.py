"""The news of where a viewer is: `/PLACE/index.m3u8` leads to the newest asset of that place. The contract is docs/own-service.md."""
import http.server
import json
import os
import re
import signal
import threading
import urllib.parse
import urllib.request

ROUTER, INSTANCE, TOKEN = os.environ["FLAME_ROUTER"].rstrip("/"), os.environ["FLAME_SFCI"], os.environ.get("FLAME_TOKEN")
HEADERS = {"Authorization": f"Bearer {TOKEN}"} if TOKEN else {}
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
ENDING = threading.Event()
WANTED = re.compile(r"/([a-z0-9-]{1,64})/index\.m3u8")
EVERYWHERE = "everywhere"  # What is shown to those for whose place there is nothing.


def newest(place):
    """The newest asset whose field `custom.place` says so, or None."""
    asked = urllib.parse.urlencode({"filter": f"custom.place = '{place}'", "limit": 1})
    with OPENER.open(urllib.request.Request(f"{ROUTER}/~metadata/assets?{asked}", headers=HEADERS), timeout=2) as answer:
        items = json.load(answer)["items"]
    return items[0]["id"] if items else None


class Newsroom(http.server.BaseHTTPRequestHandler):
    protocol_version, timeout = "HTTP/1.1", 5  # Who says nothing for so long is not waited for.

    def do_GET(self):
        path = urllib.parse.urlsplit(self.path).path
        if path in ("/health/live", "/health/ready"):
            return self.say(200, "well")
        wanted = WANTED.fullmatch(path)
        if not wanted:
            return self.say(404, "there is only /PLACE/index.m3u8")
        try:
            asset = newest(wanted[1]) or newest(EVERYWHERE)
        except (OSError, ValueError, KeyError) as error:
            return self.say(503, f"the catalogue does not say: {error}", {"Retry-After": "1"})
        if asset is None:
            return self.say(404, f"there is no news of {wanted[1]}, nor of {EVERYWHERE}")
        # The same for all of one place; what comes later is seen soon.
        # Relative, past its own name: what begins with `/` is a path of the service's own for the router.
        way = {"Location": f"../../~edge.{INSTANCE}/{asset}/index.m3u8", "Cache-Control": "public, max-age=5"}
        self.say(302, asset, way)

    do_HEAD, log_message = do_GET, lambda *_: None

    def say(self, status, text, more={}):
        body = (text + "\n").encode()
        self.send_response(status)
        fields = {"Content-Type": "text/plain", "Content-Length": str(len(body)), "Cache-Control": "no-store", **more}
        for name, value in fields.items():
            self.send_header(name, value)
        if ENDING.is_set():
            self.send_header("Connection", "close")  # Whoever asks on goes elsewhere: no connection holds the end up.
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["FLAME_PORT"])), Newsroom)
server.daemon_threads = False  # What is open is finished before the end.
signal.signal(signal.SIGTERM, lambda *_: (ENDING.set(), threading.Thread(target=server.shutdown).start()))
with server:
    server.serve_forever()
