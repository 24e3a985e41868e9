//! Addresses to listen on, as in `--host 192.168.1.5` and `--host unix:/run/inference-core.sock`.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// An address to listen on. The port is given once for all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// The loopback interface: 127.0.0.1 and, if the machine has IPv6, `[::1]`.
    Localhost,
    /// An address of this machine, or all addresses of its version of IP.
    Ip(IpAddr),
    /// A Unix socket at this absolute path.
    Unix(PathBuf),
}

impl ListenAddress {
    /// Whether only programs on this machine can connect.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Localhost | Self::Unix(_) => true,
            Self::Ip(address) => address.to_canonical().is_loopback(),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Localhost => f.write_str("localhost"),
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("localhost") {
            return Ok(Self::Localhost);
        }
        let path = text.strip_prefix("unix:").or_else(|| text.starts_with('/').then_some(text));
        if let Some(path) = path {
            // `unix:///path` is how URLs are written.
            let path = path.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(path);
            if !path.starts_with('/') || path.ends_with('/') {
                return Err("after unix: write the absolute path of a file".to_owned());
            }
            return Ok(Self::Unix(path.into()));
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse() {
            return Ok(Self::Ip(address));
        }
        let has_port = text.rsplit_once(':').is_some_and(|(host, port)| {
            let is_host = host.parse::<Self>().is_ok() || !host.contains(':');
            is_host && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
        });
        Err(match text {
            "*" => "for all addresses of this machine write 0.0.0.0, or :: with IPv6",
            _ if has_port => "the port is the last argument: inference-core MODEL 4000 --host …",
            _ if text.contains('%') => "addresses with a zone are not supported",
            _ => {
                "it must be an IP address of this machine, 0.0.0.0 or :: for all of them, \
                 localhost, or unix:/path"
            }
        }
        .to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_parsed_in_every_spelling_and_shown_in_one() {
        for (text, expected, is_local) in [
            ("localhost", "localhost", true),
            ("LocalHost", "localhost", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.9.8.7", "127.9.8.7", true),
            ("::1", "::1", true),
            ("[::1]", "::1", true),
            ("::ffff:127.0.0.1", "::ffff:127.0.0.1", true),
            ("0.0.0.0", "0.0.0.0", false),
            ("::", "::", false),
            ("[::]", "::", false),
            ("192.168.1.5", "192.168.1.5", false),
            ("fd00:0::5", "fd00::5", false),
            ("unix:/run/ic.sock", "unix:/run/ic.sock", true),
            ("unix:///run/ic.sock", "unix:/run/ic.sock", true),
            ("/run/ic.sock", "unix:/run/ic.sock", true),
        ] {
            let address: ListenAddress = text.parse().unwrap();
            assert_eq!((address.to_string().as_str(), address.is_local()), (expected, is_local));
        }
    }

    #[test]
    fn text_that_is_no_address_is_refused_with_advice() {
        for (text, advice) in [
            ("", "an IP address of this machine"),
            ("gpu-box", "an IP address of this machine"),
            ("192.168.1", "an IP address of this machine"),
            ("http://0.0.0.0", "an IP address of this machine"),
            ("*", "0.0.0.0"),
            ("0.0.0.0:3000", "the port is the last argument"),
            ("[::1]:3000", "the port is the last argument"),
            ("localhost:3000", "the port is the last argument"),
            ("gpu-box:3000", "the port is the last argument"),
            ("fe80::1%eth0", "a zone"),
            ("unix:", "absolute path"),
            ("unix:ic.sock", "absolute path"),
            ("unix:/run/", "absolute path"),
            ("/", "absolute path"),
        ] {
            let error = text.parse::<ListenAddress>().unwrap_err();
            assert!(error.contains(advice), "{text}: {error}");
        }
    }
}
