//! Who may call: this machine, not a web page that happens to be open on it,
//! and for the admin routes only who can read `api.json`.

use std::net::IpAddr;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::Next,
    response::Response,
};

use super::{Shared, failure};

/// Refuses requests whose Host is not a loopback name (a page that rebinds its
/// name to 127.0.0.1 sends its own name there) or whose Origin is not this very
/// server.
pub(super) async fn loopback_only(request: Request, next: Next) -> Response {
    match check(
        request.headers(),
        request.uri().authority().map(ToString::to_string),
    ) {
        Ok(()) => next.run(request).await,
        Err(reason) => failure(StatusCode::FORBIDDEN, "forbidden", reason),
    }
}

/// Refuses requests without the bearer token of `api.json`.
pub(super) async fn with_token(
    State(shared): State<Shared>,
    request: Request,
    next: Next,
) -> Response {
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .unwrap_or_default();
    if same(given.as_bytes(), shared.token.as_bytes()) {
        next.run(request).await
    } else {
        failure(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "the admin API wants `Authorization: Bearer` with the token from the node's api.json",
        )
    }
}

/// Compares in a time that depends on the lengths only.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |rest, (x, y)| rest | (x ^ y)) == 0
}

fn check(headers: &HeaderMap, authority: Option<String>) -> Result<(), &'static str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().unwrap_or_default(),
        _ => return Err("the request needs exactly one Host header"),
    };
    if !is_loopback(host) || authority.is_some_and(|authority| !is_loopback(&authority)) {
        return Err("the Host header does not name this machine's loopback interface");
    }
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let same_origin = match (origins.next(), origins.next()) {
        (None, _) => true,
        (Some(origin), None) => origin
            .to_str()
            .ok()
            .and_then(|origin| origin.strip_prefix("http://"))
            .is_some_and(|origin| origin.eq_ignore_ascii_case(host)),
        _ => false,
    };
    if same_origin {
        Ok(())
    } else {
        Err("the request comes from a web page of another origin")
    }
}

/// Whether `host` or `host:port` is a loopback name or address.
fn is_loopback(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        // The colons of a bare IPv6 address are not a port's.
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return false;
    }
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let address = match name.strip_prefix('[') {
        Some(inside) => inside.strip_suffix(']'),
        None => Some(name).filter(|name| !name.contains(':')),
    };
    address
        .and_then(|address| address.parse::<IpAddr>().ok())
        .is_some_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn verdict(headers: &[(&'static str, &str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        check(&map, None).is_ok()
    }

    #[test]
    fn loopback_names_pass() {
        for host in [
            "localhost",
            "LOCALHOST:80",
            "127.0.0.1",
            "127.0.0.1:4680",
            "127.9.9.9:1",
            "[::1]",
            "[::1]:4680",
        ] {
            assert!(verdict(&[("host", host)]), "{host}");
        }
    }

    #[test]
    fn other_names_do_not() {
        for host in [
            "",
            "evil.example",
            "evil.example:4680",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "192.168.1.7",
            "0.0.0.0:4680",
            "[::]:4680",
            "127.0.0.1:evil",
            "::1",
            "localhost:",
        ] {
            assert!(!verdict(&[("host", host)]), "{host}");
        }
        assert!(!verdict(&[]));
        assert!(!verdict(&[("host", "localhost"), ("host", "localhost")]));
    }

    #[test]
    fn an_absolute_target_is_checked_too() {
        let mut map = HeaderMap::new();
        map.append("host", "localhost".parse().unwrap());
        assert!(check(&map, Some("localhost".to_owned())).is_ok());
        assert!(check(&map, Some("evil.example".to_owned())).is_err());
    }

    #[test]
    fn only_the_servers_own_origin_passes() {
        let host = ("host", "localhost:4680");
        assert!(verdict(&[host, ("origin", "http://localhost:4680")]));
        for origin in [
            "http://evil.example",
            "https://localhost:4680",
            "http://localhost:9999",
            "http://127.0.0.1:4680",
            "null",
        ] {
            assert!(!verdict(&[host, ("origin", origin)]), "{origin}");
        }
        let twice = ("origin", "http://localhost:4680");
        assert!(!verdict(&[host, twice, twice]));
    }

    #[test]
    fn tokens_are_compared_whole() {
        assert!(same(b"abc", b"abc"));
        assert!(!same(b"abc", b"abd"));
        assert!(!same(b"abc", b"ab"));
        assert!(!same(b"", b"abc"));
    }
}
