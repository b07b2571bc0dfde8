"""The `influxdb` client of PyPI against whoever listens on a port of this machine: writes, and asks. Prints one line when
everything was as it should be; a failed expectation ends it."""
import sys
import time

from influxdb import InfluxDBClient
from influxdb.exceptions import InfluxDBClientError

client = InfluxDBClient("127.0.0.1", int(sys.argv[1]), database="judged")
assert client.ping()
client.create_database("judged")
assert {"name": "judged"} in client.get_list_database()
begin = int(time.time()) - 600
points = [
    {"measurement": "cpu", "tags": {"host": f"h {n % 2}"}, "time": (begin + n) * 10**9, "fields": {"usage": n / 2, "n": n, "ok": n > 3, "said": 'a "b", c'}}
    for n in range(20)
]
assert client.write_points(points, batch_size=7)
assert client.write_points([{"measurement": "cpu", "tags": {"host": "h 2"}, "time": begin, "fields": {"usage": 1.0}}], time_precision="s")
rows = list(client.query("SELECT * FROM cpu WHERE host = 'h 1' ORDER BY time DESC LIMIT 1").get_points())
assert len(rows) == 1 and rows[0]["usage"] == 9.5 and rows[0]["n"] == 19 and rows[0]["ok"] is True and rows[0]["said"] == 'a "b", c', rows
assert rows[0]["time"] == time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begin + 19)), rows
found = client.query("SELECT mean(usage), count(n) FROM cpu WHERE host =~ /h [01]/ GROUP BY host", epoch="ms")
assert [(key[1]["host"], list(rows)[0]["mean"]) for key, rows in found.items()] == [("h 0", 4.5), ("h 1", 5.0)], found
windows = list(client.query(f"SELECT sum(n) FROM cpu WHERE time >= {begin}s AND time < {begin + 20}s GROUP BY time(10s, {begin % 10}s)").get_points())
assert [row["sum"] for row in windows] == [45, 145], windows
bound = client.query("SELECT count(n) FROM cpu WHERE host = $host", bind_params={"host": "h 0"})
assert list(bound.get_points())[0]["count"] == 10, bound
assert client.get_list_measurements() == [{"name": "cpu"}]
assert client.get_list_retention_policies()[0]["name"] == "autogen"
assert len(client.get_list_series()) == 3
try:
    client.write_points([{"measurement": "cpu", "time": begin, "fields": {"usage": "a text"}}], time_precision="s")
    raise SystemExit("a text was taken for a number")
except InfluxDBClientError as error:
    assert error.code == 400 and "field type conflict" in str(error), error
try:
    client.query("SELECT mean(usage FROM cpu")
    raise SystemExit("nonsense was answered")
except InfluxDBClientError as error:
    assert error.code == 400 and "error parsing query" in str(error), error
client.drop_database("judged")
assert {"name": "judged"} not in client.get_list_database()
print("all as expected")
