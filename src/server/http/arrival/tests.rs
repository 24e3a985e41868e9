//! Headers of proxies, believed and forged.

use axum::http::{HeaderName, HeaderValue};

use super::*;

const PROXY: &str = "10.0.0.1";

fn arrival(peer: &str, headers: &[(&str, &str)]) -> Result<Arrival, ForeignHeader> {
    let mut map = HeaderMap::new();
    map.insert("host", HeaderValue::from_static("chat.example.org"));
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        if name == "host" {
            map.insert(name, value.parse().unwrap());
        } else {
            map.append(name, value.parse().unwrap());
        }
    }
    let peer = match peer {
        "unix" => Peer::Unix,
        address => Peer::Tcp((address.parse::<IpAddr>().unwrap(), 5000).into()),
    };
    let hosts = ["chat.example.org", "other.example.org"].map(|host| host.parse().unwrap());
    let hosts = OwnHosts::new(hosts.into(), Vec::new());
    let proxies = [PROXY, "10.1.0.0/16", "unix"].map(|proxy| proxy.parse().unwrap());
    Arrival::of((&Uri::from_static("/"), &map), (peer, false), &hosts, &proxies)
}

fn client(peer: &str, headers: &[(&str, &str)]) -> String {
    arrival(peer, headers).unwrap().peer.to_string()
}

#[test]
fn client_is_the_rightmost_address_that_is_no_trusted_proxy() {
    let table: [(&[&str], &str); 11] = [
        (&["203.0.113.7"], "203.0.113.7"),
        (&["203.0.113.7, 10.1.2.3"], "203.0.113.7"),
        (&["6.6.6.6, 203.0.113.7"], "203.0.113.7"),
        (&["6.6.6.6, 203.0.113.7, 10.1.2.3,10.0.0.1"], "203.0.113.7"),
        (&["6.6.6.6", "203.0.113.7"], "203.0.113.7"),
        (&["127.0.0.1, 203.0.113.7"], "203.0.113.7"),
        (&["10.1.2.3, 10.1.2.4"], "10.1.2.3"),
        (&["203.0.113.7:4711"], "203.0.113.7"),
        (&["[fd00::7]:4711"], "fd00::7"),
        (&["fd00::7"], "fd00::7"),
        (&["::ffff:203.0.113.7"], "203.0.113.7"),
    ];
    for (values, expected) in table {
        let headers: Vec<_> = values.iter().map(|&value| ("x-forwarded-for", value)).collect();
        assert_eq!(client(PROXY, &headers), expected, "{values:?}");
        assert_eq!(client("unix", &headers), expected, "{values:?}");
    }
}

#[test]
fn proxy_counts_as_the_client_if_it_names_none() {
    for value in ["", "unknown", "6.6.6.6, unknown", "_hidden", "1.2.3"] {
        assert_eq!(client(PROXY, &[("x-forwarded-for", value)]), "10.0.0.1:5000", "{value:?}");
    }
    assert_eq!(client("unix", &[]), "unix");
    assert_eq!(client(PROXY, &[("x-forwarded-for", "unknown, 10.1.2.3")]), "10.1.2.3");
}

#[test]
fn headers_of_an_untrusted_peer_are_ignored() {
    let forged = [
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-host", "evil.com"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=127.0.0.1;host=evil.com;proto=https"),
    ];
    let found = arrival("203.0.113.7", &forged).unwrap();
    assert_eq!(found.peer.to_string(), "203.0.113.7:5000");
    assert_eq!(Some(found.host), Authority::parse("chat.example.org"));
    assert!(!found.is_secure);
}

#[test]
fn forwarded_header_is_read_as_the_rfc_says() {
    for (value, expected) in [
        ("for=203.0.113.7", "203.0.113.7"),
        ("For=\"203.0.113.7:4711\"", "203.0.113.7"),
        ("for=6.6.6.6, for=203.0.113.7;by=10.0.0.1", "203.0.113.7"),
        ("proto=https;for=\"[fd00::7]:4711\"", "fd00::7"),
        ("for=203.0.113.7;x=\"a,b;c\", for=10.1.2.3", "203.0.113.7"),
        ("for=203.0.113.7;x=\"\\\", for=6.6.6.6\"", "203.0.113.7"),
        ("for=unknown", "10.0.0.1:5000"),
        ("nonsense", "10.0.0.1:5000"),
    ] {
        assert_eq!(client(PROXY, &[("forwarded", value)]), expected, "{value}");
    }
    let found = arrival(PROXY, &[("forwarded", "for=1.2.3.4;host=other.example.org;proto=HTTPS")]);
    let found = found.unwrap();
    assert!(found.is_secure);
    assert_eq!(Some(found.host), Authority::parse("other.example.org"));
}

#[test]
fn client_is_some_other_machine_if_headers_disagree() {
    let agreeing = [("x-forwarded-for", "203.0.113.7"), ("forwarded", "for=203.0.113.7")];
    assert_eq!(client(PROXY, &agreeing), "203.0.113.7");
    for forged in [
        [("x-forwarded-for", "203.0.113.7"), ("forwarded", "for=6.6.6.6")],
        [("x-forwarded-for", "203.0.113.7"), ("forwarded", "for=x")],
        [("x-forwarded-for", "unknown"), ("forwarded", "for=6.6.6.6")],
        // The same with a proxy that writes only the other kind.
        [("x-forwarded-host", "other.example.org"), ("forwarded", "for=203.0.113.7")],
    ] {
        for proxy in [PROXY, "unix"] {
            let found = arrival(proxy, &forged).unwrap();
            assert_eq!(found.peer.address().to_string(), "0.0.0.0", "{forged:?}");
            assert_eq!(Some(found.host), Authority::parse("chat.example.org"), "{forged:?}");
        }
    }
}

#[test]
fn scheme_is_not_believed_and_a_foreign_host_is_refused_if_headers_disagree() {
    let forged = [("x-forwarded-proto", "https"), ("forwarded", "for=203.0.113.7;proto=https")];
    assert!(!arrival(PROXY, &forged).unwrap().is_secure);
    let foreign = [("x-forwarded-host", "evil.com"), ("forwarded", "for=203.0.113.7")];
    assert!(arrival(PROXY, &foreign).is_err());
}

#[test]
fn scheme_of_the_proxys_client_decides_whether_it_is_secure() {
    for (value, expected) in
        [("https", true), ("HTTPS", true), ("wss", true), ("http", false), ("https, http", false)]
    {
        let found = arrival(PROXY, &[("x-forwarded-proto", value)]).unwrap();
        assert_eq!(found.is_secure, expected, "{value}");
    }
}

#[test]
fn forwarded_host_replaces_host_and_both_must_be_own() {
    let found = arrival(PROXY, &[("x-forwarded-host", "other.example.org:443")]).unwrap();
    assert_eq!(Some(found.host), Authority::parse("other.example.org:443"));
    for headers in [
        &[("x-forwarded-host", "evil.com")][..],
        &[("forwarded", "host=evil.com")],
        &[("host", "evil.com"), ("x-forwarded-host", "chat.example.org")],
        &[("host", "evil.com"), ("forwarded", "host=chat.example.org")],
    ] {
        assert!(arrival(PROXY, headers).is_err(), "{headers:?}");
    }
}
