//! A URL: the address to connect to, and the page to ask for.

use std::net::Ipv6Addr;
use std::str::FromStr;

/// An `http` or `https` URL (RFC 9110, sections 4.2.1 and 4.2.2).
#[derive(Debug)]
pub(crate) struct Url {
    /// It is `https`.
    pub(crate) is_secure: bool,
    /// To be resolved: a name or an address, without brackets and with its zone.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// For `Host`. A zone means something to this machine alone: it is left out
    /// (RFC 6874, section 4).
    pub(crate) authority: String,
    /// Path and query.
    pub(crate) target: String,
}

impl FromStr for Url {
    /// Why it is refused.
    type Err = &'static str;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        // A CR or LF would end the request's line, and begin a field of its own.
        if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("spaces, control characters and whatever is not ASCII must be %-encoded");
        }
        let (url, _fragment) = url.split_once('#').unwrap_or((url, ""));
        let (is_secure, rest) = match url.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            _ => return Err("no http:// or https:// URL"),
        };
        let usual_port = if is_secure { 443 } else { 80 };
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err("a user name or password before the host is not taken");
        }
        let (host, uri_host, port) = match authority.strip_prefix('[') {
            Some(literal) => {
                let (literal, port) = literal.split_once(']').ok_or("a [ without its ]")?;
                let (host, uri_host) = ip_6(literal)?;
                (host, uri_host, port)
            }
            None => {
                let (name, port) =
                    authority.split_at(authority.find(':').unwrap_or(authority.len()));
                check_name(name)?;
                (name.to_owned(), name.to_owned(), port)
            }
        };
        let port = parse_port(port)?.unwrap_or(usual_port);
        Ok(Self {
            is_secure,
            host,
            port,
            authority: match port == usual_port {
                true => uri_host,
                false => format!("{uri_host}:{port}"),
            },
            target: match target.starts_with('/') {
                true => target.to_owned(),
                false => format!("/{target}"),
            },
        })
    }
}

/// The inside of the brackets, and what stands in `Host` for it. Before a zone RFC
/// 6874 wants `%25`; a lone `%`, as `ip address` prints it, is taken, too.
fn ip_6(literal: &str) -> Result<(String, String), &'static str> {
    let (address, zone) = match literal.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (literal, None),
    };
    if address.parse::<Ipv6Addr>().is_err() {
        return Err("no IPv6 address is in the brackets");
    }
    let uri_host = format!("[{address}]");
    let Some(zone) = zone else {
        return Ok((address.to_owned(), uri_host));
    };
    let zone = match zone.strip_prefix("25") {
        Some(encoded) if !encoded.is_empty() => encoded,
        _ => zone,
    };
    match !zone.is_empty() && zone.bytes().all(is_unreserved) {
        true => Ok((format!("{address}%{zone}"), uri_host)),
        false => Err("invalid zone of an IPv6 address"),
    }
}

fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("no host");
    }
    match name.bytes().all(is_unreserved) {
        true => Ok(()),
        false => Err("invalid host"),
    }
}

/// RFC 3986, section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// Parses the text after the host: nothing, or a colon and any number of digits.
/// `None`: it is the scheme's.
fn parse_port(port: &str) -> Result<Option<u16>, &'static str> {
    let digits = match port.strip_prefix(':') {
        None if port.is_empty() => return Ok(None),
        Some("") => return Ok(None),
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits,
        _ => return Err("invalid port"),
    };
    match digits.parse() {
        Ok(port) if port > 0 => Ok(Some(port)),
        _ => Err("no such port"),
    }
}
