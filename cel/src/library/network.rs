//! IP addresses and blocks of them.
//!
//! Source: `k8s.io/apiserver/pkg/cel/library/ip.go` and `cidr.go`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Outcome, fail, no_overload};
use crate::error::EvaluationError;
use crate::functions::Implementation;
use crate::value::{Opaque, Value};

/// A block of addresses: an address in it and the length of the common prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// The address as it was written.
    pub address: IpAddr,
    /// The number of bits that all addresses of the block share.
    pub prefix: u8,
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Cidr {
    fn masked(self) -> Self {
        let bits = u32::from(self.prefix);
        let address = match self.address {
            IpAddr::V4(it) => IpAddr::V4(Ipv4Addr::from_bits(it.to_bits() & mask(bits, 32) as u32)),
            IpAddr::V6(it) => IpAddr::V6(Ipv6Addr::from_bits(it.to_bits() & mask(bits, 128))),
        };
        Self { address, ..self }
    }

    fn contains(self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4() && self.masked() == Self { address, ..self }.masked()
    }
}

fn mask(bits: u32, width: u32) -> u128 {
    if bits == 0 { 0 } else { (u128::MAX >> (128 - width)) ^ (1_u128 << (width - bits)).wrapping_sub(1) }
}

/// The size of an address.
pub(crate) fn bytes_of(ip: &IpAddr) -> u64 {
    if ip.is_ipv4() { 4 } else { 16 }
}

fn parse_ip(text: &str) -> Result<IpAddr, String> {
    if text.contains('%') {
        return Err(format!("IP address {} with zone value is not allowed", quoted(text)));
    }
    let address = text.parse::<IpAddr>().map_err(|_| {
        let why =
            if text.is_empty() || text.contains([':', '.']) { "unexpected character" } else { "unable to parse IP" };
        format!(
            "IP Address {} parse error during conversion from string: ParseAddr({}): {why}",
            quoted(text),
            quoted(text)
        )
    })?;
    match address {
        IpAddr::V6(it) if it.to_ipv4_mapped().is_some() => {
            Err(format!("IPv4-mapped IPv6 address {} is not allowed", quoted(text)))
        }
        _ => Ok(address),
    }
}

fn quoted(text: &str) -> String {
    super::strings::quoted(text)
}

fn parse_cidr(text: &str) -> Result<Cidr, String> {
    let wrong = || {
        format!(
            "network address parse error during conversion from string: netip.ParsePrefix({}): no '/'",
            quoted(text)
        )
    };
    let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
    let bad = |why: String| {
        format!("network address parse error during conversion from string: netip.ParsePrefix({}): {why}", quoted(text))
    };
    let address = parse_ip(address).map_err(bad)?;
    let plain = prefix.chars().all(|it| it.is_ascii_digit()) && (prefix == "0" || !prefix.starts_with('0'));
    let prefix_length: u8 = prefix
        .parse()
        .ok()
        .filter(|_| plain)
        .ok_or_else(|| bad(format!("bad bits after slash: {}", quoted(prefix))))?;
    if prefix_length > if address.is_ipv4() { 32 } else { 128 } {
        return Err(bad("prefix length out of range".to_owned()));
    }
    Ok(Cidr { address, prefix: prefix_length })
}

fn text_of<'v>(args: &'v [Value<'_>], at: usize) -> Result<&'v str, EvaluationError> {
    args.get(at).and_then(Value::as_str).ok_or(EvaluationError::NoSuchOverload)
}

/// What carries the function of that name out.
pub(crate) fn implementation(name: &str) -> Option<Implementation> {
    Some(match name {
        "ip" => ip,
        "isIP" => |args| Ok(Value::Bool(parse_ip(text_of(args, 0)?).is_ok())),
        "ip.isCanonical" => |args| {
            let text = text_of(args, 0)?;
            let address = parse_ip(text).map_err(EvaluationError::failed)?;
            Ok(Value::Bool(address.to_string() == text))
        },
        "family" => |args| property(args, |it| Value::Int(if it.is_ipv4() { 4 } else { 6 })),
        "isUnspecified" => |args| property(args, |it| Value::Bool(it.is_unspecified())),
        "isLoopback" => |args| property(args, |it| Value::Bool(it.is_loopback())),
        "isLinkLocalMulticast" => |args| property(args, |it| Value::Bool(is_link_local_multicast(it))),
        "isLinkLocalUnicast" => |args| property(args, |it| Value::Bool(is_link_local_unicast(it))),
        "isGlobalUnicast" => |args| property(args, |it| Value::Bool(is_global_unicast(it))),
        "cidr" => |args| match parse_cidr(text_of(args, 0)?) {
            Ok(cidr) => Ok(Value::Opaque(Opaque::Cidr(cidr))),
            Err(error) => fail(error),
        },
        "isCIDR" => |args| Ok(Value::Bool(parse_cidr(text_of(args, 0)?).is_ok())),
        "containsIP" => contains_ip,
        "containsCIDR" => contains_cidr,
        "masked" => |args| block(args, |cidr| Value::Opaque(Opaque::Cidr(cidr.masked()))),
        "prefixLength" => |args| block(args, |cidr| Value::Int(i64::from(cidr.prefix))),
        _ => return None,
    })
}

fn ip<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Cidr(cidr))] => Ok(Value::Opaque(Opaque::Ip(cidr.address))),
        [Value::Text(text)] => match parse_ip(text.as_str()) {
            Ok(address) => Ok(Value::Opaque(Opaque::Ip(address))),
            Err(error) => fail(error),
        },
        _ => no_overload(),
    }
}

fn property<'a>(args: &[Value<'a>], of: impl Fn(&IpAddr) -> Value<'a>) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Ip(ip))] => Ok(of(ip)),
        _ => no_overload(),
    }
}

fn block<'a>(args: &[Value<'a>], of: impl Fn(Cidr) -> Value<'a>) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Cidr(cidr))] => Ok(of(*cidr)),
        _ => no_overload(),
    }
}

fn is_link_local_multicast(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(it) => it.octets()[..3] == [224, 0, 0],
        IpAddr::V6(it) => it.segments()[0] & 0xff0f == 0xff02,
    }
}

fn is_link_local_unicast(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(it) => it.is_link_local(),
        IpAddr::V6(it) => it.segments()[0] & 0xffc0 == 0xfe80,
    }
}

fn is_global_unicast(ip: &IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(it) if it.is_broadcast());
    !broadcast && !ip.is_unspecified() && !ip.is_loopback() && !ip.is_multicast() && !is_link_local_unicast(ip)
}

fn contains_ip<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let (cidr, address) = match args {
        [Value::Opaque(Opaque::Cidr(cidr)), Value::Opaque(Opaque::Ip(ip))] => (cidr, *ip),
        [Value::Opaque(Opaque::Cidr(cidr)), Value::Text(text)] => {
            (cidr, parse_ip(text.as_str()).map_err(EvaluationError::failed)?)
        }
        _ => return no_overload(),
    };
    Ok(Value::Bool(cidr.contains(address)))
}

fn contains_cidr<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let (cidr, other) = match args {
        [Value::Opaque(Opaque::Cidr(cidr)), Value::Opaque(Opaque::Cidr(other))] => (cidr, *other),
        [Value::Opaque(Opaque::Cidr(cidr)), Value::Text(text)] => {
            (cidr, parse_cidr(text.as_str()).map_err(EvaluationError::failed)?)
        }
        _ => return no_overload(),
    };
    Ok(Value::Bool(other.prefix >= cidr.prefix && cidr.contains(other.address)))
}
