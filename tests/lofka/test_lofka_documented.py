"""Two scripts with the names and habits of those that Lofka documents: one that prints, one that talks to everything."""

from __future__ import annotations

import json

from tests.lofka.lofka_http import EchoServer
from tests.servers.mongo_server import MongoServer
from tests.servers.redis_servers import RedisCluster
from tests.servers.sql_servers import PASSWORD, USER, MariaDbServer
from trimtab.testing.scripts import ScriptRunner

PRINTING = """
function open(){
    console.log("ready");
}

function close(){
    console.log("done");
}

function processing_data(str_data){
    var data = JSON.parse(str_data);
    if(is_wanted(data)){
        show(data);
    }
}

function show(data){
    console.logJSON(data);
}

function is_wanted(data){
    return data["app_name"]==="fleet/alarms";
}
"""

ALL_IN_TURN = """
$.getJSON(
    "HTTP/get",
    {
        "k": "v",
        "n": 3
    },
    console.logJSON
);

$.post(
    "HTTP/post",
    {
        "k": "v"
    },
    function (data) {
        console.logJSON(JSON.parse(data).form);
    }
);

var conn = new SQLConnection({
    "uri": "SQL",
    "user": "USER",
    "password": "PASSWORD",
    "driver": "com.mysql.jdbc.Driver"
});
try {
    console.logJSON(
        conn.query(
            "SELECT F_ID as id,F_TIME as gt FROM T_PLACES LIMIT 0,2"
        ).result
    );
    throw "Thrown";
} catch (err) {
    console.err("Caught " + JSON.stringify(err, null, 2))
} finally {
    conn.close();
}

var redis = new RedisCluster(PORTS.map(function (port) {
    return "127.0.0.1:" + port
}));
console.logJSON(redis.hgetall("fleet_GPS"));
console.log(redis.hget("fleet_GPS", "Area"));
redis.close();


var mongo = new MongoClient({
    "servers": "MONGO"
});

console.logJSON(
    mongo.get_collection(
        "lofka", "places"
    ).find({
        "kind": "depot"
    }).sort({
        "_id": -1
    }).limit(2).toArray()
);

mongo.get_collection(
    "lofka", "test"
).insert([
    {"x": 1},
    {"x": 2}
]);
mongo.close();
"""


def test_a_script_that_prints_what_it_filters() -> None:
    wanted = {"app_name": "fleet/alarms", "message": "low fuel"}
    with ScriptRunner() as runner:
        runner.load(print_test__js=PRINTING)
        assert runner.handle({"app_name": "other"}, wanted).faults == []
        runner.close()
        assert [entry.message for entry in runner.logged] == ["ready", json.dumps(wanted, indent=2), "done"]


def test_a_script_that_uses_http_sql_redis_and_mongodb_in_turn(
    http_server: EchoServer, mariadb: MariaDbServer, redis_cluster: RedisCluster, mongo_server: MongoServer
) -> None:
    mariadb.run(
        "create table T_PLACES (F_ID varchar(20), F_TIME datetime)",
        "insert into T_PLACES values ('4942', '2018-11-28 00:00:09')",
    )
    redis_cluster.master_of("fleet_GPS").ask("HSET", "fleet_GPS", "Area", "17")
    with mongo_server.client() as client:
        client["lofka"]["places"].insert_many([{"_id": n, "kind": "depot"} for n in range(3)])
    replacements = {
        "HTTP": http_server.url,
        "SQL": mariadb.jdbc_url.replace("mariadb", "mysql"),
        '"USER"': f'"{USER}"',
        '"PASSWORD"': f'"{PASSWORD}"',
        "PORTS": str([node.port for node in redis_cluster.nodes[:5]]),
        "MONGO": mongo_server.address,
    }
    script = ALL_IN_TURN
    for name, address in replacements.items():
        script = script.replace(f'"{name}"', f'"{address}"') if name == "SQL" else script.replace(name, address)
    with ScriptRunner() as runner:
        runner.load(all__js=script)
        messages = [entry.message for entry in runner.logged]
    decoded = [json.loads(message) for message in messages if message[0] in "[{"]
    assert decoded[0] == [{"id": "4942", "gt": "2018-11-28 00:00:09"}]
    assert decoded[1:3] == [{"Area": "17"}, [{"_id": 2, "kind": "depot"}, {"_id": 1, "kind": "depot"}]]
    assert (decoded[3]["args"], decoded[4]) == ({"k": "v", "n": "3"}, {"k": "v"})
    assert {'Caught "Thrown"', "17"} <= set(messages)
    with mongo_server.client() as client:
        assert client["lofka"]["test"].count_documents({}) == 2
