#!/usr/bin/env python3
"""libtorrent as the benches run it beside weft: no tracker, no DHT, no discovery; who is
there is given.

    torrent.py make FILE TORRENT PIECE_KIB
    torrent.py seed SETTINGS FILE TORRENT IP:PORT
    torrent.py leech SETTINGS FOLDER TORRENT IP:PORT PEER_IP:PORT...
    torrent.py fetch SETTINGS FOLDER TORRENT IP:PORT PEER_IP:PORT...

A seeder says `ready` when it serves. A leecher says `ready` when its session listens, and
begins at the line `go`; `fetch` begins at once. Both say `done` when all pieces are verified
and written. At the line `count` each says how many bytes of pieces it sent so far. All end
with standard input.

PIECE_KIB 0 leaves the size of pieces to libtorrent. SETTINGS is `default`, `lan`, which did
best from one to one over loopback, or `swarm`, which did best behind thin lines (with pieces
of 64 KiB).
"""

import os
import sys
import threading
import time

import libtorrent as lt

# Nothing but what is given: neither setting touches how pieces travel.
QUIET = {
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "allow_multiple_connections_per_ip": True,
    "alert_mask": lt.alert_category.status
    | lt.alert_category.error
    | lt.alert_category.storage,
}

# Beside libtorrent's own `high_performance_seed`, for one fast link.
LAN = {
    "enable_outgoing_utp": False,
    "enable_incoming_utp": False,
    # encryption that its users need not have
    "in_enc_policy": int(lt.enc_policy.disabled),
    "out_enc_policy": int(lt.enc_policy.disabled),
    "unchoke_slots_limit": -1,
    "peer_turnover": 0,
    "smooth_connects": False,
    "max_queued_disk_bytes": 64 << 20,
}

# For a swarm behind thin lines: what is asked for and sent in advance would only wait.
SWARM = {
    "enable_outgoing_utp": False,
    "enable_incoming_utp": False,
    "unchoke_slots_limit": -1,
    "request_queue_time": 1,
    "initial_picker_threshold": 0,
    "send_buffer_watermark": 128 << 10,
}


def main():
    match sys.argv[1:]:
        case ["make", file, torrent, piece_kib]:
            make(file, torrent, int(piece_kib) << 10)
        case ["seed", settings, file, torrent, bind]:
            seed(settings, file, torrent, bind)
        case ["leech", settings, folder, torrent, bind, *peers]:
            leech(settings, folder, torrent, bind, peers, waits=True)
        case ["fetch", settings, folder, torrent, bind, *peers]:
            leech(settings, folder, torrent, bind, peers, waits=False)
        case _:
            sys.exit(__doc__)


def make(file, torrent, piece_bytes):
    made = lt.create_torrent(lt.list_files(file), piece_bytes)
    lt.set_piece_hashes(made, os.path.dirname(os.path.abspath(file)))
    with open(torrent, "wb") as out:
        out.write(lt.bencode(made.generate()))


def session(settings, bind):
    match settings:
        case "default":
            chosen = {}
        case "lan":
            chosen = {**lt.high_performance_seed(), **LAN}
        case "swarm":
            chosen = SWARM
        case _:
            sys.exit(f"no such settings: {settings}")
    params = lt.session_params()
    params.settings = {**params.settings, **chosen, **QUIET, "listen_interfaces": bind}
    return lt.session(params)


def params(torrent, folder):
    made = lt.load_torrent_file(torrent)
    made.save_path = folder
    # nobody else decides when it runs
    made.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    return made


def seed(settings, file, torrent, bind):
    here = session(settings, bind)
    # not in seed mode, which leaves checking the file for later, when it is asked for
    handle = here.add_torrent(params(torrent, os.path.dirname(os.path.abspath(file))))
    while not handle.status().is_seeding or here.listen_port() == 0:
        time.sleep(0.01)
    say("ready")
    converse(lambda: handle)


def leech(settings, folder, torrent, bind, peers, waits):
    here = session(settings, bind)
    made = params(torrent, folder)
    made.peers = [(ip, int(port)) for ip, port in (peer.split(":") for peer in peers)]
    handles = []

    def go():
        handles.append(here.add_torrent(made))
        threading.Thread(target=wait_until_whole, args=(here, handles[0]), daemon=True).start()

    if waits:
        while here.listen_port() == 0:
            time.sleep(0.01)
        say("ready")
    else:
        go()
    converse(lambda: handles[0], go)


def wait_until_whole(here, handle):
    asked = False
    while True:
        here.wait_for_alert(1000)
        for alert in here.pop_alerts():
            if isinstance(alert, lt.torrent_error_alert | lt.file_error_alert):
                say(f"error {alert.message()}")
            if isinstance(alert, lt.torrent_finished_alert) and not asked:
                asked = True
                handle.flush_cache()
            elif isinstance(alert, lt.cache_flushed_alert) and asked:
                say("done")
                return


def converse(handle, go=lambda: None):
    for line in sys.stdin:
        match line.strip():
            case "go":
                go()
            case "count":
                say(f"sent {handle().status().total_payload_upload}")


def say(line):
    print(line, flush=True)


main()
