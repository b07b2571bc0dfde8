"""A service function of your own: greets whoever asks, and measures itself. The contract is docs/own-service.md."""
import http.server
import os, signal
import threading
import time
import urllib.request

ENV = os.environ
TAGS = "".join(f",{tag}={ENV[tag.upper()]}" for tag in ("flame_sf", "flame_sfe", "flame_location") if ENV.get(tag.upper()))
SEEN, LOCK, ENDING = [0, 0.0], threading.Lock(), threading.Event()  # Seen: requests, and seconds that they took.


class Greeter(http.server.BaseHTTPRequestHandler):
    protocol_version, timeout = "HTTP/1.1", 5  # Who says nothing for so long is not waited for.

    def do_GET(self):
        began = time.monotonic()
        if self.path in ("/health/live", "/health/ready"):
            return self.say(200, "well", "no-store")
        if not self.path.startswith("/hello"):
            return self.say(404, "there is only /hello", "no-store")
        self.say(200, f"hello from {ENV.get('FLAME_SF', 'nobody')}", "max-age=1")
        with LOCK:
            SEEN[:] = SEEN[0] + 1, SEEN[1] + time.monotonic() - began

    do_HEAD, log_message = do_GET, lambda *_: None

    def say(self, status, text, cache):
        body = (text + "\n").encode()
        self.send_response(status)
        for name, value in ("Content-Type", "text/plain"), ("Content-Length", str(len(body))), ("Cache-Control", cache):
            self.send_header(name, value)
        if ENDING.is_set():
            self.send_header("Connection", "close")  # Whoever asks on goes elsewhere: no connection holds the end up.
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def report(url):
    while not time.sleep(1):
        with LOCK:
            (requests, seconds), SEEN[:] = tuple(SEEN), (0, 0.0)
        line = f"greeter{TAGS} requests={requests}i,response_time={seconds / max(requests, 1)}"
        headers = {"Authorization": f"Bearer {ENV['FLAME_TOKEN']}"} if ENV.get("FLAME_TOKEN") else {}
        try:
            urllib.request.urlopen(urllib.request.Request(url, line.encode(), headers), timeout=2).close()
        except OSError:
            pass  # Measurements that nobody takes are dropped: they never hold a request up.


server = http.server.ThreadingHTTPServer((ENV.get("GREETER_HOST", "127.0.0.1"), int(ENV["FLAME_PORT"])), Greeter)
server.daemon_threads = False  # What is open is finished before the end.
signal.signal(signal.SIGTERM, lambda *_: (ENDING.set(), threading.Thread(target=server.shutdown).start()))
if ENV.get("FLAME_ROUTER"):
    to = f"{ENV['FLAME_ROUTER'].rstrip('/')}/~clmc/write?db={ENV.get('FLAME_SFC', 'flame')}"
    threading.Thread(target=report, args=[to], daemon=True).start()
with server:
    server.serve_forever()
