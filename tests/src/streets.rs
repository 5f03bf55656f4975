//! Homes behind routers, as network namespaces: some hosts stand in the open, some behind a
//! router that translates their address and lets nothing in that they have not asked for.
//!
//! ```text
//!  a (10.9.1.2) ── router ─┐
//!  c (10.9.2.2) ── router ─┼─ street ── p (203.0.113.1)
//!                          ┘
//! ```
//!
//! A test runs itself again in a namespace of its own, with which all of them go.

use std::process::Command;

/// Where every node listens, in its own namespace.
pub const LISTEN: &str = "/ip4/0.0.0.0/tcp/4001";

/// Set where the test runs again.
const INSIDE: &str = "WEFT_STREETS";

/// Runs a test among these hosts, each `NAME` or, behind a router, `NAME:nat`, or `NAME:maze`
/// where each connection gets out by another port. Where this machine allows none of it that
/// is said by name.
pub fn among(test: &str, hosts: &[&str], run: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return run();
    }
    if let Some(reason) = obstacle() {
        return crate::skip(test, &reason);
    }
    let output = Command::new("unshare")
        .args(["-Urnm", "sh", "-c", SCRIPT, "streets"])
        .arg(hosts.join(" "))
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
}

/// Where a host is reached from the street, if it can be: its own address, or its router's.
pub fn outside(number: usize) -> String {
    format!("203.0.113.{}", number + 1)
}

/// Whether a host gets through to a port by TCP.
pub fn connects(from: &str, to: &str) -> bool {
    let dial = format!("exec 3<>/dev/tcp/{to}/4001");
    let mut command = Command::new("ip");
    command.args(["netns", "exec", from, "timeout", "2", "bash", "-c", &dial]);
    command.output().unwrap().status.success()
}

fn obstacle() -> Option<String> {
    let probe = "mount -t tmpfs tmpfs /run && ip netns add probe && \
                 ip netns exec probe nft add table inet probe";
    let output = Command::new("unshare")
        .args(["-Urnm", "sh", "-c", probe])
        .output();
    match output {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Some(format!("namespaces are refused: {}", said.trim()))
        }
        Err(error) => Some(format!("unshare cannot be run: {error}")),
    }
}

/// Everybody on the street has an address of its own and no network: who stands there is
/// beyond everybody's LAN.
const SCRIPT: &str = r#"
set -e
mount -t tmpfs tmpfs /run
ip link set lo up
ip netns add street
ip -n street link set lo up
ip netns exec street sysctl -qw net.ipv4.ip_forward=1
number=0
for host in $1; do
  number=$((number + 1))
  name=${host%:*}
  ports=
  [ "$host" = "$name:maze" ] && ports=fully-random
  out=203.0.113.$number
  ip netns add $name
  ip -n $name link set lo up
  door=$name
  if [ "$name" != "$host" ]; then
    door=$name-router
    ip netns add $door
    ip -n $door link set lo up
    ip netns exec $door sysctl -qw net.ipv4.ip_forward=1
    ip -n $name link add eth0 type veth peer name home netns $door
    ip -n $name addr add 10.9.$number.2/24 dev eth0
    ip -n $name link set eth0 up
    ip -n $door addr add 10.9.$number.1/24 dev home
    ip -n $door link set home up
    ip -n $name route add default via 10.9.$number.1
    ip netns exec $door nft -f - <<RULES
table ip router {
  chain forward {
    type filter hook forward priority 0; policy drop;
    iifname "home" accept
    ct state established,related accept
  }
  chain input {
    type filter hook input priority 0; policy drop;
    ct state established,related accept
  }
  chain out {
    type nat hook postrouting priority 100;
    oifname "wan" masquerade $ports
  }
}
RULES
  fi
  ip -n $door link add wan type veth peer name to-$number netns street
  ip -n $door addr add $out/32 dev wan
  ip -n $door link set wan up
  ip -n $door route add 203.0.113.254/32 dev wan
  ip -n $door route add default via 203.0.113.254
  ip -n street link set to-$number up
  ip -n street addr add 203.0.113.254/32 dev to-$number
  ip -n street route add $out/32 dev to-$number
done
shift
exec "$@"
"#;
