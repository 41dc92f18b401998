"""Writes known values by a public client package.

Arguments: the client, the port of its receiver on 127.0.0.1, and a time in seconds. Samples i = 0..9 are at that time
plus i and have the value i * 1.5 + 0.25.
"""

import sys


def samples(t):
    return [(t + i, i * 1.5 + 0.25) for i in range(10)]


def potsdb(port, t):
    import potsdb

    client = potsdb.Client("127.0.0.1", port=port, host_tag="h1")
    for at, value in samples(t):
        client.send("known.potsdb", value, kind="a", timestamp=at)
    client.wait()


def opentsdb_py(port, t, protocol):
    from opentsdb import TSDBClient, TSDBConnectProtocols

    client = TSDBClient(
        "127.0.0.1",
        port=port,
        protocol=getattr(TSDBConnectProtocols, protocol),
        host_tag=False,
        static_tags={"host": "h1"},
    )
    assert client.is_alive()
    for at, value in samples(t):
        client.send("known.opentsdb_py." + protocol, value, timestamp=at)
    client.close()
    client.wait()
    if protocol == "HTTP":
        assert client.statuses == {"success": 10, "failed": 0, "queued": 10}, client.statuses


def prometheus_client(port, _):
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
    from prometheus_client import delete_from_gateway, push_to_gateway, pushadd_to_gateway

    gateway = f"127.0.0.1:{port}"
    key = {"instance": "a/b", "zone": ""}

    registry = CollectorRegistry()
    Gauge("known_pushed", "Pushed.", ["kind"], registry=registry).labels('q"\\\n').set(42.25)
    Counter("known_replaced", "To be replaced.", registry=registry).inc(7)
    push_to_gateway(gateway, job="first/job", grouping_key=key, registry=registry)

    registry = CollectorRegistry()
    Histogram("known_added", "Added.", buckets=(1, 2.5), registry=registry).observe(2)
    pushadd_to_gateway(gateway, job="first/job", grouping_key=key, registry=registry)

    registry = CollectorRegistry()
    Gauge("known_deleted", "To be deleted.", registry=registry).set(1)
    push_to_gateway(gateway, job="second", registry=registry)
    delete_from_gateway(gateway, job="second")


def elasticsearch6(port, t):
    import elasticsearch6
    from elasticsearch6 import helpers

    client = elasticsearch6.Elasticsearch([{"host": "127.0.0.1", "port": port, "url_prefix": "beat"}], http_compress=True)
    assert client.info()["version"]["number"] == "6.8.23"
    assert client.ping()
    assert client.indices.exists_template("metricbeat-6.8.23")
    assert client.indices.put_template("metricbeat-6.8.23", {"index_patterns": []})["acknowledged"]
    assert client.cluster.health()["status"] == "green"
    events = [
        {
            "_index": "metricbeat-6.8.23",
            "_type": "doc",
            "_source": {
                "@timestamp": at * 1000,
                "metricset": {"name": "network", "module": "system"},
                "system": {"network": {"name": nic, "in": {"bytes": value}}},
            },
        }
        for at, value in samples(t)
        for nic in ("eth0", "lo")
    ]
    assert helpers.bulk(client, events, chunk_size=7) == (20, [])
    bad = dict(events[0], _source={"@timestamp": "never"})
    stored, errors = helpers.bulk(client, [bad], raise_on_error=False)
    assert (stored, errors[0]["index"]["error"]["type"]) == (0, "mapper_parsing_exception"), errors


CLIENTS = {
    "potsdb": potsdb,
    "opentsdb-http": lambda port, t: opentsdb_py(port, t, "HTTP"),
    "opentsdb-telnet": lambda port, t: opentsdb_py(port, t, "TELNET"),
    "prometheus-client": prometheus_client,
    "elasticsearch6": elasticsearch6,
}

CLIENTS[sys.argv[1]](int(sys.argv[2]), int(sys.argv[3]))
